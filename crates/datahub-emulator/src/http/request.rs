//! One request: reading its body, knowing who sent it, doing what it asks for.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use serde_json::Value;

use super::reply::{BATCH, JSON, PROTOBUF, RAW_SIZE, Reply, header, respond};
use crate::body::Answer;
use crate::call::{CallKind, Section, Target};
use crate::faults::{Action, Plan};
use crate::options::NullSink;
use crate::refusal::Refusal;
use crate::server::Shared;
use crate::topic::Topic;
use crate::{compression, cursor, frame, get, group, manage, null, put, sign, subscription};

/// A request whose body was read and opened.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) uri: String,
    pub(super) headers: HeaderMap,
    pub(super) target: Target,
    pub(super) kind: CallKind,
    content_type: String,
    /// The body, if it is JSON.
    json: Value,
    body: Bytes,
    wire_bytes: u64,
    pub(super) request_id: String,
}

impl Call {
    /// A request whose body was not read yet.
    pub(super) fn new(shared: &Shared, parts: Parts) -> Call {
        Call {
            uri: parts
                .uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
            target: Target::parse(parts.uri.path()),
            method: parts.method,
            content_type: header(&parts.headers, CONTENT_TYPE.as_str())
                .unwrap_or_default()
                .to_owned(),
            headers: parts.headers,
            kind: CallKind::Unknown,
            json: Value::Null,
            body: Bytes::new(),
            wire_bytes: 0,
            request_id: shared.request_id(),
        }
    }

    pub(super) fn is_framed_put(&self) -> bool {
        let action = header(&self.headers, "x-datahub-request-action").unwrap_or_default();
        self.method == Method::POST
            && matches!(self.target.section, Section::Shards | Section::Shard(_))
            && self.content_type != JSON
            && action == "pub"
    }

    pub(super) fn raw_size(&self) -> Option<usize> {
        header(&self.headers, RAW_SIZE).and_then(|size| size.trim().parse().ok())
    }

