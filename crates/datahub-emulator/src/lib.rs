//! A strict local DataHub.
