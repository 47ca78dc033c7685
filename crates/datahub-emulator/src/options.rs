//! What can be set when an emulator starts.

use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::Clock;

/// Sinks that keep nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NullSink {
    /// Records are stored.
    #[default]
    Off,
    /// Put bodies are measured by their headers and thrown away unread. Records can only be counted where the
    /// body is not compressed.
    Skip,
    /// Put bodies are decompressed, their frame is checked and their records are counted, then thrown away.
    Count,
}

/// The most that one shard takes in any second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Put requests.
    pub requests_per_second: u64,
    /// Bytes of request bodies before compression.
    pub bytes_per_second: u64,
}

/// A topic that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its project; made when missing.
    pub project: String,
    /// Its name.
    pub topic: String,
    /// How many shards it starts with.
    pub shards: u32,
    /// The text of a record schema for a TUPLE topic; `None` is a BLOB topic.
    pub schema: Option<String>,
}

impl TopicSpec {
    /// A BLOB topic.
    pub fn blob(project: &str, topic: &str, shards: u32) -> TopicSpec {
        TopicSpec {
            project: project.to_owned(),
            topic: topic.to_owned(),
            shards,
            schema: None,
        }
    }

    /// A TUPLE topic of these fields: name and type, all nullable.
    pub fn tuple(project: &str, topic: &str, shards: u32, fields: &[(&str, &str)]) -> TopicSpec {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, kind)| serde_json::json!({"name": name, "type": kind}))
            .collect();
        let schema = serde_json::json!({ "fields": fields }).to_string();
        TopicSpec {
            project: project.to_owned(),
            topic: topic.to_owned(),
            shards,
            schema: Some(schema),
        }
    }
}

/// Everything that can be set when an emulator starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The only access id that is let in.
    pub access_id: String,
    /// Its key.
    pub access_key: String,
    /// The STS token that requests must carry, if any.
    pub security_token: Option<String>,
    /// Whether signatures and the clock of requests are checked.
    pub verify_signatures: bool,
    /// Topics that exist from the start.
    pub create: Vec<TopicSpec>,
    /// Whether names with `-` are refused, as the naming rules say.
    pub strict_names: bool,
    /// Whether put records are thrown away.
    pub null: NullSink,
    /// The most bytes of payload that are kept; puts beyond it are refused with `LimitExceeded`.
    pub max_stored_bytes: u64,
    /// The largest request body in bytes, before compression.
    pub max_body_bytes: usize,
    /// How long a stored record stays invisible to readers.
    pub visibility_lag: Duration,
    /// How long a new shard refuses to be split or merged.
    pub shard_guard: Duration,
    /// How long a new shard is `OPENING`.
    pub shard_opening: Duration,
    /// Throttling per shard; `None` never throttles.
    pub rate_limit: Option<RateLimit>,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            access_id: "emulator-id".to_owned(),
            access_key: "emulator-key".to_owned(),
            security_token: None,
            verify_signatures: true,
            create: Vec::new(),
            strict_names: false,
            null: NullSink::Off,
            max_stored_bytes: 4 << 30,
            max_body_bytes: 4 << 20,
            visibility_lag: Duration::ZERO,
            shard_guard: Duration::from_secs(5),
            shard_opening: Duration::ZERO,
            rate_limit: None,
            clock: Clock::System,
        }
    }
}
