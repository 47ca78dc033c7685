//! The HTTP side: `/health`, `/health/live`, `/health/ready`, `/metrics` and a page that names them.
//!
//! Owns I13: an answer never waits for the pipeline. A handler calls one function that copies what is known and
//! turns it into text; no channel, no lock that is held over I/O, no file. Deciding what the facts mean is
//! `verdict`'s; gathering them is the wiring's.

mod limit;
pub mod probe;
pub mod status;
pub mod verdict;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::retry::Failure;
use crate::telemetry::Metrics;
use limit::Limited;

pub use status::Status;
pub use verdict::{Facts, PURGE_NEAR, PURGE_REMEDY, SourceState, State, Verdict};

/// How long answers that are being written may take once the server is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Probes and scrapers need a handful.
const MOST_CONNECTIONS: usize = 128;

/// How long a client may say nothing: longer than the usual pause between two scrapes over one connection.
const PATIENCE: Duration = Duration::from_secs(75);

/// Opens the port.
///
/// # Errors
/// `port_in_use`, `port_not_allowed` or `listen_failed`; each needs a person.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let (code, remedy) = if error.kind() == io::ErrorKind::AddrInUse {
            (
                "port_in_use",
                "stop the other program or set MONITORING_PORT to a free port",
            )
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            ("port_not_allowed", "set MONITORING_PORT to a port above 1023")
        } else {
            (
                "listen_failed",
                "set MONITORING_ADDRESS to an address of this machine, or `MONITORING_ADDRESS=0.0.0.0` for all of them",
            )
        };
        Failure::halt(code, format!("cannot listen on {address}: {error}"), remedy)
    })
}

/// Answers until `stop` is cancelled. `snapshot` copies what is known and must not wait for anything.
///
/// # Errors
/// The listener failed.
pub async fn serve<F>(
    listener: TcpListener,
    snapshot: F,
    metrics: Metrics,
    stop: CancellationToken,
) -> io::Result<()>
where
    F: Fn() -> Status + Clone + Send + Sync + 'static,
{
    let app = router(snapshot, metrics);
    let stopped = stop.clone();
    let listener = Limited::new(listener, MOST_CONNECTIONS, PATIENCE);
    let server = axum::serve(listener, app).with_graceful_shutdown(stopped.cancelled_owned());
    tokio::select! {
        result = server.into_future() => result,
        () = async { stop.cancelled().await; tokio::time::sleep(LAST_ANSWERS).await } => Ok(()),
    }
}

#[derive(Clone)]
struct Known<F> {
    snapshot: F,
    metrics: Metrics,
}

fn router<F>(snapshot: F, metrics: Metrics) -> Router
where
    F: Fn() -> Status + Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/", get(index::<F>))
        .route("/health", get(health::<F>))
        .route("/health/live", get(live::<F>))
        .route("/health/ready", get(ready::<F>))
        .route("/metrics", get(metrics_text::<F>))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "no such page; / names them all") })
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD")
        })
        .with_state(Known { snapshot, metrics })
}

async fn health<F: Fn() -> Status>(Shared(known): Shared<Known<F>>, uri: Uri) -> Response {
    let status = (known.snapshot)();
    let strict = uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "strict=1"));
    answer(!strict || status.verdict.status == State::Ok, &status)
}

async fn live<F: Fn() -> Status>(Shared(known): Shared<Known<F>>) -> Response {
    let status = (known.snapshot)();
    let verdict = &status.verdict;
    // Only what liveness is about: a halted collector is alive and has no reason to say otherwise here.
    let (reason_code, summary) = if verdict.live {
        ("ok", "every internal loop goes round")
    } else {
        (verdict.reason_code.as_ref(), verdict.summary.as_str())
    };
    answer(
        verdict.live,
        &Probe {
            ok: verdict.live,
            reason_code,
            summary,
        },
    )
}

async fn ready<F: Fn() -> Status>(Shared(known): Shared<Known<F>>) -> Response {
    let status = (known.snapshot)();
    answer(status.verdict.ready, &status.verdict)
}

#[derive(Serialize)]
struct Probe<'a> {
    ok: bool,
    reason_code: &'a str,
    summary: &'a str,
}

async fn metrics_text<F: Fn() -> Status>(Shared(known): Shared<Known<F>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, known.metrics.render()).into_response()
}

async fn index<F: Fn() -> Status>(Shared(known): Shared<Known<F>>) -> Response {
    let status = (known.snapshot)();
    let verdict = &status.verdict;
    let ready = if verdict.ready { "ready" } else { "not ready" };
    let mut page = format!(
        "cdc-collector {} ({})\n\n{}, {ready}: {}\n",
        status.build.version,
        status.build.commit,
        verdict.status.name(),
        verdict.summary
    );
    if let Some(remedy) = &verdict.remedy {
        page.push_str(&format!("What to do: {remedy}\n"));
    }
    page.push_str(concat!(
        "\n/health        everything known, as JSON; ?strict=1 answers 503 unless ok\n",
        "/health/live   503 if the process is wedged and should be restarted\n",
        "/health/ready  503 if rows do not flow, with the reason\n",
        "/metrics       Prometheus text\n",
    ));
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (kind, page).into_response()
}

/// 200 or 503 with a body that no proxy keeps.
fn answer(good: bool, body: &impl Serialize) -> Response {
    let code = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn problem(code: StatusCode, message: &str) -> Response {
    (code, Json(serde_json::json!({ "error": message }))).into_response()
}

#[cfg(test)]
mod tests;
