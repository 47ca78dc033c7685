//! One HTTP exchange with the service: signed, bounded in time and size, never repeated on its own.
//!
//! Part of I11: the path and headers that are signed are taken from the very request that is sent. Says whether a
//! request that got no answer can have had an effect; what an answer means is `outcome`'s business. The one thing
//! that is repeated here is a request whose keys were refused, once, with the keys their files hold by then.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Url};

use super::guard::{Guarded, MaySend};
use super::outcome::{self, Lost};
use super::sign;
use crate::config::{DatahubConfig, Secret};
use crate::retry::{Failure, Reason};

/// Where the time of day comes from: requests carry it, and the service compares.
pub type Clock = fn() -> SystemTime;

/// The protocol version that the service's own clients announce.
const CLIENT_VERSION: &str = "1.1";
/// Largest answer that is read, in bytes. A page of records is asked for again in smaller parts if it exceeds this.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
/// Limit for a TCP connect with TLS handshake; at most half of a request's, so that what was never sent is known as that.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are dropped before a balancer's usual 60 s, so that few requests meet a connection that is going.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

const INVALID_KEY: &str = "datahub_invalid_key";
const UNFIT_KEY: &str = "the access id or the security token holds a character that no header can carry";
const UNREACHABLE: &str = "datahub_unreachable";

/// What is asked.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) content: Content,
    pub(super) body: Bytes,
    /// Value of `Content-Encoding`, and the size before compression.
    pub(super) encoding: Option<(&'static str, usize)>,
    /// Whether the body may leave, asked at the last moment; `None` if it always may.
    pub(super) may_send: Option<MaySend>,
}

/// The body's form; it goes with requests that have none, too.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Json,
    /// With the value of `x-datahub-request-action`.
    Protobuf(&'static str),
}

impl Call {
    /// A control call.
    pub(super) fn json(method: Method, path: String, body: String) -> Self {
        Self {
            method,
            path,
            content: Content::Json,
            body: body.into(),
            encoding: None,
            may_send: None,
        }
    }

    fn sent_body(&self) -> reqwest::Body {
        match &self.may_send {
            Some(may_send) => reqwest::Body::wrap(Guarded::new(self.body.clone(), Arc::clone(may_send))),
            None => self.body.clone().into(),
        }
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Whether it carries the mark that each of the service's answers has. A login page with status 200 does not.
    pub(super) genuine: bool,
    retry_after: Option<Duration>,
    skew_seconds: i64,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        self.genuine && (200..300).contains(&self.status)
    }

    pub(super) fn meaning(&self) -> outcome::Answer<'_> {
        outcome::Answer {
            status: self.status,
            body: &self.body,
            retry_after: self.retry_after,
            skew_seconds: self.skew_seconds,
        }
    }
}

struct Keys {
    id: Secret,
    key: Secret,
    token: Option<Secret>,
}

impl Keys {
    fn read_again(&self) -> std::io::Result<Self> {
        Ok(Self {
            id: self.id.read_again()?,
            key: self.key.read_again()?,
            token: self.token.as_ref().map(Secret::read_again).transpose()?,
        })
    }

    /// Blanks around them are cut off; inside, and beyond ASCII, nothing can be sent.
    fn fit_a_header(&self) -> bool {
        let fits = |secret: &Secret| secret.expose().trim().bytes().all(|b| b.is_ascii_graphic());
        fits(&self.id) && self.token.as_ref().is_none_or(fits)
    }

    fn same(&self, other: &Self) -> bool {
        let token = |keys: &Self| keys.token.as_ref().map(|t| t.expose().to_owned());
        self.id.expose() == other.id.expose()
            && self.key.expose() == other.key.expose()
            && token(self) == token(other)
    }
}

pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    keys: RwLock<Arc<Keys>>,
    clock: Clock,
    /// By how many seconds the service's clock was ahead at its last answer; [`NO_DATE`] before the first.
    ahead: AtomicI64,
}

/// No answer has told its date yet.
const NO_DATE: i64 = i64::MIN;

