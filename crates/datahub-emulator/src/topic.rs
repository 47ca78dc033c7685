//! A topic: its kind, its shards and the rules by which they change and are found.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::options::Options;
use crate::refusal::Refusal;
use crate::schema::Schema;
use crate::shard::{Shard, State, hash_key, initial_range, parse_hash_key};
use crate::subscription::Subscription;

const MAX_ACTIVE_SHARDS: usize = 256;
const MAX_SHARDS: usize = 512;

/// A moment, and the options that depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) us: u64,
    pub(crate) options: &'a Options,
}

impl Moment<'_> {
    pub(crate) fn ms(&self) -> u64 {
        self.us / 1000
    }

    pub(crate) fn lag_us(&self) -> u64 {
        u64::try_from(self.options.visibility_lag.as_micros()).unwrap_or(u64::MAX)
    }
}

#[derive(Debug)]
pub(crate) enum RecordKind {
    Blob,
    /// Schemas by version; the last one is in force.
    Tuple(Schema),
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) kind: RecordKind,
    pub(crate) comment: String,
    pub(crate) lifecycle: i64,
    /// Only ever extended, never split or merged.
    pub(crate) extend: bool,
    pub(crate) created_s: u64,
    pub(crate) modified_s: u64,
    pub(crate) shards: Vec<Shard>,
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
    /// Subscriptions ever made: names the next one.
    pub(crate) subscribed: u64,
}

impl Topic {
    pub(crate) fn new(project: &str, name: &str, kind: RecordKind, shards: u32, now: Moment<'_>) -> Topic {
        let mut topic = Topic {
            project: project.to_owned(),
            name: name.to_owned(),
            kind,
            comment: String::new(),
            lifecycle: 3,
            extend: false,
            created_s: now.ms() / 1000,
            modified_s: now.ms() / 1000,
            shards: Vec::new(),
            subscriptions: BTreeMap::new(),
            subscribed: 0,
        };
        for index in 0..shards {
            topic.add_shard(initial_range(index, shards), Vec::new(), now);
        }
        topic
    }

    fn add_shard(&mut self, range: (u128, u128), parents: Vec<u32>, now: Moment<'_>) -> u32 {
        let id = u32::try_from(self.shards.len()).unwrap_or(u32::MAX);
        let opening = u64::try_from(now.options.shard_opening.as_millis()).unwrap_or(u64::MAX);
        self.shards.push(Shard::new(
            id,
            range,
            parents,
            now.ms(),
            now.ms().saturating_add(opening),
        ));
        id
    }

    pub(crate) fn describe(&self) -> Value {
        let mut answer = json!({
            "Comment": self.comment,
            "ShardCount": self.shards.iter().filter(|shard| shard.closed_ms.is_none()).count(),
            "Lifecycle": self.lifecycle,
            "CreateTime": self.created_s,
            "LastModifyTime": self.modified_s,
            "Status": "on",
            "ExpandMode": if self.extend { "extend" } else { "split" },
            "EnableSchemaRegistry": false,
            "RecordType": "BLOB",
            "RecordSchema": "",
        });
        if let (RecordKind::Tuple(schema), Some(answer)) = (&self.kind, answer.as_object_mut()) {
            answer.insert("RecordType".to_owned(), json!("TUPLE"));
            answer.insert("RecordSchema".to_owned(), json!(schema.to_text()));
        }
        answer
    }

    pub(crate) fn list_shards(&self, now: Moment<'_>) -> Value {
        let shards: Vec<Value> = self
            .shards
            .iter()
            .map(|shard| shard.to_json(&self.shards, now.ms()))
            .collect();
        json!({"Shards": shards, "Protocol": "http1.1", "Interval": 300_000})
    }

    /// The index of a shard by its id; the message is the one of by-shard calls.
    pub(crate) fn find(&self, id: &str) -> Result<usize, Refusal> {
        let missing = || {
            Refusal::new(
                "NoSuchShard",
                format!("Shard is not exist: {}/{}/{id}", self.project, self.name),
            )
        };
        let number: i64 = id
            .parse()
            .map_err(|_| Refusal::new("InvalidShardId", format!("Invalid shard id: {id}")))?;
        let index = usize::try_from(number).map_err(|_| missing())?;
        if index < self.shards.len() {
            Ok(index)
        } else {
            Err(missing())
        }
    }

    pub(crate) fn shard(&self, id: &str) -> Result<&Shard, Refusal> {
        let index = self.find(id)?;
        self.shards
            .get(index)
            .ok_or_else(|| Refusal::new("NoSuchShard", "Shard is not exist"))
    }

    pub(crate) fn shard_mut(&mut self, id: &str) -> Result<&mut Shard, Refusal> {
        let index = self.find(id)?;
        self.shards
            .get_mut(index)
            .ok_or_else(|| Refusal::new("NoSuchShard", "Shard is not exist"))
    }

