//! Subscriptions and their offsets: sessions and versions decide who may commit.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::call::{Section, Target};
use crate::group::Group;
use crate::refusal::Refusal;
use crate::topic::{Moment, Topic};

/// Where a subscription stands in one shard.
#[derive(Clone, Debug)]
pub(crate) struct Offset {
    sequence: i64,
    timestamp: i64,
    batch_index: i64,
    version: i64,
    session: i64,
}

impl Default for Offset {
    fn default() -> Offset {
        Offset {
            sequence: -1,
            timestamp: -1,
            batch_index: 0,
            version: 0,
            session: 0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Subscription {
    comment: String,
    created_s: u64,
    modified_s: u64,
    pub(crate) online: bool,
    offsets: BTreeMap<String, Offset>,
    pub(crate) group: Group,
}

/// Answers a call on subscriptions other than offsets and groups.
pub(crate) fn handle(
    topic: &mut Topic,
    method: &str,
    target: &Target,
    request: &Value,
    now: Moment<'_>,
) -> Result<Value, Refusal> {
    let now_s = now.ms() / 1000;
    let comment = request.get("Comment").and_then(Value::as_str);
    let id = match &target.section {
        Section::Subscription(id) => id,
        _ => return create_or_list(topic, request, now_s),
    };
    let name = topic.name.clone();
    let subscription = find(topic, id)?;
    match method {
        "GET" => Ok(describe(&name, id, subscription)),
        "PUT" => {
            if let Some(comment) = comment {
                comment.clone_into(&mut subscription.comment);
            }
            if let Some(state) = request.get("State").and_then(Value::as_i64) {
                subscription.online = state != 0;
            }
            subscription.modified_s = now_s;
            Ok(Value::Null)
        }
        _ => {
            topic.subscriptions.remove(id);
            Ok(Value::Null)
        }
    }
}

fn create_or_list(topic: &mut Topic, request: &Value, now_s: u64) -> Result<Value, Refusal> {
    let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("Action").eq_ignore_ascii_case("create") {
        topic.subscribed += 1;
        let id = format!("{}{:08x}", now_s, topic.subscribed);
        let subscription = Subscription {
            comment: text("Comment").to_owned(),
            created_s: now_s,
            modified_s: now_s,
            online: true,
            offsets: BTreeMap::new(),
            group: Group::default(),
        };
        topic.subscriptions.insert(id.clone(), subscription);
        return Ok(json!({ "SubId": id }));
    }
    let number = |key: &str| request.get(key).and_then(Value::as_i64).unwrap_or(0);
    let (Ok(page), Ok(size)) = (
        usize::try_from(number("PageIndex")),
        usize::try_from(number("PageSize")),
    ) else {
        return Err(Refusal::new(
            "ListSubscriptionOutofRange",
            "The page is out of range.",
        ));
    };
    if page == 0 || size == 0 {
        return Err(Refusal::new(
            "ListSubscriptionOutofRange",
            "Pages count from 1 and have at least one entry.",
        ));
    }
    let needle = text("Search");
    let found: Vec<_> = topic
        .subscriptions
        .iter()
        .filter(|(id, s)| id.contains(needle) || s.comment.contains(needle))
        .collect();
    let entries: Vec<Value> = found
        .iter()
        .skip((page - 1).saturating_mul(size))
        .take(size)
        .map(|(id, subscription)| describe(&topic.name, id, subscription))
        .collect();
    Ok(json!({"TotalCount": found.len(), "Subscriptions": entries}))
}

fn describe(topic: &str, id: &str, subscription: &Subscription) -> Value {
    json!({
        "SubId": id,
        "TopicName": topic,
        "Comment": subscription.comment,
        "CreateTime": subscription.created_s,
        "LastModifyTime": subscription.modified_s,
        "State": i32::from(subscription.online),
        "IsOwner": true,
        "Type": 0,
    })
}

pub(crate) fn find<'t>(topic: &'t mut Topic, id: &str) -> Result<&'t mut Subscription, Refusal> {
    let missing = || {
        Refusal::new(
            "NoSuchSubscription",
            format!("The subscription does not exist: {id}"),
        )
    };
    topic.subscriptions.get_mut(id).ok_or_else(missing)
}

/// Answers a call on offsets.
pub(crate) fn offsets(topic: &mut Topic, id: &str, method: &str, request: &Value) -> Result<Value, Refusal> {
    let all: Vec<String> = topic.shards.iter().map(|shard| shard.id.to_string()).collect();
    let action = request
        .get("Action")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let named: Vec<String> = request
        .get("ShardIds")
        .and_then(Value::as_array)
        .map(|ids| ids.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    for shard in &named {
        topic.find(shard)?;
    }
    let subscription = find(topic, id)?;
    match (method, action.as_str()) {
        ("POST", "open") => open(subscription, &named),
        ("POST", "get") => {
            let shards = if named.is_empty() { all } else { named };
            let entry = |shard: String| {
                let offset = subscription.offsets.get(&shard).cloned().unwrap_or_default();
                (shard, written(&offset, false))
            };
            let offsets: Map<String, Value> = shards.into_iter().map(entry).collect();
            Ok(json!({ "Offsets": offsets }))
        }
        ("PUT", "commit" | "reset") => {
            let changes = request.get("Offsets").and_then(Value::as_object);
            let changes = changes.ok_or_else(|| Refusal::parameter("Offsets is missing or invalid"))?;
            if let Some(unknown) = changes.keys().find(|shard| !all.contains(shard)) {
                return Err(Refusal::new(
                    "NoSuchShard",
                    format!("Shard is not exist: {unknown}"),
                ));
            }
            if action == "commit" {
                commit(subscription, changes)
            } else {
                reset(subscription, changes)
            }
        }
        _ => Err(Refusal::parameter(format!("Action is invalid: {action}"))),
    }
}

fn open(subscription: &mut Subscription, shards: &[String]) -> Result<Value, Refusal> {
    if !subscription.online {
        return Err(offline());
    }
    let mut offsets = Map::new();
    for shard in shards {
        let offset = subscription.offsets.entry(shard.clone()).or_default();
        offset.session += 1;
        offsets.insert(shard.clone(), written(offset, true));
    }
    Ok(json!({ "Offsets": offsets }))
}

fn commit(subscription: &mut Subscription, changes: &Map<String, Value>) -> Result<Value, Refusal> {
    if !subscription.online {
        return Err(offline());
    }
    // All are checked before any is changed.
    for (shard, change) in changes {
        let offset = subscription.offsets.get(shard).cloned().unwrap_or_default();
        if offset.session == 0 {
            return Err(Refusal::new(
                "OffsetSessionClosed",
                format!("No session is open for shard {shard}."),
            ));
        }
        if number(change, "Version")? != offset.version {
            return Err(Refusal::new(
                "OffsetReseted",
                format!("The offset of shard {shard} was reset."),
            ));
        }
        if number(change, "SessionId")? != offset.session {
            return Err(Refusal::new(
                "OffsetSessionChanged",
                format!("Shard {shard} has a newer session."),
            ));
        }
    }
    for (shard, change) in changes {
        let offset = subscription.offsets.entry(shard.clone()).or_default();
        (offset.sequence, offset.timestamp) = (number(change, "Sequence")?, number(change, "Timestamp")?);
        offset.batch_index = number(change, "BatchIndex").unwrap_or(0);
    }
    Ok(Value::Null)
}

fn reset(subscription: &mut Subscription, changes: &Map<String, Value>) -> Result<Value, Refusal> {
    for (shard, change) in changes {
        let (sequence, timestamp) = (number(change, "Sequence")?, number(change, "Timestamp")?);
        let offset = subscription.offsets.entry(shard.clone()).or_default();
        (offset.sequence, offset.timestamp, offset.batch_index) = (sequence, timestamp, 0);
        offset.version += 1;
    }
    Ok(Value::Null)
}

fn offline() -> Refusal {
    Refusal::new("SubscriptionOffline", "The subscription is switched off.")
}

/// A whole number, perhaps in quotes.
fn number(of: &Value, key: &str) -> Result<i64, Refusal> {
    let value = of.get(key);
    let quoted = || value.and_then(Value::as_str).and_then(|text| text.parse().ok());
    let bad = || Refusal::parameter(format!("{key} is missing or invalid"));
    value.and_then(Value::as_i64).or_else(quoted).ok_or_else(bad)
}

fn written(offset: &Offset, session: bool) -> Value {
    let mut entry = json!({
        "Sequence": offset.sequence,
        "Timestamp": offset.timestamp,
        "Version": offset.version,
        "BatchIndex": offset.batch_index,
    });
    if let Some(entry) = entry.as_object_mut().filter(|_| session) {
        entry.insert("SessionId".to_owned(), json!(offset.session));
    }
    entry
}
