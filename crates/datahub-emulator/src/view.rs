//! Reading a topic from the same process: what tests and the oracle compare with.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::get;
use crate::server::Emulator;
use crate::shard::{Kept, State, Stored};
use crate::topic::Topic;

/// Records taken out at a time: the world is locked only that long.
const PAGE: usize = 1000;

/// The emulator has no such project or topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMissing(pub String);

impl std::fmt::Display for TopicMissing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the emulator has no topic {}", self.0)
    }
}

impl std::error::Error for TopicMissing {}

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A blob; the bytes are shared with the emulator.
    Blob(Bytes),
    /// The texts of the fields, `None` for null.
    Tuple(Vec<Option<Bytes>>),
    /// A batch, as it came.
    Batch(Bytes),
}

/// A record of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its shard.
    pub shard: u32,
    /// Its place in the shard, from 0, without holes.
    pub sequence: u64,
    /// The service's clock, milliseconds since 1970; never goes back in a shard.
    pub system_time_ms: u64,
    /// When it was stored, microseconds since 1970.
    pub arrival_us: u64,
    /// Its attributes in the order in which they came.
    pub attributes: Vec<(String, String)>,
    /// Its data.
    pub data: Payload,
}

impl StoredRecord {
    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The blob; `None` in a TUPLE topic and for batches.
    pub fn blob(&self) -> Option<&Bytes> {
        match &self.data {
            Payload::Blob(bytes) => Some(bytes),
            Payload::Tuple(_) | Payload::Batch(_) => None,
        }
    }

    pub(crate) fn of(topic: &Topic, shard: u32, sequence: u64, record: &Stored) -> StoredRecord {
        let data = match &record.data {
            Kept::Blob(bytes) => Payload::Blob(bytes.clone()),
            Kept::Batch(bytes) => Payload::Batch(bytes.clone()),
            Kept::Tuple(bytes) => {
                let fields = get::tuple(topic, bytes).unwrap_or_default();
                Payload::Tuple(fields.into_iter().map(|field| field.value).collect())
            }
        };
        StoredRecord {
            shard,
            sequence,
            system_time_ms: record.system_time_ms,
            arrival_us: record.arrival_us,
            attributes: get::attributes(record),
            data,
        }
    }
}

/// A shard of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// Its id.
    pub id: u32,
    /// Whether it takes records.
    pub active: bool,
    /// First hash key.
    pub begin: u128,
    /// End of its range.
    pub end: u128,
    /// What was split or merged into it.
    pub parents: Vec<u32>,
    /// Records in it.
    pub records: u64,
    /// Bytes in it.
    pub bytes: u64,
}

impl ShardView {
    pub(crate) fn all(topic: &Topic, now_ms: u64) -> Vec<ShardView> {
        let view = |shard: &crate::shard::Shard| ShardView {
            id: shard.id,
            active: shard.state(now_ms) == State::Active,
            begin: shard.begin,
            end: shard.end,
            parents: shard.parents.clone(),
            records: shard.records.len() as u64,
            bytes: shard.bytes,
        };
        topic.shards.iter().map(view).collect()
    }
}

/// All records of a topic, shard by shard, each in sequence. Records stored meanwhile may or may not be seen.
pub struct Records<'e> {
    emulator: &'e Emulator,
    project: String,
    topic: String,
    shard: u32,
    next: u64,
    page: VecDeque<StoredRecord>,
}

impl Iterator for Records<'_> {
    type Item = StoredRecord;

    fn next(&mut self) -> Option<StoredRecord> {
        while self.page.is_empty() {
            let page = self
                .emulator
                .read(&self.project, &self.topic, self.shard, self.next, PAGE)
                .ok()??;
            if page.is_empty() {
                (self.shard, self.next) = (self.shard + 1, 0);
            }
            self.next += page.len() as u64;
            self.page = page.into();
        }
        self.page.pop_front()
    }
}

impl Emulator {
    /// The topic's shards, closed ones too.
    pub fn shards(&self, project: &str, topic: &str) -> Result<Vec<ShardView>, TopicMissing> {
        let now_ms = self.shared.options.clock.now_us() / 1000;
        self.with_topic(project, topic, |topic| ShardView::all(topic, now_ms))
    }

    /// All records of a topic, shard by shard, each in sequence.
    pub fn records(&self, project: &str, topic: &str) -> Result<Records<'_>, TopicMissing> {
        self.with_topic(project, topic, |_| ())?;
        Ok(Records {
            emulator: self,
            project: project.to_owned(),
            topic: topic.to_owned(),
            shard: 0,
            next: 0,
            page: VecDeque::new(),
        })
    }

    /// Up to `limit` records of a shard from a sequence on; `None` if the topic has no such shard.
    pub fn read(
        &self,
        project: &str,
        topic: &str,
        shard: u32,
        from: u64,
        limit: usize,
    ) -> Result<Option<Vec<StoredRecord>>, TopicMissing> {
        self.with_topic(project, topic, |topic| page(topic, shard, from, limit))
    }

    /// How many records the topic holds.
    pub fn count(&self, project: &str, topic: &str) -> Result<u64, TopicMissing> {
        self.with_topic(project, topic, |topic| {
            topic.shards.iter().map(|s| s.records.len() as u64).sum()
        })
    }

    /// Waits until the topic holds at least `count` records and gives their number; `Err` with the number it
    /// has when the time is over. A topic that does not exist yet has none.
    pub async fn wait_for_records(
        &self,
        project: &str,
        topic: &str,
        count: u64,
        within: Duration,
    ) -> Result<u64, u64> {
        let mut stored = self.shared.stored.subscribe();
        // Looked at between two changes, not while one is held: a put holds the world when it announces one.
        let enough = async {
            while self.count(project, topic).unwrap_or(0) < count {
                if stored.changed().await.is_err() {
                    return false;
                }
            }
            true
        };
        let met = tokio::time::timeout(within, enough).await == Ok(true);
        let held = self.count(project, topic).unwrap_or(0);
        if met { Ok(held) } else { Err(held) }
    }

    fn with_topic<T>(
        &self,
        project: &str,
        topic: &str,
        read: impl FnOnce(&Topic) -> T,
    ) -> Result<T, TopicMissing> {
        let mut world = self.shared.world();
        match world.topic(project, topic) {
            Ok(topic) => Ok(read(topic)),
            Err(_) => Err(TopicMissing(format!("{project}/{topic}"))),
        }
    }
}

/// Up to `limit` records of a shard from a sequence on; `None` if there is no such shard.
pub(crate) fn page(topic: &Topic, shard: u32, from: u64, limit: usize) -> Option<Vec<StoredRecord>> {
    let records = &topic.shards.get(usize::try_from(shard).ok()?)?.records;
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let numbered = records.iter().zip(0..).skip(from).take(limit);
    Some(
        numbered
            .map(|(record, sequence)| StoredRecord::of(topic, shard, sequence, record))
            .collect(),
    )
}
