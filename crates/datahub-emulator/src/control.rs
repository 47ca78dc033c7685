//! The unsigned calls under `/_emulator/`: faults, counters, contents, shard changes, reset.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::faults::Rule;
use crate::get;
use crate::http::Reply;
use crate::refusal::Refusal;
use crate::server::{Shared, at_once};
use crate::shard::hash_key;
use crate::sign::percent_decode;
use crate::topic::Moment;
use crate::view::{Payload, ShardView, StoredRecord, page};

/// Answers a control call.
pub(crate) fn handle(shared: &Shared, method: &Method, uri: &str, body: &[u8]) -> Reply {
    match route(shared, method, uri, body) {
        Ok(value) => Reply::json(200, &value),
        Err(refusal) => Reply::json(
            refusal.status,
            &json!({"ErrorCode": refusal.code, "ErrorMessage": refusal.message}),
        ),
    }
}

fn route(shared: &Shared, method: &Method, uri: &str, body: &[u8]) -> Result<Value, Refusal> {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    let request = || -> Result<Value, Refusal> {
        serde_json::from_slice(body).map_err(|error| Refusal::parameter(format!("not JSON: {error}")))
    };
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["health"]) => Ok(json!({"status": "ok"})),
        ("GET", ["stats"]) => Ok(stats(shared)),
        ("GET", ["state"]) => Ok(state(shared)),
        ("POST", ["reset"]) => shared.reset().map(|()| json!({})),
        ("GET", ["faults"]) => Ok(json!({ "rules": shared.faults().rules })),
        ("POST", ["faults"]) => add_faults(shared, request()?),
        ("DELETE", ["faults"]) => {
            shared.faults().rules.clear();
            Ok(json!({}))
        }
        ("DELETE", ["faults", id]) => {
            let id: u64 = id
                .parse()
                .map_err(|_| Refusal::parameter("not the id of a rule"))?;
            shared.faults().rules.retain(|rule| rule.id != id);
            Ok(json!({}))
        }
        ("POST", ["credentials"]) => credentials(shared, &request()?),
        ("GET", ["topics", project, topic, "records"]) => records(shared, project, topic, query),
        ("GET", ["topics", project, topic, "duplicates"]) => duplicates(shared, project, topic, query),
        ("POST", ["topics", project, topic, change @ ("split" | "merge")]) => {
            reshape(shared, project, topic, change, &request()?)
        }
        _ => Err(Refusal::new(
            "ResourceNotFound",
            format!("no such control call: {method} {path}"),
        )),
    }
}

fn add_faults(shared: &Shared, request: Value) -> Result<Value, Refusal> {
    let rules = if request.is_array() {
        request
    } else {
        json!([request])
    };
    let rules: Vec<Rule> = serde_json::from_value(rules)
        .map_err(|error| Refusal::parameter(format!("not a fault rule: {error}")))?;
    let mut faults = shared.faults();
    let ids: Vec<u64> = rules.into_iter().map(|rule| faults.add(rule)).collect();
    Ok(json!({"ids": ids}))
}

fn credentials(shared: &Shared, request: &Value) -> Result<Value, Refusal> {
    let text = |key: &str| request.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut credentials = shared.credentials();
    if let Some(id) = text("access_id") {
        credentials.access_id = id;
    }
    if let Some(key) = text("access_key") {
        credentials.access_key = key;
    }
    if request.get("security_token").is_some() {
        credentials.security_token = text("security_token");
    }
    Ok(json!({}))
}

fn stats(shared: &Shared) -> Value {
    let mut value = json!(*shared.stats());
    let world = shared.world();
    if let Some(entries) = value.as_object_mut() {
        entries.insert("stored_bytes".to_owned(), json!(world.stored_bytes));
        entries.insert("stored_records".to_owned(), json!(world.stored_records));
    }
    value
}

/// Projects, topics and shards with how much is in them.
fn state(shared: &Shared) -> Value {
    let now_ms = shared.now().ms();
    let world = shared.world();
    let mut topics = Vec::new();
    for topic in world
        .projects
        .values()
        .flat_map(|project| project.topics.values())
    {
        let shard = |shard: ShardView| {
            json!({
                "id": shard.id, "active": shard.active, "records": shard.records, "bytes": shard.bytes,
                "begin": hash_key(shard.begin), "end": hash_key(shard.end), "parents": shard.parents,
            })
        };
        let shards: Vec<Value> = ShardView::all(topic, now_ms).into_iter().map(shard).collect();
        let records: usize = topic.shards.iter().map(|shard| shard.records.len()).sum();
        let (project, name) = (&topic.project, &topic.name);
        topics.push(json!({"project": project, "topic": name, "records": records, "shards": shards}));
    }
    json!({ "topics": topics })
}