    /// Reads the body, takes off its compression, and parses it if it is JSON.
    pub(super) async fn read(&mut self, shared: &Shared, body: Incoming) -> Result<(), Refusal> {
        let limit = shared.options.max_body_bytes;
        // Compression may add a little; a body far above the limit is not read to its end.
        let body = Limited::new(body, limit.saturating_add(limit / 100 + 4096))
            .collect()
            .await;
        let body = body.map_err(
            |error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
                Some(_) => compression::too_large(limit.saturating_add(1), limit),
                None => Refusal::parameter(format!("The body could not be read: {error}")),
            },
        )?;
        let body = body.to_bytes();
        self.wire_bytes = body.len() as u64;
        let encoding = header(&self.headers, CONTENT_ENCODING.as_str()).filter(|name| !name.is_empty());
        self.body = match encoding {
            Some(name) => compression::decode(name, self.raw_size(), body, limit)?,
            None if body.len() > limit => return Err(compression::too_large(body.len(), limit)),
            None => body,
        };
        if self.content_type.starts_with(JSON) && !self.body.is_empty() {
            self.json = serde_json::from_slice(&self.body)
                .map_err(|error| Refusal::parameter(format!("Parse body failed: {error}")))?;
        }
        Ok(())
    }

    pub(super) fn action(&self) -> &str {
        let from_header = || header(&self.headers, "x-datahub-request-action");
        self.json
            .get("Action")
            .and_then(Value::as_str)
            .or_else(from_header)
            .unwrap_or_default()
    }

    pub(super) fn plan(&self, shared: &Shared) -> Plan {
        let plan = shared
            .faults()
            .plan(self.kind, &self.target.topic, self.target.shard());
        let mut stats = shared.stats();
        *stats.requests.entry(self.kind).or_default() += 1;
        stats.faults += plan.fired;
        plan
    }

    pub(super) fn authorize(&self, shared: &Shared) -> Result<(), Refusal> {
        if !shared.options.verify_signatures {
            return Ok(());
        }
        let credentials = shared.credentials().clone();
        let now_s = shared.options.clock.now_us() / 1_000_000;
        sign::verify(
            &credentials,
            self.method.as_str(),
            &self.uri,
            &self.headers,
            now_s,
        )
    }

    /// Does what the request asks for.
    pub(super) fn apply(&self, shared: &Shared, fault: Option<&Action>) -> Result<Reply, Refusal> {
        self.authorize(shared)?;
        let (now, target) = (shared.now(), &self.target);
        let mut world = shared.world();
        let (project, topic) = (target.project.as_str(), target.topic.as_str());
        let text = |key: &str| self.json.get(key).and_then(Value::as_str).unwrap_or_default();
        let value = match (self.kind, &target.section) {
            (CallKind::Put, _) => {
                drop(world);
                return self.put(shared, fault);
            }
            (CallKind::Get, Section::Shard(id)) => return self.get(world.topic(project, topic)?, id, shared),
            (CallKind::Cursor, Section::Shard(id)) => {
                cursor::seek(world.topic(project, topic)?, id, &self.json, now)?
            }
            (CallKind::Meter, Section::Shard(id)) => {
                let shard = world.topic(project, topic)?.shard(id)?;
                if shard.records.is_empty() {
                    return Err(Refusal::new("NoSuchMeteringInfo", "The shard has no data yet."));
                }
                serde_json::json!({"ActiveTime": 60, "Storage": shard.bytes})
            }
            (CallKind::ListShards, _) => world.topic(project, topic)?.list_shards(now),
            (CallKind::Split, _) => {
                let key = Some(text("SplitKey")).filter(|key| !key.is_empty());
                world.topic(project, topic)?.split(text("ShardId"), key, now)?
            }
            (CallKind::Merge, _) => {
                world
                    .topic(project, topic)?
                    .merge(text("ShardId"), text("AdjacentShardId"), now)?
            }
            (CallKind::Extend, _) => {
                let count = self.json.get("ShardNumber").and_then(Value::as_u64).unwrap_or(0);
                world
                    .topic(project, topic)?
                    .extend_to(usize::try_from(count).unwrap_or(usize::MAX), now)?;
                Value::Null
            }
            (CallKind::Subscription, _) => subscription::handle(
                world.topic(project, topic)?,
                self.method.as_str(),
                target,
                &self.json,
                now,
            )?,
            (CallKind::Offsets, Section::Offsets(id)) => {
                subscription::offsets(world.topic(project, topic)?, id, self.method.as_str(), &self.json)?
            }
            (CallKind::Group, Section::Subscription(id)) => {
                group::handle(world.topic(project, topic)?, id, &self.json, now)?
            }
            (CallKind::Unknown, _) => {
                let what = format!("{} {} {}", self.method, self.uri, self.action());
                return Err(Refusal::new(
                    "InvalidUriSpec",
                    format!("The emulator does not know this call: {what}"),
                ));
            }
            (kind, _) => manage::handle(&mut world, kind, target, &self.json, now)?,
        };
        let created = matches!(self.kind, CallKind::CreateProject | CallKind::CreateTopic);
        Ok(Reply::json(if created { 201 } else { 200 }, &value))
    }

    fn put(&self, shared: &Shared, fault: Option<&Action>) -> Result<Reply, Refusal> {
        if shared.options.null == NullSink::Count && self.content_type != JSON {
            return null::count(&self.body, self.wire_bytes).and_then(|seen| self.note_null(shared, seen));
        }
        let by_shard = self.target.shard().is_some();
        let records = match (self.content_type.as_str(), by_shard) {
            (PROTOBUF, _) => put::parse_protobuf(frame::open(&self.body)?)?,
            (BATCH, true) => put::parse_batches(frame::open(&self.body)?)?,
            (BATCH, false) => return Err(Refusal::parameter("Batches can only be put by shard")),
            (_, true) => return Err(Refusal::parameter("Records can only be put by shard in protobuf")),
            (_, false) => put::parse_json(&self.json)?,
        };
        // Nobody can be told of a record stored while the lock was not held: the time is read under it.
        let mut world = shared.world();
        let failed = put::put(
            &mut world,
            &self.target,
            &records,
            self.body.len(),
            fault,
            shared.now(),
        )?;
        shared.stored.send_replace(world.stored_records);
        drop(world);
        let mut stats = shared.stats();
        stats.puts_applied += 1;
        stats.records += (records.len() - failed.len()) as u64;
        stats.records_refused += failed.len() as u64;
        stats.wire_bytes += self.wire_bytes;
        stats.raw_bytes += self.body.len() as u64;
        drop(stats);
        Ok(match (self.content_type.as_str(), by_shard) {
            (PROTOBUF, false) => Reply::framed(PROTOBUF, &put::protobuf_answer(&failed)),
            (_, true) => Reply {
                status: 200,
                content_type: PROTOBUF,
                body: Bytes::new(),
                compressible: false,
            },
            (_, false) => Reply {
                compressible: true,
                ..Reply::json(200, &put::json_answer(&failed))
            },
        })
    }

    fn get(&self, topic: &Topic, id: &str, shared: &Shared) -> Result<Reply, Refusal> {
        let now = shared.now();
        if self.content_type == PROTOBUF || self.content_type == BATCH {
            let wanted = get::Wanted::from_protobuf(frame::open(&self.body)?)?;
            return if self.content_type == PROTOBUF {
                Ok(Reply::framed(PROTOBUF, &get::protobuf(topic, id, &wanted, now)?))
            } else {
                Ok(Reply::framed(BATCH, &get::batches(topic, id, &wanted, now)?))
            };
        }
        let value = get::json(topic, id, &get::Wanted::from_json(&self.json)?, now)?;
        Ok(Reply {
            compressible: true,
            ..Reply::json(200, &value)
        })
    }

    /// Counts a put that a null sink took.
    pub(super) fn note_null(&self, shared: &Shared, seen: null::Seen) -> Result<Reply, Refusal> {
        let mut stats = shared.stats();
        stats.puts_applied += 1;
        stats.records += seen.records;
        stats.wire_bytes += seen.wire_bytes;
        stats.raw_bytes += seen.raw_bytes;
        drop(stats);
        if self.target.shard().is_some() {
            return Ok(Reply {
                status: 200,
                content_type: PROTOBUF,
                body: Bytes::new(),
                compressible: false,
            });
        }
        Ok(Reply::framed(PROTOBUF, &put::protobuf_answer(&[])))
    }

    pub(super) fn finish(
        &self,
        shared: &Shared,
        result: Result<Reply, Refusal>,
        fault: Option<&Action>,
    ) -> Response<Answer> {
        let reply = result.unwrap_or_else(|refusal| {
            *shared.stats().errors.entry(refusal.code.clone()).or_default() += 1;
            let body = refusal.to_json(&self.request_id).into();
            Reply {
                status: refusal.status,
                content_type: JSON,
                body,
                compressible: false,
            }
        });
        respond(shared, &reply, &self.headers, &self.request_id, fault)
    }
}