    /// The shard that takes a hash key: of those not closed, the one with the greatest beginning at or below it.
    pub(crate) fn route(&self, hash: u128) -> Option<u32> {
        let open = self
            .shards
            .iter()
            .filter(|shard| shard.closed_ms.is_none() && shard.begin <= hash);
        open.max_by_key(|shard| shard.begin).map(|shard| shard.id)
    }

    /// Seals a shard and puts two in its place. Without a key the middle is taken.
    pub(crate) fn split(&mut self, id: &str, key: Option<&str>, now: Moment<'_>) -> Result<Value, Refusal> {
        self.may_reshape()?;
        let shard = self.shard(id)?;
        let (number, begin, end) = (shard.id, shard.begin, shard.end);
        may_change(shard, now)?;
        let key = match key {
            Some(text) => parse_hash_key(text)
                .ok_or_else(|| Refusal::parameter(format!("Invalid split key: {text}")))?,
            None => begin + (end - begin) / 2,
        };
        if key <= begin || key >= end {
            return Err(Refusal::parameter(format!(
                "Split key out of range: {}",
                hash_key(key)
            )));
        }
        self.room_for(2, 1)?;
        self.seal(number, now);
        let children = [(begin, key), (key, end)].map(|range| {
            let child = self.add_shard(range, vec![number], now);
            json!({
                "ShardId": child.to_string(),
                "BeginHashKey": hash_key(range.0),
                "EndHashKey": hash_key(range.1),
            })
        });
        Ok(json!({ "NewShards": children }))
    }

    /// Seals two neighbours and puts one in their place.
    pub(crate) fn merge(&mut self, id: &str, adjacent: &str, now: Moment<'_>) -> Result<Value, Refusal> {
        self.may_reshape()?;
        let (one, other) = (self.shard(id)?, self.shard(adjacent)?);
        may_change(one, now)?;
        may_change(other, now)?;
        let (low, high) = if one.begin <= other.begin {
            (one, other)
        } else {
            (other, one)
        };
        if low.id == high.id || low.end != high.begin {
            return Err(Refusal::parameter(format!(
                "Shards are not adjacent: {id}, {adjacent}"
            )));
        }
        let (range, parents) = ((low.begin, high.end), vec![low.id, high.id]);
        self.room_for(1, 2)?;
        for parent in &parents {
            self.seal(*parent, now);
        }
        let child = self.add_shard(range, parents, now);
        Ok(json!({
            "ShardId": child.to_string(),
            "BeginHashKey": hash_key(range.0),
            "EndHashKey": hash_key(range.1),
        }))
    }

    /// Raises the number of open shards; only for topics made for it.
    pub(crate) fn extend_to(&mut self, count: usize, now: Moment<'_>) -> Result<(), Refusal> {
        if !self.extend {
            return Err(Refusal::new(
                "OperationDenied",
                "The topic is not in extend mode.",
            ));
        }
        let open = self
            .shards
            .iter()
            .filter(|shard| shard.closed_ms.is_none())
            .count();
        if count <= open {
            return Err(Refusal::parameter(format!(
                "Shard number must be greater than {open}: {count}"
            )));
        }
        self.room_for(count - open, 0)?;
        for _ in open..count {
            // What range an added shard has is not documented; an empty one at the end leaves the others alone.
            self.add_shard((u128::MAX, u128::MAX), Vec::new(), now);
        }
        Ok(())
    }

    fn may_reshape(&self) -> Result<(), Refusal> {
        if self.extend {
            return Err(Refusal::new(
                "OperationDenied",
                "The topic is in extend mode: no split, no merge.",
            ));
        }
        Ok(())
    }

    fn room_for(&self, added: usize, closed: usize) -> Result<(), Refusal> {
        let open = self
            .shards
            .iter()
            .filter(|shard| shard.closed_ms.is_none())
            .count();
        let active = open.saturating_add(added).saturating_sub(closed);
        if active > MAX_ACTIVE_SHARDS || self.shards.len().saturating_add(added) > MAX_SHARDS {
            return Err(Refusal::new("ResourceLimit", "Too many shards."));
        }
        Ok(())
    }

    fn seal(&mut self, number: u32, now: Moment<'_>) {
        for shard in self.shards.iter_mut().filter(|shard| shard.id == number) {
            shard.closed_ms = Some(now.ms());
        }
    }
}

/// Whether a shard may be split or merged now.
fn may_change(shard: &Shard, now: Moment<'_>) -> Result<(), Refusal> {
    if shard.state(now.ms()) != State::Active {
        return Err(Refusal::sealed());
    }
    let guard = u64::try_from(now.options.shard_guard.as_millis()).unwrap_or(u64::MAX);
    if now.ms() < shard.created_ms.saturating_add(guard) {
        return Err(Refusal::new(
            "LimitExceeded",
            "Split/Merge shard operation limit exceeded.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
