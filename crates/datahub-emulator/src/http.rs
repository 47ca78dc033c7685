//! One request from its first byte to its answer: body, faults, signature, dispatch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderValue,
};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;

use crate::body::Answer;
use crate::clock::Clock;
use crate::call::{CallKind, Section, Target};
use crate::faults::{Action, Plan, When};
use crate::options::NullSink;
use crate::refusal::Refusal;
use crate::server::Shared;
use crate::{compression, control, cursor, frame, get, group, manage, null, put, sign, subscription};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const BATCH: &str = "application/x-binary";
const RAW_SIZE: &str = "x-datahub-content-raw-size";

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub(crate) struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

/// An answer before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    /// Record calls answer in the encoding that the client names.
    compressible: bool,
}

impl Reply {
    pub(crate) fn json(status: u16, value: &Value) -> Reply {
        let body = if value.is_null() { Bytes::new() } else { value.to_string().into() };
        Reply { status, content_type: JSON, body, compressible: false }
    }

    fn framed(content_type: &'static str, payload: &[u8]) -> Reply {
        Reply { status: 200, content_type, body: frame::seal(payload), compressible: true }
    }
}

/// A request whose body was read and opened.
struct Call {
    method: Method,
    uri: String,
    headers: HeaderMap,
    target: Target,
    kind: CallKind,
    content_type: String,
    /// The body, if it is JSON.
    json: Value,
    body: Bytes,
    wire_bytes: u64,
    request_id: String,
}

/// Answers one request, or drops its connection.
pub(crate) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Answer>, Dropped> {
    let (parts, body) = request.into_parts();
    let uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if uri.starts_with("/_emulator/") {
        let body = Limited::new(body, 1 << 20).collect().await.map(http_body_util::Collected::to_bytes);
        let reply = control::handle(&shared, &parts.method, &uri, &body.unwrap_or_default());
        return Ok(respond(&reply, &parts.headers, "control", None));
    }
    let mut call = Call {
        target: Target::parse(parts.uri.path()),
        method: parts.method,
        uri,
        content_type: header(&parts.headers, CONTENT_TYPE.as_str()).unwrap_or_default().to_owned(),
        headers: parts.headers,
        kind: CallKind::Unknown,
        json: Value::Null,
        body: Bytes::new(),
        wire_bytes: 0,
        request_id: shared.request_id(),
    };
    if shared.options.null == NullSink::Skip && call.is_framed_put() {
        return skip(&shared, call, body).await;
    }
    let opened = call.read(&shared, body).await;
    call.kind = call.target.kind(&call.method, call.action());
    let plan = call.plan(&shared);
    if let Err(refusal) = opened {
        return Ok(call.finish(&shared, Err(refusal), None));
    }
    carry_out(shared, call, plan).await
}

/// Does what the plan says around the call itself.
async fn carry_out(shared: Arc<Shared>, call: Call, plan: Plan) -> Result<Response<Answer>, Dropped> {
    tokio::time::sleep(plan.delay_before).await;
    match &plan.action {
        Some(Action::Drop { when: When::Before }) => return Err(Dropped),
        Some(Action::Hang { when: When::Before }) => std::future::pending().await,
        Some(Action::Error { code, status, message, when: When::Before }) => {
            return Ok(call.finish(&shared, Err(planned(code, *status, message.as_deref())), None));
        }
        Some(Action::Html { status, when: When::Before }) => return Ok(html(*status, &call.request_id)),
        Some(Action::LateApply { ms }) => {
            let (wait, after) = (Duration::from_millis(*ms), Arc::clone(&shared));
            shared.later(async move {
                tokio::time::sleep(wait).await;
                drop(call.apply(&after, None));
            });
            return Err(Dropped);
        }
        _ => {}
    }
    let result = call.apply(&shared, plan.action.as_ref());
    tokio::time::sleep(plan.delay_after).await;
    match &plan.action {
        Some(Action::Drop { when: When::After }) => Err(Dropped),
        Some(Action::Hang { when: When::After }) => std::future::pending().await,
        Some(Action::Error { code, status, message, when: When::After }) => {
            Ok(call.finish(&shared, Err(planned(code, *status, message.as_deref())), None))
        }
        Some(Action::Html { status, when: When::After }) => Ok(html(*status, &call.request_id)),
        action => Ok(call.finish(&shared, result, action.as_ref())),
    }
}