/// The records of a topic, of one shard or all: `?shard=0&from=10&limit=5`.
fn records(shared: &Shared, project: &str, topic: &str, query: &str) -> Result<Value, Refusal> {
    let parameter = |name: &str| -> Result<Option<u64>, Refusal> {
        let bad = || Refusal::parameter(format!("{name} is not a number"));
        let value = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name);
        value
            .map(|(_, value)| value.parse().map_err(|_| bad()))
            .transpose()
    };
    let (from, limit) = (
        parameter("from")?.unwrap_or(0),
        parameter("limit")?.unwrap_or(1000),
    );
    let limit = usize::try_from(limit.min(100_000)).unwrap_or(0);
    let wanted = parameter("shard")?;
    let mut world = shared.world();
    let topic = world.topic(&decode(project), &decode(topic))?;
    let mut found = Vec::new();
    for shard in topic
        .shards
        .iter()
        .filter(|shard| wanted.is_none_or(|id| id == u64::from(shard.id)))
    {
        let rest = limit.saturating_sub(found.len());
        found.extend(
            page(topic, shard.id, from, rest)
                .unwrap_or_default()
                .iter()
                .map(record),
        );
    }
    Ok(json!({ "records": found }))
}

/// How many records of a topic repeat the value of an attribute, with a few of the values: `?attribute=cdc.id`.
fn duplicates(shared: &Shared, project: &str, topic: &str, query: &str) -> Result<Value, Refusal> {
    let attribute = query
        .strip_prefix("attribute=")
        .ok_or_else(|| Refusal::parameter("attribute is missing"))?;
    let attribute = decode(attribute);
    let mut world = shared.world();
    let topic = world.topic(&decode(project), &decode(topic))?;
    let (mut seen, mut repeated, mut without) = (HashSet::new(), Vec::new(), 0_u64);
    for record in topic.shards.iter().flat_map(|shard| &shard.records) {
        match get::attributes(record)
            .into_iter()
            .find(|(key, _)| *key == attribute)
        {
            None => without += 1,
            Some((_, value)) if seen.contains(&value) => repeated.push(value),
            Some((_, value)) => drop(seen.insert(value)),
        }
    }
    let examples: Vec<&String> = repeated.iter().take(20).collect();
    Ok(json!({
        "distinct": seen.len(), "repeated": repeated.len(), "without": without, "examples": examples,
    }))
}

fn decode(part: &str) -> String {
    String::from_utf8_lossy(&percent_decode(part.as_bytes(), false)).into_owned()
}

fn record(record: &StoredRecord) -> Value {
    let mut value = json!({
        "shard": record.shard,
        "sequence": record.sequence,
        "system_time_ms": record.system_time_ms,
        "arrival_us": record.arrival_us,
        "attributes": record.attributes.iter().cloned().map(|(k, v)| (k, Value::String(v)))
            .collect::<serde_json::Map<_, _>>(),
    });
    let text = |bytes: &Bytes| std::str::from_utf8(bytes).map(str::to_owned);
    let (key, data) = match &record.data {
        Payload::Blob(bytes) => match text(bytes) {
            Ok(text) => ("text", Value::String(text)),
            Err(_) => ("base64", Value::String(STANDARD.encode(bytes))),
        },
        Payload::Batch(bytes) => ("batch_base64", Value::String(STANDARD.encode(bytes))),
        Payload::Tuple(fields) => {
            let field = |field: &Option<Bytes>| field.as_ref().map(|bytes| text(bytes).unwrap_or_default());
            ("fields", fields.iter().map(field).collect())
        }
    };
    if let Some(entries) = value.as_object_mut() {
        entries.insert(key.to_owned(), data);
    }
    value
}

/// Splits or merges at once, however young the shards are.
fn reshape(
    shared: &Shared,
    project: &str,
    topic: &str,
    change: &str,
    request: &Value,
) -> Result<Value, Refusal> {
    let text = |key: &str| match request.get(key) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let needed = |key: &str| text(key).ok_or_else(|| Refusal::parameter(format!("{key} is missing")));
    let options = at_once(&shared.options);
    let now = Moment {
        us: shared.options.clock.now_us(),
        options: &options,
    };
    let mut world = shared.world();
    let topic = world.topic(&decode(project), &decode(topic))?;
    if change == "split" {
        topic.split(&needed("shard")?, text("key").as_deref(), now)
    } else {
        topic.merge(&needed("shard")?, &needed("adjacent")?, now)
    }
}
