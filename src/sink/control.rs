//! Control calls: the topic, its shards, cursors.
//!
//! JSON both ways; each may be repeated at will. An answer that does not read as expected is a failure that may
//! pass, never a panic and never a guess.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::call::Call;
use super::{DataHub, is_plain, outcome};
use crate::record::{FieldKind, Shard, ShardId, ShardState, TopicFacts, TopicField, TopicSchema};
use crate::retry::{Disposition, Failure};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TopicAnswer {
    record_type: String,
    #[serde(default)]
    record_schema: Option<String>,
    #[serde(default)]
    create_time: Option<u64>,
}

#[derive(Deserialize)]
struct SchemaText {
    fields: Vec<SchemaField>,
}

#[derive(Deserialize)]
struct SchemaField {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    notnull: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardsAnswer {
    shards: Vec<ShardEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardEntry {
    shard_id: String,
    state: String,
    begin_hash_key: String,
    end_hash_key: String,
    #[serde(default)]
    parent_shard_ids: Option<Vec<String>>,
}

/// Where to point a cursor.
#[derive(Clone, Copy)]
pub(super) enum Point {
    /// The first record that is still there.
    Oldest,
    /// The newest record itself.
    Latest,
    /// The record of this number.
    Sequence(u64),
}

/// A place to read from.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cursor {
    pub(super) cursor: String,
    /// Negative on a shard without records, where the service does not say 0.
    #[serde(default)]
    pub(super) sequence: i64,
}

impl DataHub {
    /// By how many seconds the service's clock is ahead of this machine's, by the date of its last answer; `None` before
    /// one that has a date.
    pub fn clock_ahead(&self) -> Option<i64> {
        self.client.clock_ahead()
    }

    /// What the topic is.
    ///
    /// # Errors
    /// A missing project or topic, refused keys and the like ask for a person; the rest may pass.
    pub async fn topic(&self) -> Result<TopicFacts, Failure> {
        let call = Call::json(Method::GET, self.topic_path(), String::new());
        let answer: TopicAnswer = read(&self.control(&call).await?)?;
        let schema = match answer.record_type.to_ascii_uppercase().as_str() {
            "BLOB" => TopicSchema::Blob,
            "TUPLE" => {
                let text = answer.record_schema.unwrap_or_default();
                let schema: SchemaText = read(text.as_bytes())?;
                let field = |f: SchemaField| TopicField {
                    kind: FieldKind::named(&f.kind),
                    name: f.name,
                    nullable: !f.notnull,
                };
                TopicSchema::Tuple(schema.fields.into_iter().map(field).collect())
            }
            _ => return Err(unreadable("its record type is neither BLOB nor TUPLE")),
        };
        Ok(TopicFacts {
            schema,
            created_s: answer.create_time,
        })
    }

    /// Creates the topic as configured: records are blobs. One that is there already is a success.
    ///
    /// # Errors
    /// As [`DataHub::topic`].
    pub async fn create_topic(&self) -> Result<(), Failure> {
        let body = json!({
            "Action": "create",
            "ShardCount": self.shards,
            "Lifecycle": self.lifecycle_days,
            "RecordType": "BLOB",
            "Comment": "row changes, written by cdc-collector",
        });
        let call = Call::json(Method::POST, self.topic_path(), body.to_string());
        match self.control(&call).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.reason.code == outcome::TOPIC_EXISTS => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// All shards of the topic, sealed ones included, in the service's order.
    ///
    /// # Errors
    /// As [`DataHub::topic`].
    pub async fn shards(&self) -> Result<Vec<Shard>, Failure> {
        let path = format!("{}/shards", self.topic_path());
        let call = Call::json(Method::GET, path, String::new());
        let answer: ShardsAnswer = read(&self.control(&call).await?)?;
        answer.shards.into_iter().map(shard).collect()
    }

    /// A place to read the shard from.
    pub(super) async fn cursor(&self, shard: &ShardId, point: Point) -> Result<Cursor, Failure> {
        let body = match point {
            Point::Oldest => json!({"Action": "cursor", "Type": "OLDEST"}),
            Point::Latest => json!({"Action": "cursor", "Type": "LATEST"}),
            Point::Sequence(n) => json!({"Action": "cursor", "Type": "SEQUENCE", "Sequence": n}),
        };
        let call = Call::json(Method::POST, self.shard_path(shard), body.to_string());
        read(&self.control(&call).await?)
    }

    /// The body of a successful answer to a call that may be repeated.
    pub(super) async fn control(&self, call: &Call) -> Result<Vec<u8>, Failure> {
        let answer = self.client.call(call).await.map_err(outcome::lost)?;
        if answer.is_success() {
            Ok(answer.body)
        } else {
            Err(outcome::failure(answer.meaning()))
        }
    }
}

fn shard(entry: ShardEntry) -> Result<Shard, Failure> {
    // The id becomes part of a path.
    if !is_plain(&entry.shard_id) {
        return Err(unreadable("a shard's id is not a plain name"));
    }
    let key =
        |text: &str| u128::from_str_radix(text, 16).map_err(|_| unreadable("a hash key is not hexadecimal"));
    Ok(Shard {
        state: match entry.state.to_ascii_uppercase().as_str() {
            "ACTIVE" => ShardState::Active,
            "OPENING" => ShardState::Opening,
            _ => ShardState::Closed,
        },
        begin: key(&entry.begin_hash_key)?,
        end: key(&entry.end_hash_key)?,
        parents: entry
            .parent_shard_ids
            .into_iter()
            .flatten()
            .map(ShardId::from)
            .collect(),
        id: entry.shard_id.into(),
    })
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| unreadable(&error.to_string()))
}

pub(super) fn unreadable(what: &str) -> Failure {
    Failure {
        disposition: Disposition::Retry { after: None },
        reason: super::unreadable(what),
    }
}