impl Client {
    pub(super) fn new(config: &DatahubConfig, clock: Clock) -> Result<Self, Failure> {
        let base = config.endpoint.trim_end_matches('/').to_owned();
        let url = Url::parse(&base).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        let Some(url) = url else {
            return Err(Failure::halt(
                "datahub_invalid_endpoint",
                "the endpoint is not a URL of http or https with a host and nothing but a path behind it",
                "set DATAHUB_ENDPOINT to a DataHub endpoint, for example https://dh-cn-hangzhou.aliyuncs.com",
            ));
        };
        let http = reqwest::Client::builder()
            .user_agent(concat!("cdc-collector/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            // A put must not be sent twice by a library that knows nothing of its effect, nor to another host.
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            // HTTP_PROXY and the like are not heeded: the endpoint is where the records go.
            .no_proxy()
            // Reading the system's certificates takes time and memory that plain HTTP can do without.
            .tls_built_in_native_certs(url.scheme() == "https")
            .timeout(config.timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout / 2))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(|error| {
                Failure::halt(
                    "datahub_tls_unavailable",
                    format!("the HTTP client cannot be set up: {}", root_cause(&error)),
                    "install the ca-certificates package or point SSL_CERT_FILE at a bundle, then restart",
                )
            })?;
        let keys = Keys {
            id: config.access_id.clone(),
            key: config.access_key.clone(),
            token: config.security_token.clone(),
        };
        if !keys.fit_a_header() {
            return Err(Failure::halt(
                INVALID_KEY,
                UNFIT_KEY,
                "check DATAHUB_ACCESS_ID and DATAHUB_SECURITY_TOKEN for stray characters",
            ));
        }
        Ok(Self {
            http,
            base,
            keys: RwLock::new(Arc::new(keys)),
            clock,
            ahead: AtomicI64::new(NO_DATE),
        })
    }

    /// By how many seconds the service's clock is ahead of this machine's, as its last answer said.
    pub(super) fn clock_ahead(&self) -> Option<i64> {
        Some(self.ahead.load(Ordering::Relaxed)).filter(|seconds| *seconds != NO_DATE)
    }

    /// Sends a request and reads its answer. Keys that are refused are read from their files again, once.
    pub(super) async fn call(&self, call: &Call) -> Result<Answer, Lost> {
        let keys = self.keys();
        let answer = self.exchange(call, &keys).await?;
        if !outcome::keys_refused(answer.meaning()) {
            return Ok(answer);
        }
        match self.newer_keys(&keys).await {
            Some(keys) => self.exchange(call, &keys).await,
            None => Ok(answer),
        }
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keys other than the `refused` ones, if there are any by now: another lane may have found them before.
    async fn newer_keys(&self, refused: &Arc<Keys>) -> Option<Arc<Keys>> {
        let known = Arc::clone(refused);
        let read = tokio::task::spawn_blocking(move || known.read_again());
        // Files that cannot be read hold no newer keys; that the old ones are refused is reported anyway.
        let found = read.await.ok()?.ok()?;
        if found.same(refused) {
            return None;
        }
        let found = Arc::new(found);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Arc::clone(&found);
        Some(found)
    }

    async fn exchange(&self, call: &Call, keys: &Keys) -> Result<Answer, Lost> {
        let url = format!("{}{}", self.base, call.path);
        let url = Url::parse(&url).map_err(|error| not_sent(UNREACHABLE, error.to_string()))?;
        let headers = self.headers(call, keys, &url);
        let request = self
            .http
            .request(call.method.clone(), url)
            .headers(headers.map_err(|_| not_sent(INVALID_KEY, UNFIT_KEY.to_owned()))?)
            .body(call.sent_body());
        let mut response = request.send().await.map_err(|error| self.lost(&error))?;
        let mut answer = self.answer(&response);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(&error))? {
            if answer.body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(Lost::Sent(Reason {
                    code: outcome::ANSWER_TOO_LARGE,
                    message: format!("the answer exceeds {LARGEST_ANSWER} bytes"),
                }));
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    fn headers(&self, call: &Call, keys: &Keys, url: &Url) -> Result<HeaderMap, header::InvalidHeaderValue> {
        let (content_type, action) = match call.content {
            Content::Json => ("application/json", None),
            Content::Protobuf(action) => ("application/x-protobuf", Some(action)),
        };
        let date = httpdate::fmt_http_date((self.clock)());
        let raw_size = call.encoding.map(|(_, size)| size.to_string());
        let token = keys.token.as_ref().map(|token| token.expose().trim());
        let own = [
            ("x-datahub-client-version", Some(CLIENT_VERSION)),
            ("x-datahub-content-raw-size", raw_size.as_deref()),
            ("x-datahub-request-action", action),
            ("x-datahub-security-token", token),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let text = sign::string_to_sign(call.method.as_str(), content_type, &date, own.clone(), url.path());
        let authorization = sign::authorization(keys.id.expose(), keys.key.expose(), &text);

        let mut headers = HeaderMap::new();
        for (name, value) in own {
            let mut value = HeaderValue::from_str(value)?;
            value.set_sensitive(name == "x-datahub-security-token");
            headers.insert(name, value);
        }
        let mut authorization = HeaderValue::from_str(&authorization)?;
        authorization.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, authorization);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::DATE, HeaderValue::from_str(&date)?);
        // Empty means: as it is. Left out, it would mean: as you like.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(""));
        if let Some((encoding, _)) = call.encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        Ok(headers)
    }

    fn answer(&self, response: &reqwest::Response) -> Answer {
        let text = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        let date = text("date").and_then(|date| httpdate::parse_http_date(date).ok());
        let ahead = date.map(|date| seconds_ahead(date, (self.clock)()));
        if let Some(seconds) = ahead {
            self.ahead.store(seconds, Ordering::Relaxed);
        }
        Answer {
            status: response.status().as_u16(),
            body: Vec::new(),
            genuine: text("x-datahub-request-id").is_some(),
            retry_after: text("retry-after")
                .and_then(|wait| wait.parse().ok())
                .map(Duration::from_secs),
            skew_seconds: ahead.unwrap_or_default(),
        }
    }

    /// A request without an answer. Its connection is closed by the time this is called: a request that is given up
    /// takes its connection with it, so that what comes next goes over another one and cannot read a late answer.
    fn lost(&self, error: &reqwest::Error) -> Lost {
        let cause = root_cause(error);
        if error.is_connect() || error.is_builder() {
            return not_sent(UNREACHABLE, format!("cannot connect to {}: {cause}", self.base));
        }
        let (code, message) = if error.is_timeout() {
            (outcome::TIMEOUT, format!("no answer from {} in time", self.base))
        } else {
            (
                "datahub_connection_lost",
                format!("the connection to {} broke: {cause}", self.base),
            )
        };
        Lost::Sent(Reason { code, message })
    }
}

fn not_sent(code: &'static str, message: String) -> Lost {
    Lost::NotSent(Reason { code, message })
}

/// What was behind it all: the outer errors only say that a request failed.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn seconds_ahead(theirs: SystemTime, ours: SystemTime) -> i64 {
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match theirs.duration_since(ours) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    }
}
