//! How far behind the collector is; the purge forecast, kept up to date, and the warning when it falls below what was
//! configured.

use std::sync::Mutex;
use std::time::Duration;

use super::view::age;
use crate::http::status::Lag;
use crate::http::{PURGE_NEAR, PURGE_REMEDY};
use crate::pipeline::PipelineStatus;
use crate::position::Position;
use crate::source::SourceStatus;
use crate::source::forecast::{Binlog, Forecast};

/// So many times the threshold the forecast has to be before falling below it is news again.
const CLEAR: u32 = 2;

/// The forecast, as one task makes it and others read it.
pub(super) struct Outlook {
    /// `PURGE_WARN_SECONDS`.
    pub(super) warn: Duration,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    forecast: Forecast,
    eta: Option<Duration>,
    warned: bool,
}

impl Outlook {
    pub(super) fn new(warn: Duration) -> Self {
        Self {
            warn,
            last: Mutex::default(),
        }
    }

    /// The last forecast; `None` if nothing is purged too early.
    pub(super) fn eta(&self) -> Option<Duration> {
        self.last.lock().ok().and_then(|last| last.eta)
    }

    /// Looks ahead from what is known now. `durable` is up to where nothing is needed any more but for parked tables.
    pub(super) fn look(&self, source: &SourceStatus, durable: Option<&Position>, now: Duration) {
        let (Ok(mut last), Some(durable)) = (self.last.lock(), durable) else {
            return;
        };
        let parked = durable.parked_since();
        let read = source.position.as_ref().zip(source.last_commit_us);
        let seconds = last.forecast.of(&Binlog {
            now: now.as_secs_f64(),
            files: &source.files,
            begun: &source.begun,
            read: read.map(|(position, us)| (&position.file, Duration::from_micros(us).as_secs_f64())),
            durable: &durable.file,
            parked,
            keeps_seconds: source.retention.map(|kept| kept.as_secs_f64()),
            keeps_bytes: source.retention_bytes,
        });
        last.eta = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match last.eta {
            Some(eta) if eta < self.warn => {
                if !std::mem::replace(&mut last.warned, true) {
                    tracing::warn!(
                        code = PURGE_NEAR,
                        eta_s = eta.as_secs(),
                        position = %durable.file,
                        parked_since = parked.map(tracing::field::display),
                        remedy = PURGE_REMEDY,
                        "the database will purge binlog that is still needed"
                    );
                }
            }
            eta => last.warned &= eta.is_some_and(|eta| eta < self.warn * CLEAR),
        }
    }
}

/// How far behind the collector is.
pub(super) fn lag(
    source: &SourceStatus,
    delivery: Option<&PipelineStatus>,
    purge_eta: Option<Duration>,
) -> Lag {
    let now_us = u64::try_from(super::wall_clock().as_micros()).unwrap_or(u64::MAX);
    let behind = |at: u64| Duration::from_micros(now_us.saturating_sub(at)).as_secs_f64();
    // Having read everything that the server has is no lag, however old the last commit is.
    let source_seconds = if source.caught_up {
        Some(0.0)
    } else {
        source.last_commit_us.map(behind)
    };
    let oldest = delivery.and_then(|d| Some(age(d.clock_start + d.core.oldest_unacked?)));
    Lag {
        source_seconds,
        delivery_seconds: oldest.unwrap_or(0.0),
        behind_bytes: source.behind_bytes,
        purge_eta_seconds: purge_eta.map(|eta| eta.as_secs_f64()),
        behind_age_seconds: source.head_asked.map(age),
    }
}
