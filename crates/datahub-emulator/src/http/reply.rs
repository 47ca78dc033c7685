//! Answers: how they are written, and how they are spoiled on purpose.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue,
};
use hyper::{Response, StatusCode};
use serde_json::Value;

use crate::body::Answer;
use crate::faults::Action;
use crate::server::Shared;
use crate::{compression, frame};

pub(super) const JSON: &str = "application/json";
pub(super) const PROTOBUF: &str = "application/x-protobuf";
pub(super) const BATCH: &str = "application/x-binary";
pub(super) const RAW_SIZE: &str = "x-datahub-content-raw-size";

/// An answer before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    /// Record calls answer in the encoding that the client names.
    pub(super) compressible: bool,
}

impl Reply {
    pub(crate) fn json(status: u16, value: &Value) -> Reply {
        let body = if value.is_null() {
            Bytes::new()
        } else {
            value.to_string().into()
        };
        Reply {
            status,
            content_type: JSON,
            body,
            compressible: false,
        }
    }

    pub(super) fn framed(content_type: &'static str, payload: &[u8]) -> Reply {
        Reply {
            status: 200,
            content_type,
            body: frame::seal(payload),
            compressible: true,
        }
    }
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(super) fn html(shared: &Shared, status: Option<u16>, request_id: &str) -> Response<Answer> {
    let body = Bytes::from_static(b"<html><head><title>502 Bad Gateway</title></head><body></body></html>");
    let reply = Reply {
        status: status.unwrap_or(502),
        content_type: "text/html",
        body,
        compressible: false,
    };
    respond(shared, &reply, &HeaderMap::new(), request_id, None)
}

/// Writes an answer, spoiling it if a fault plan says so.
pub(crate) fn respond(
    shared: &Shared,
    reply: &Reply,
    request: &HeaderMap,
    request_id: &str,
    fault: Option<&Action>,
) -> Response<Answer> {
    let mut body = reply.body.clone();
    let mut response = Response::new(Answer::Whole(Bytes::new()));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    let date = shared.options.clock.http_date();
    for (name, value) in [
        ("x-datahub-request-id", request_id),
        (DATE.as_str(), date.as_str()),
    ] {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    match fault {
        Some(Action::WrongJson) => body = Bytes::from_static(b"{\"FailedRecordCount\": 0, \"Fail"),
        Some(Action::WrongCrc) if body.starts_with(b"DHUB") => {
            body = body
                .iter()
                .enumerate()
                .map(|(at, byte)| byte ^ u8::from((4..8).contains(&at)))
                .collect();
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
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, body.len().max(2).into());
            Answer::cut(body.slice(..body.len() / 2))
        }
        _ => Answer::Whole(body),
    };
    response
}