/// Takes a put into the null sink that opens nothing.
async fn skip(shared: &Arc<Shared>, mut call: Call, body: Incoming) -> Result<Response<Answer>, Dropped> {
    call.kind = CallKind::Put;
    let plan = call.plan(shared);
    let encoded = call.headers.contains_key(CONTENT_ENCODING);
    let seen = null::skip(body, encoded, call.raw_size(), shared.options.max_body_bytes).await;
    tokio::time::sleep(plan.delay_before).await;
    match &plan.action {
        Some(Action::Drop { .. } | Action::LateApply { .. }) => return Err(Dropped),
        Some(Action::Error { code, status, message, .. }) => {
            return Ok(call.finish(shared, Err(planned(code, *status, message.as_deref())), None));
        }
        _ => {}
    }
    let result = call.authorize(shared).and(seen).and_then(|seen| call.note_null(shared, seen));
    Ok(call.finish(shared, result, None))
}

impl Call {
    fn is_framed_put(&self) -> bool {
        let action = header(&self.headers, "x-datahub-request-action").unwrap_or_default();
        self.method == Method::POST
            && matches!(self.target.section, Section::Shards | Section::Shard(_))
            && self.content_type != JSON
            && action == "pub"
    }

    fn raw_size(&self) -> Option<usize> {
        header(&self.headers, RAW_SIZE).and_then(|size| size.trim().parse().ok())
    }

    /// Reads the body, takes off its compression, and parses it if it is JSON.
    async fn read(&mut self, shared: &Shared, body: Incoming) -> Result<(), Refusal> {
        let limit = shared.options.max_body_bytes;
        // Compression may add a little; a body far above the limit is not read to its end.
        let body = Limited::new(body, limit.saturating_add(limit / 100 + 4096)).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
            Some(_) => compression::too_large(limit.saturating_add(1), limit),
            None => Refusal::parameter(format!("The body could not be read: {error}")),
        })?;
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

    fn action(&self) -> &str {
        let from_header = || header(&self.headers, "x-datahub-request-action");
        self.json.get("Action").and_then(Value::as_str).or_else(from_header).unwrap_or_default()
    }

    fn plan(&self, shared: &Shared) -> Plan {
        let plan = shared.faults().plan(self.kind, &self.target.topic, self.target.shard());
        let mut stats = shared.stats();
        *stats.requests.entry(self.kind).or_default() += 1;
        stats.faults += plan.fired;
        plan
    }

    fn authorize(&self, shared: &Shared) -> Result<(), Refusal> {
        if !shared.options.verify_signatures {
            return Ok(());
        }
        let credentials = shared.credentials().clone();
        let now_s = shared.options.clock.now_us() / 1_000_000;
        sign::verify(&credentials, self.method.as_str(), &self.uri, &self.headers, now_s)
    }

    /// Does what the request asks for.
    fn apply(&self, shared: &Shared, fault: Option<&Action>) -> Result<Reply, Refusal> {
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
                world.topic(project, topic)?.merge(text("ShardId"), text("AdjacentShardId"), now)?
            }
            (CallKind::Extend, _) => {
                let count = self.json.get("ShardNumber").and_then(Value::as_u64).unwrap_or(0);
                world.topic(project, topic)?.extend_to(usize::try_from(count).unwrap_or(usize::MAX), now)?;
                Value::Null
            }
            (CallKind::Subscription, _) => {
                subscription::handle(world.topic(project, topic)?, self.method.as_str(), target, &self.json, now)?
            }
            (CallKind::Offsets, Section::Offsets(id)) => {
                subscription::offsets(world.topic(project, topic)?, id, self.method.as_str(), &self.json)?
            }
            (CallKind::Group, Section::Subscription(id)) => {
                group::handle(world.topic(project, topic)?, id, &self.json, now)?
            }
            (CallKind::Unknown, _) => {
                let what = format!("{} {} {}", self.method, self.uri, self.action());
                return Err(Refusal::new("InvalidUriSpec", format!("The emulator does not know this call: {what}")));
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
        let failed = put::put(&mut world, &self.target, &records, self.body.len(), fault, shared.now())?;
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
            (_, true) => Reply { status: 200, content_type: PROTOBUF, body: Bytes::new(), compressible: false },
            (_, false) => Reply { compressible: true, ..Reply::json(200, &put::json_answer(&failed)) },
        })
    }

    fn get(&self, topic: &crate::topic::Topic, id: &str, shared: &Shared) -> Result<Reply, Refusal> {
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
        Ok(Reply { compressible: true, ..Reply::json(200, &value) })
    }

    /// Counts a put that a null sink took.
    fn note_null(&self, shared: &Shared, seen: null::Seen) -> Result<Reply, Refusal> {
        let mut stats = shared.stats();
        stats.puts_applied += 1;
        stats.records += seen.records;
        stats.wire_bytes += seen.wire_bytes;
        stats.raw_bytes += seen.raw_bytes;
        drop(stats);
        if self.target.shard().is_some() {
            return Ok(Reply { status: 200, content_type: PROTOBUF, body: Bytes::new(), compressible: false });
        }
        Ok(Reply::framed(PROTOBUF, &put::protobuf_answer(&[])))
    }

    fn finish(
        &self,
        shared: &Shared,
        result: Result<Reply, Refusal>,
        fault: Option<&Action>,
    ) -> Response<Answer> {
        let reply = result.unwrap_or_else(|refusal| {
            *shared.stats().errors.entry(refusal.code.clone()).or_default() += 1;
            let body = refusal.to_json(&self.request_id).into();
            Reply { status: refusal.status, content_type: JSON, body, compressible: false }
        });
        let mut response = respond(&reply, &self.headers, &self.request_id, fault);
        // The machine's own time is added to every answer anyway.
        if let Clock::Fixed(ms) = shared.options.clock {
            let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(ms));
            if let Ok(date) = HeaderValue::from_str(&date) {
                response.headers_mut().insert(DATE, date);
            }
        }
        response
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn planned(code: &str, status: Option<u16>, message: Option<&str>) -> Refusal {
    let mut refusal = Refusal::new(code, message.unwrap_or("Sent by a fault plan."));
    refusal.status = status.unwrap_or(refusal.status);
    refusal
}

