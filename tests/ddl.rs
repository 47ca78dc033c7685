//! Tables change while they are written to and relayed: no row is shown under names or types that were not its own.

mod alter;
mod kinds;
mod model;
mod random;
mod script;
mod topic;
