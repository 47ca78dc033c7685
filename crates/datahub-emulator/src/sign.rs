//! Signatures of requests: HMAC-SHA1 over method, content type, date, the `x-datahub-` headers and the resource.
//!
//! The official SDKs disagree on how the resource is written, so a signature is good if any of their forms gives
//! it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap};
use sha1::Sha1;

use crate::refusal::Refusal;

/// How far the clock of a request may be off.
const CLOCK_TOLERANCE_S: u64 = 15 * 60;

/// Who is let in.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) access_id: String,
    pub(crate) access_key: String,
    pub(crate) security_token: Option<String>,
}

/// Checks id, token, clock and signature of a request.
pub(crate) fn verify(
    credentials: &Credentials,
    method: &str,
    uri: &str,
    headers: &HeaderMap,
    now_s: u64,
) -> Result<(), Refusal> {
    let authorization = text(headers, AUTHORIZATION.as_str())
        .ok_or_else(|| Refusal::unauthorized("The Authorization header is missing."))?;
    let (id, signature) = authorization
        .strip_prefix("DATAHUB ")
        .and_then(|rest| rest.rsplit_once(':'))
        .ok_or_else(|| Refusal::unauthorized("The Authorization header is not DATAHUB <id>:<signature>."))?;
    if id.trim() != credentials.access_id.trim() {
        return Err(Refusal::unauthorized(format!(
            "The AccessId does not exist: {}",
            id.trim()
        )));
    }
    verify_token(credentials, headers)?;
    verify_clock(headers, now_s)?;
    let lines = signed_lines(method, headers);
    let key = credentials.access_key.trim().as_bytes();
    if resources(uri)
        .iter()
        .any(|resource| matches(key, &lines, resource, signature.trim()))
    {
        return Ok(());
    }
    Err(Refusal::unauthorized(
        "The request signature we calculated does not match the signature you provided.",
    ))
}

fn verify_token(credentials: &Credentials, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(expected) = &credentials.security_token else {
        return Ok(());
    };
    match text(headers, "x-datahub-security-token") {
        Some(token) if token == expected => Ok(()),
        Some(_) => Err(Refusal::new(
            "ExpiredAccessToken",
            "The security token is not valid any more.",
        )),
        None => Err(Refusal::unauthorized("The security token is missing.")),
    }
}

fn verify_clock(headers: &HeaderMap, now_s: u64) -> Result<(), Refusal> {
    let date = text(headers, DATE.as_str())
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok())
        .ok_or_else(|| Refusal::unauthorized("The Date header is missing or invalid."))?;
    let off = date.as_secs().abs_diff(now_s);
    if off > CLOCK_TOLERANCE_S {
        return Err(Refusal::unauthorized(format!(
            "The difference between the request time and the server's time is too large: {off} s."
        )));
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Everything before the resource.
fn signed_lines(method: &str, headers: &HeaderMap) -> Vec<u8> {
    let value = |name: &str| headers.get(name).map_or(&b""[..], |value| value.as_bytes());
    let mut lines = Vec::with_capacity(256);
    for line in [
        method.as_bytes(),
        value(CONTENT_TYPE.as_str()),
        value(DATE.as_str()),
    ] {
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    // hyper hands on names in lower case.
    let mut names: Vec<&str> = headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| name.starts_with("x-datahub-"))
        .collect();
    names.sort_unstable();
    for name in names {
        lines.extend_from_slice(name.as_bytes());
        lines.push(b':');
        lines.extend_from_slice(value(name));
        lines.push(b'\n');
    }
    lines
}

fn matches(key: &[u8], lines: &[u8], resource: &[u8], signature: &str) -> bool {
    let Ok(presented) = STANDARD.decode(signature) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else {
        return false;
    };
    mac.update(lines);
    mac.update(resource);
    mac.verify_slice(&presented).is_ok()
}

/// The forms in which SDKs sign the resource; most requests have no query and one form.
fn resources(uri: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![uri.as_bytes().to_vec()];
    let mut add = |form: Vec<u8>| {
        if !forms.contains(&form) {
            forms.push(form);
        }
    };
    if let Some((path, query)) = uri.split_once('?') {
        let bare: Vec<&str> = query
            .split('&')
            .map(|pair| pair.strip_suffix('=').unwrap_or(pair))
            .collect();
        add(format!("{path}?{}", bare.join("&")).into_bytes());
        add(path.as_bytes().to_vec());
    }
    if let Some(form) = decoded_form(uri) {
        add(form);
    }
    forms
}

/// The Python SDK's form: everything decoded, the query decoded once more and sorted, in latin-1.
fn decoded_form(uri: &str) -> Option<Vec<u8>> {
    let whole = String::from_utf8_lossy(&percent_decode(uri.as_bytes(), false)).into_owned();
    let whole = whole.split_once('#').map_or(whole.as_str(), |(before, _)| before);
    let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode =
                |part: &str| String::from_utf8_lossy(&percent_decode(part.as_bytes(), true)).into_owned();
            (decode(name), decode(value))
        })
        .collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| {
            if value.is_empty() {
                name
            } else {
                format!("{name}={value}")
            }
        })
        .collect();
    let form = if pairs.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", pairs.join("&"))
    };
    form.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// Bytes with `%xx` replaced, and `+` by a blank if asked; what is not an escape stays.
pub(crate) fn percent_decode(text: &[u8], plus: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let hex = |b: &u8| {
            char::from(*b)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        let escape = match (byte, after) {
            (b'%', [high, low, ..]) => hex(high).zip(hex(low)),
            _ => None,
        };
        match (byte, escape) {
            (_, Some((high, low))) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', None) if plus => out.push(b' '),
            (byte, None) => out.push(byte),
        }
    }
    out
}
