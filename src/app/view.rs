//! What health and metrics are computed from: the snapshots that the two halves publish, translated.
//!
//! Reading takes no lock that a task holds while it works: watch channels are replaced as a whole, ticks are
//! atomics.

mod lease;
mod letters;
mod schema;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::gauge;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::Instant;

use super::outlook::{Outlook, lag};
use crate::config::Config;
use crate::delivery::LaneState;
use crate::http::status::{
    Build, Component, Components, DatahubComponent, LastError, PositionStatus, ShardStatus, Status,
};
use crate::http::{Facts, SourceState as Link, State, Verdict};
use crate::pipeline::fence::Fence;
use crate::pipeline::{CallHealth, PipelineStatus, Tick};
use crate::retry::{Failure, Reason};
use crate::source::{SourceState, SourceStatus};
use crate::telemetry::metric::{self, label};

/// A call to DataHub that has no answer for so long counts as failing before its timeout says so.
const SLOW_CALL: Duration = Duration::from_secs(10);

/// What the delivery half shows, once it is built.
struct Delivery {
    status: watch::Receiver<PipelineStatus>,
    /// Whether the intake waits for room: then its silence says nothing about the source.
    waiting: Arc<AtomicBool>,
    ticks: [(&'static str, Tick); 2],
}

/// The gathered facts of this process.
pub(super) struct View {
    start: Instant,
    topic: String,
    heartbeat: Duration,
    alarm_attempts: u32,
    max_unacked: Duration,
    liveness_stall: Duration,
    ready_when_standby: bool,
    fence: Fence,
    outlook: Outlook,
    source: watch::Receiver<SourceStatus>,
    delivery: OnceLock<Delivery>,
    /// The topic's examination, before there is a pipeline to speak of.
    topic_check: Mutex<CallHealth>,
    halted: watch::Sender<Option<Failure>>,
    draining: AtomicBool,
    /// The state last seen, and since when.
    state: Mutex<(State, Duration)>,
}

impl View {
    pub(super) fn new(config: &Config, source: watch::Receiver<SourceStatus>, fence: Fence) -> Self {
        Self {
            start: Instant::now(),
            topic: format!("{}/{}", config.datahub.project, config.datahub.topic),
            heartbeat: config.database.heartbeat,
            alarm_attempts: config.delivery.alarm_attempts,
            max_unacked: config.monitoring.max_unacked,
            liveness_stall: config.monitoring.liveness_stall,
            ready_when_standby: config.monitoring.ready_when_standby,
            fence,
            outlook: Outlook::new(config.monitoring.purge_warn),
            source,
            delivery: OnceLock::new(),
            topic_check: Mutex::default(),
            halted: watch::Sender::new(None),
            draining: AtomicBool::new(false),
            state: Mutex::new((State::Starting, super::wall_clock())),
        }
    }

    /// Adds the delivery half.
    pub(super) fn watch(
        &self,
        status: watch::Receiver<PipelineStatus>,
        waiting: Arc<AtomicBool>,
        ticks: [(&'static str, Tick); 2],
    ) {
        self.delivery.get_or_init(|| Delivery {
            status,
            waiting,
            ticks,
        });
    }

    /// Records the first failure that only a person can end, and logs each.
    pub(super) fn halt(&self, failure: Failure) {
        super::log_halt(&failure);
        self.halted.send_if_modified(|halted| {
            let first = halted.is_none();
            halted.get_or_insert(failure);
            first
        });
    }

    /// Becomes `Some` at the first halt of any part.
    pub(super) fn halted(&self) -> watch::Receiver<Option<Failure>> {
        self.halted.subscribe()
    }

    pub(super) fn is_halted(&self) -> bool {
        self.halted.borrow().is_some()
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// How the examination of the topic goes.
    pub(super) fn topic_check(&self, failure: Option<&Reason>) {
        if let Ok(mut health) = self.topic_check.lock() {
            health.ended(failure);
        }
    }

    /// Everything that `/health` shows, now.
    pub(super) fn status(&self) -> Status {
        let source = self.source.borrow().clone();
        let delivery = self.delivery.get().map(|d| d.status.borrow().clone());
        let verdict = Verdict::of(&self.facts(&source, delivery.as_ref()), self.start.elapsed());
        Status {
            since: self.since(verdict.status),
            components: self.components(&source, delivery.as_ref()),
            position: delivery.as_ref().and_then(|d| position(d, &source)),
            lag: lag(&source, delivery.as_ref(), self.outlook.eta()),
            build: Build::THIS,
            verdict,
        }
    }

    /// Brings the gauges up to date that follow from the facts rather than from an event.
    pub(super) fn publish(&self) {
        if let Some(failure) = self.delivery.get().and_then(|d| d.status.borrow().halted.clone())
            && !self.is_halted()
        {
            self.halt(failure);
        }
        let durable = self.delivery.get().and_then(|d| d.status.borrow().saved.clone());
        self.outlook.look(
            &self.source.borrow().clone(),
            durable.as_ref(),
            super::wall_clock(),
        );
        let status = self.status();
        for state in State::ALL {
            let is = f64::from(u8::from(state == status.verdict.status));
            gauge!(metric::STATE, label::STATE => state.name()).set(is);
        }
        gauge!(metric::READY).set(f64::from(u8::from(status.verdict.ready)));
        let alarm = self.delivery.get().is_some_and(|d| d.status.borrow().core.alarm);
        gauge!(metric::ALARM).set(f64::from(u8::from(
            alarm || status.verdict.status == State::Halted || !self.source.borrow().parked.is_empty(),
        )));
        gauge!(metric::LEASE_HELD).set(f64::from(u8::from(self.fence.is_open())));
        gauge!(metric::SOURCE_LAG_SECONDS).set(status.lag.source_seconds.unwrap_or(0.0));
        if let Some(bytes) = status.lag.behind_bytes {
            gauge!(metric::SOURCE_BEHIND_BYTES).set(bytes as f64);
        }
        gauge!(metric::PURGE_ETA_SECONDS).set(status.lag.purge_eta_seconds.unwrap_or(f64::INFINITY));
    }

    fn since(&self, state: State) -> String {
        let now = super::wall_clock();
        let since = self.state.lock().map_or(now, |mut last| {
            if last.0 != state {
                *last = (state, now);
            }
            last.1
        });
        i64::try_from(since.as_secs())
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|at| at.format(&Rfc3339).ok())
            .unwrap_or_default()
    }

    /// A moment on the facts' clock.
    fn moment(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    fn facts(&self, source: &SourceStatus, delivery: Option<&PipelineStatus>) -> Facts {
        let now = self.start.elapsed();
        let waiting = self
            .delivery
            .get()
            .is_some_and(|d| d.waiting.load(Ordering::Relaxed));
        let (link, source_failure) = match &source.state {
            SourceState::Starting => lease::link(&self.fence).unwrap_or((Link::Waiting, None)),
            SourceState::Connecting => (
                Link::Connecting {
                    since: self.moment(source.since),
                },
                None,
            ),
            SourceState::Streaming => (Link::Streaming, None),
            SourceState::Reconnecting { reason, .. } => (
                Link::Connecting {
                    since: self.moment(source.since),
                },
                Some(reason.clone()),
            ),
            SourceState::Parked => (Link::Parked, None),
            SourceState::Halted { failure } => (
                Link::Connecting {
                    since: self.moment(source.since),
                },
                Some(failure.reason.clone()),
            ),
        };
        let calls = self.datahub_calls(delivery);
        let worst = calls.iter().max_by_key(|call| call.failures);
        Facts {
            source: link,
            has_streamed: source.last_received.is_some(),
            source_failure,
            last_byte: if waiting {
                Some(now)
            } else {
                source.last_received.map(|at| self.moment(at))
            },
            heartbeat: self.heartbeat,
            ready_when_standby: self.ready_when_standby,
            fenced_since: lease::fenced_since(&self.fence, self.start),
            // Ready is a promise: from here on nothing is missed. It holds once the start is on disk.
            position_resolved: delivery.is_some_and(|d| d.core.persisted_at.is_some()),
            datahub_failing_since: calls
                .iter()
                .filter_map(failing_since)
                .min()
                .map(|at| self.moment(at)),
            datahub_failures: worst.map_or(0, |call| call.failures),
            datahub_failure: calls
                .iter()
                .find_map(|call| call.last_failure.clone())
                .or_else(|| calls.iter().find_map(no_answer)),
            alarm_attempts: self.alarm_attempts,
            oldest_unacked: delivery.and_then(|d| Some(self.moment(d.clock_start + d.core.oldest_unacked?))),
            max_unacked: self.max_unacked,
            parked: schema::parked(source),
            checkpoint_failures: delivery.map_or(0, |d| d.core.persist_failures),
            checkpoint_failure: delivery.and_then(|d| d.core.persist_failure.clone()),
            purge_eta: self.outlook.eta(),
            purge_warn: self.outlook.warn,
            dead_letters: delivery.map_or(0, |d| d.core.dead_letters.letters),
            fenced_keys: delivery.map_or(0, |d| d.core.dead_letters.keys),
            dead_letter_failures: delivery.map_or(0, |d| d.core.dead_letters.failures),
            dead_letter_failure: delivery.and_then(|d| d.core.dead_letters.failure.clone()),
            halted: self
                .halted
                .borrow()
                .clone()
                .or_else(|| delivery.and_then(|d| d.halted.clone())),
            draining: self.draining.load(Ordering::Relaxed),
            ticks: self.ticks(now),
            liveness_stall: self.liveness_stall,
        }
    }

    /// When each loop last went round. One that has ended after a halt is not a stalled one.
    fn ticks(&self, now: Duration) -> Vec<(&'static str, Duration)> {
        if self.is_halted() || self.draining.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let ticks = self.delivery.get().map(|d| &d.ticks);
        ticks
            .into_iter()
            .flatten()
            .map(|(name, tick)| (*name, now.saturating_sub(tick.age())))
            .collect()
    }

    fn datahub_calls(&self, delivery: Option<&PipelineStatus>) -> Vec<CallHealth> {
        let checked = self
            .topic_check
            .lock()
            .map(|health| health.clone())
            .unwrap_or_default();
        let later = delivery
            .into_iter()
            .flat_map(|d| [d.puts.clone(), d.listings.clone()]);
        std::iter::once(checked).chain(later).collect()
    }

    fn components(&self, source: &SourceStatus, delivery: Option<&PipelineStatus>) -> Components {
        let calls = self.datahub_calls(delivery);
        let datahub_state = match calls.iter().map(|c| c.failures).max() {
            Some(0) | None => "ok",
            Some(_) => "failing",
        };
        Components {
            source: source_component(source),
            schema: schema::component(source),
            datahub: DatahubComponent {
                component: Component {
                    state: datahub_state.to_owned(),
                    progress_age_seconds: calls.iter().filter_map(|c| c.last_success).max().map(age),
                    last_error: calls
                        .iter()
                        .find_map(|c| last_error(c.last_failure.as_ref()?, c.failing_since?)),
                },
                topic: self.topic.clone(),
                shards: delivery.map(shards).unwrap_or_default(),
            },
            checkpoint: delivery.map(checkpoint).unwrap_or_default(),
            dead_letters: delivery.map(letters::component).unwrap_or_default(),
            lease: lease::component(&self.fence),
        }
    }
}

fn failing_since(call: &CallHealth) -> Option<Instant> {
    let slow = call.oldest_running.filter(|at| at.elapsed() >= SLOW_CALL);
    call.failing_since.into_iter().chain(slow).min()
}

fn no_answer(call: &CallHealth) -> Option<Reason> {
    let at = call.oldest_running.filter(|at| at.elapsed() >= SLOW_CALL)?;
    let message = format!("no answer from DataHub for {} s", at.elapsed().as_secs());
    Some(Reason {
        code: "datahub_slow",
        message,
    })
}

pub(super) fn age(at: Instant) -> f64 {
    at.elapsed().as_secs_f64()
}

fn last_error(reason: &Reason, at: Instant) -> Option<LastError> {
    Some(LastError {
        code: reason.code.to_owned(),
        message: reason.message.clone(),
        age_seconds: age(at),
    })
}

fn source_component(source: &SourceStatus) -> Component {
    let (state, error) = match &source.state {
        SourceState::Starting => ("starting", None),
        SourceState::Connecting => ("connecting", None),
        SourceState::Streaming => ("streaming", None),
        SourceState::Reconnecting { reason, .. } => ("reconnecting", Some(reason)),
        SourceState::Parked => ("parked", None),
        SourceState::Halted { failure } => ("halted", Some(&failure.reason)),
    };
    // A gap was nobody's failure of now, and is not forgotten.
    let gap = source
        .gap
        .as_ref()
        .and_then(|(reason, at)| last_error(reason, *at));
    Component {
        state: state.to_owned(),
        progress_age_seconds: source.last_received.map(age),
        last_error: error.and_then(|reason| last_error(reason, source.since)).or(gap),
    }
}

fn shards(delivery: &PipelineStatus) -> Vec<ShardStatus> {
    let state = |state| match state {
        LaneState::Idle => "idle",
        LaneState::Waiting => "waiting",
        LaneState::Sending => "sending",
        LaneState::Probing => "probing",
        LaneState::BackingOff => "backing_off",
        LaneState::Burying => "dead_lettering",
    };
    let lane = |lane: &crate::delivery::LaneSnapshot| ShardStatus {
        id: lane.shard.to_string(),
        state: state(lane.state).to_owned(),
        waiting_records: u64::try_from(lane.records).unwrap_or(u64::MAX),
        failures: lane.failures,
    };
    delivery.core.lanes.iter().map(lane).collect()
}

fn checkpoint(delivery: &PipelineStatus) -> Component {
    let core = &delivery.core;
    let state = match (core.persist_failures, core.persisted_at) {
        (0, None) => "none",
        (0, Some(_)) => "ok",
        (_, _) => "failing",
    };
    Component {
        state: state.to_owned(),
        progress_age_seconds: core.persisted_at.map(|at| age(delivery.clock_start + at)),
        last_error: core
            .persist_failure
            .as_ref()
            .and_then(|r| last_error(r, Instant::now())),
    }
}

fn position(delivery: &PipelineStatus, source: &SourceStatus) -> Option<PositionStatus> {
    let durable = delivery.saved.as_ref()?;
    Some(PositionStatus {
        gtid: durable.gtid_set.as_ref().map(ToString::to_string),
        file: durable.file.file.clone(),
        pos: durable.file.pos,
        rows: durable.open.as_ref().map_or(0, |open| open.rows),
        server_uuid: source
            .identity
            .as_ref()
            .map(|i| i.server_uuid.clone())
            .unwrap_or_default(),
        age_seconds: delivery
            .core
            .persisted_at
            .map_or(0.0, |at| age(delivery.clock_start + at)),
    })
}
