//! One request around the call itself: faults before and after, and the null sink that opens nothing.

mod reply;
mod request;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_ENCODING;
use hyper::{Request, Response};

use self::reply::html;
pub(crate) use self::reply::{Reply, respond};
use self::request::Call;
use crate::body::Answer;
use crate::call::CallKind;
use crate::faults::{Action, Plan, When};
use crate::options::NullSink;
use crate::refusal::Refusal;
use crate::server::Shared;
use crate::{control, null};

/// The connection is to end without an answer.
#[derive(Debug)]
pub(crate) enum Dropped {
    /// In order.
    Closed,
    /// By a reset.
    Reset,
}

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

/// Answers one request, or drops its connection.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Dropped> {
    let (parts, body) = request.into_parts();
    let uri = parts
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    if uri.starts_with("/_emulator/") {
        let body = Limited::new(body, 1 << 20)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        let reply = control::handle(&shared, &parts.method, &uri, &body.unwrap_or_default());
        return Ok(respond(&shared, &reply, &parts.headers, "control", None));
    }
    let mut call = Call::new(&shared, parts);
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
        Some(Action::Drop { when: When::Before }) => return Err(Dropped::Closed),
        Some(Action::Reset { when: When::Before }) => return Err(Dropped::Reset),
        Some(Action::Hang { when: When::Before }) => hang(&shared).await,
        Some(Action::Error {
            code,
            status,
            message,
            when: When::Before,
        }) => {
            return Ok(call.finish(&shared, Err(planned(code, *status, message.as_deref())), None));
        }
        Some(Action::Html {
            status,
            when: When::Before,
        }) => return Ok(html(&shared, *status, &call.request_id)),
        Some(Action::LateApply { ms }) => {
            let (wait, after) = (Duration::from_millis(*ms), Arc::clone(&shared));
            shared.later(async move {
                tokio::time::sleep(wait).await;
                drop(call.apply(&after, None));
            });
            return Err(Dropped::Closed);
        }
        _ => {}
    }
    let result = call.apply(&shared, plan.action.as_ref());
    tokio::time::sleep(plan.delay_after).await;
    match &plan.action {
        Some(Action::Drop { when: When::After }) => Err(Dropped::Closed),
        Some(Action::Reset { when: When::After }) => Err(Dropped::Reset),
        Some(Action::Hang { when: When::After }) => hang(&shared).await,
        Some(Action::Error {
            code,
            status,
            message,
            when: When::After,
        }) => Ok(call.finish(&shared, Err(planned(code, *status, message.as_deref())), None)),
        Some(Action::Html {
            status,
            when: When::After,
        }) => Ok(html(&shared, *status, &call.request_id)),
        action => Ok(call.finish(&shared, result, action.as_ref())),
    }
}

/// Leaves a request without an answer for ever, and counts it: who waits for that moment finds everything done that
/// was to be done before.
async fn hang(shared: &Shared) -> ! {
    shared.stats().hung += 1;
    std::future::pending().await
}

/// Takes a put into the null sink that opens nothing.
async fn skip(shared: &Arc<Shared>, mut call: Call, body: Incoming) -> Result<Response<Answer>, Dropped> {
    call.kind = CallKind::Put;
    let plan = call.plan(shared);
    let encoded = call.headers.contains_key(CONTENT_ENCODING);
    let seen = null::skip(body, encoded, call.raw_size(), shared.options.max_body_bytes).await;
    tokio::time::sleep(plan.delay_before).await;
    match &plan.action {
        Some(Action::Drop { .. } | Action::LateApply { .. }) => return Err(Dropped::Closed),
        Some(Action::Reset { .. }) => return Err(Dropped::Reset),
        Some(Action::Error {
            code,
            status,
            message,
            ..
        }) => {
            return Ok(call.finish(shared, Err(planned(code, *status, message.as_deref())), None));
        }
        _ => {}
    }
    let result = call
        .authorize(shared)
        .and(seen)
        .and_then(|seen| call.note_null(shared, seen));
    Ok(call.finish(shared, result, None))
}

fn planned(code: &str, status: Option<u16>, message: Option<&str>) -> Refusal {
    let mut refusal = Refusal::new(code, message.unwrap_or("Sent by a fault plan."));
    refusal.status = status.unwrap_or(refusal.status);
    refusal
}
