//! One shard: its range, its state, and its records in sequence.

use bytes::Bytes;
use serde_json::{Value, json};

/// How ids are written where there is no neighbour.
const NO_NEIGHBOUR: &str = "4294967295";

/// What a record holds.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// The bytes of a blob.
    Blob(Bytes),
    /// An encoded `RecordData`.
    Tuple(Bytes),
    /// A batch, as it came.
    Batch(Bytes),
}

impl Kept {
    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Kept::Blob(bytes) | Kept::Tuple(bytes) | Kept::Batch(bytes) => bytes,
        }
    }
}

/// A stored record; its sequence is its index.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) system_time_ms: u64,
    pub(crate) arrival_us: u64,
    /// An encoded `RecordAttributes`.
    pub(crate) attributes: Bytes,
    pub(crate) data: Kept,
}

impl Stored {
    /// What the record counts against the memory limit.
    pub(crate) fn size(&self) -> u64 {
        (self.attributes.len() + self.data.bytes().len()) as u64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Opening,
    Active,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: u32,
    pub(crate) begin: u128,
    pub(crate) end: u128,
    pub(crate) parents: Vec<u32>,
    pub(crate) created_ms: u64,
    pub(crate) opens_ms: u64,
    pub(crate) closed_ms: Option<u64>,
    pub(crate) records: Vec<Stored>,
    /// The first record that readers still find; the time of those before it is over.
    pub(crate) oldest: usize,
    pub(crate) bytes: u64,
    pub(crate) window: Window,
}

/// What a shard took in the current second, for throttling.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    pub(crate) second: u64,
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

impl Shard {
    pub(crate) fn new(
        id: u32,
        range: (u128, u128),
        parents: Vec<u32>,
        created_ms: u64,
        opens_ms: u64,
    ) -> Shard {
        Shard {
            id,
            begin: range.0,
            end: range.1,
            parents,
            created_ms,
            opens_ms,
            closed_ms: None,
            records: Vec::new(),
            oldest: 0,
            bytes: 0,
            window: Window::default(),
        }
    }

    pub(crate) fn state(&self, now_ms: u64) -> State {
        match self.closed_ms {
            Some(_) => State::Closed,
            None if now_ms < self.opens_ms => State::Opening,
            None => State::Active,
        }
    }

    /// Adds a record at the next sequence. The shard's clock never goes back.
    pub(crate) fn append(&mut self, mut record: Stored) {
        let last = self.records.last().map_or(0, |last| last.system_time_ms);
        record.system_time_ms = record.system_time_ms.max(last);
        self.bytes += record.size();
        self.records.push(record);
    }

    /// How many records a reader sees, when each stays invisible for `lag_us`.
    pub(crate) fn visible(&self, now_us: u64, lag_us: u64) -> usize {
        if lag_us == 0 {
            return self.records.len();
        }
        self.records
            .partition_point(|record| record.arrival_us.saturating_add(lag_us) <= now_us)
    }

    /// The shard's entry in a list; neighbours are the shards that touch its range.
    pub(crate) fn to_json(&self, all: &[Shard], now_ms: u64) -> Value {
        let state = match self.state(now_ms) {
            State::Opening => "OPENING",
            State::Active => "ACTIVE",
            State::Closed => "CLOSED",
        };
        let open = |shard: &&Shard| shard.closed_ms.is_none() && shard.id != self.id;
        let left = all.iter().filter(open).find(|shard| shard.end == self.begin);
        let right = all.iter().filter(open).find(|shard| shard.begin == self.end);
        let name = |shard: Option<&Shard>| {
            shard.map_or_else(|| NO_NEIGHBOUR.to_owned(), |shard| shard.id.to_string())
        };
        let parents: Vec<String> = self.parents.iter().map(u32::to_string).collect();
        json!({
            "ShardId": self.id.to_string(),
            "State": state,
            "BeginHashKey": hash_key(self.begin),
            "EndHashKey": hash_key(self.end),
            "ParentShardIds": parents,
            "LeftShardId": name(left),
            "RightShardId": name(right),
            "ClosedTime": self.closed_ms.unwrap_or(0),
            "CreateTime": self.created_ms,
        })
    }
}

/// How hash keys are written: 32 upper-case hex digits.
pub(crate) fn hash_key(key: u128) -> String {
    format!("{key:032X}")
}

/// A hash key as clients write it: hex in either case, perhaps not padded.
pub(crate) fn parse_hash_key(text: &str) -> Option<u128> {
    let hex = !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if hex {
        u128::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

/// The range of shard `index` of a new topic with `count` shards: each half of a bound is `index` parts of 64 bits.
pub(crate) fn initial_range(index: u32, count: u32) -> (u128, u128) {
    let bound = |i: u32| {
        let half = u128::from(i) * u128::from(u64::MAX) / u128::from(count.max(1));
        half << 64 | half
    };
    (bound(index), bound(index + 1))
}

/// The hash key of a partition key.
pub(crate) fn partition_hash(key: &str) -> u128 {
    use md5::Digest as _;
    u128::from_be_bytes(md5::Md5::digest(key.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_ranges_are_the_documented_ones() {
        let bounds = |count| {
            (0..count)
                .map(|i| hash_key(initial_range(i, count).0))
                .collect::<Vec<_>>()
        };
        assert_eq!(bounds(3), ["0".repeat(32), "5".repeat(32), "A".repeat(32)]);
        assert_eq!(bounds(2)[1], "7FFFFFFFFFFFFFFF7FFFFFFFFFFFFFFF");
        assert_eq!(hash_key(initial_range(2, 3).1), "F".repeat(32));
    }

    #[test]
    fn partition_keys_hash_by_md5() {
        assert_eq!(hash_key(partition_hash("a")), "0CC175B9C0F1B6A831C399E269772661");
        assert_eq!(parse_hash_key("2aa"), Some(0x2aa));
        assert_eq!(parse_hash_key("+1"), None);
        assert_eq!(parse_hash_key(""), None);
    }
}
