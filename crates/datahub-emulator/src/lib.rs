//! A strict local DataHub: the REST service that the relay writes to, in one process, for tests, demos and
//! benchmarks.
//!
//! It implements the wire format a second time and on purpose shares no code with the relay: a mistake in one
//! of them shows as a disagreement. It keeps everything in memory and forgets it at exit; it makes no promise
//! about speed except in its null sinks, which store nothing.
//!
//! | module | what it does |
//! |---|---|
//! | `server`, `socket` | sockets, connections, stopping |
//! | `http` | one request: body, faults, signature, dispatch, answer |
//! | `call` | which call a method, a path and a body are |
//! | `sign`, `frame`, `compression`, `messages` | the wire |
//! | `world`, `topic`, `shard`, `schema` | what is kept, and its rules |
//! | `manage`, `put`, `get`, `cursor`, `subscription`, `group` | the calls |
//! | `faults`, `control` | what goes wrong on purpose, and the unsigned calls under `/_emulator/` |
//! | `null` | sinks for benchmarks |
//! | `view` | reading a topic from the same process |

mod batch;
mod body;
mod call;
mod clock;
mod compression;
mod control;
mod cursor;
mod faults;
mod frame;
mod get;
mod group;
mod http;
mod manage;
mod messages;
mod null;
mod options;
mod put;
mod refusal;
mod schema;
mod server;
mod shard;
mod sign;
mod socket;
mod stats;
mod subscription;
mod topic;
mod view;
mod world;

pub use call::CallKind;
pub use clock::Clock;
pub use faults::{Action, Matcher, Rule, When};
pub use options::{NullSink, Options, RateLimit, TopicSpec};
pub use server::Emulator;
pub use stats::Stats;
pub use view::{Payload, Records, ShardView, StoredRecord, TopicMissing};