fn html(status: Option<u16>, request_id: &str) -> Response<Answer> {
    let body = Bytes::from_static(b"<html><head><title>502 Bad Gateway</title></head><body></body></html>");
    let reply = Reply { status: status.unwrap_or(502), content_type: "text/html", body, compressible: false };
    respond(&reply, &HeaderMap::new(), request_id, None)
}

/// Writes an answer, spoiling it if a fault plan says so.
fn respond(reply: &Reply, request: &HeaderMap, request_id: &str, fault: Option<&Action>) -> Response<Answer> {
    let mut body = reply.body.clone();
    let mut response = Response::new(Answer::Whole(Bytes::new()));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-datahub-request-id", id);
    }
    match fault {
        Some(Action::WrongJson) => body = Bytes::from_static(b"{\"FailedRecordCount\": 0, \"Fail"),
        Some(Action::WrongCrc) if body.starts_with(b"DHUB") => {
            body = body.iter().enumerate().map(|(at, byte)| byte ^ u8::from((4..8).contains(&at))).collect();
        }
        _ => {}
    }
    let accepted = header(request, ACCEPT_ENCODING.as_str()).filter(|_| reply.compressible);
    if let Some((name, small)) = accepted.and_then(|name| compression::encode(name, &body)) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        headers.insert(RAW_SIZE, body.len().into());
        body = small;
    }
    *response.body_mut() = match fault {
        Some(Action::Slow { bytes, tick_ms }) => Answer::slow(body, *bytes, Duration::from_millis(*tick_ms)),
        Some(Action::TruncatedBody) => {
            // An empty answer is announced longer than it is as well.
            response.headers_mut().insert(CONTENT_LENGTH, body.len().max(2).into());
            let half = body.slice(..body.len() / 2);
            Answer::Cut(Some(half).filter(|half| !half.is_empty()))
        }
        _ => Answer::Whole(body),
    };
    response
}
