//! What the collector's facts mean to a probe: alive, ready, and why not. Pure; the one table of these rules.
//!
//! Liveness asks only whether our own loops run: restarting the process cures nothing else. Readiness asks
//! whether rows flow, or would if there were any: idleness is proven by heartbeats, and either side falling
//! silent shows within a minute.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use crate::record::letter::DEAD_LETTERS_FULL;
use crate::retry::{Disposition, Failure, Reason};

/// How long a lost connection may be away before the collector counts as not ready: proxies and failovers close
/// connections in passing, and readiness should not flap with them.
const GRACE: Duration = Duration::from_secs(5);

/// Code of binlog that will be purged before it was delivered.
pub const PURGE_NEAR: &str = "purge_near";

/// Code of puts that are held back because the lease is not confirmed.
const UNCONFIRMED: &str = "lease_unconfirmed";

/// What to do about it.
pub const PURGE_REMEDY: &str = "raise binlog_expire_logs_seconds (or what else bounds the binlog) on the database now, and find out why the \
     collector is behind, or settle the tables that are parked";

/// The collector's state in one word: `status` in `/health`, the label of `cdc_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Rows flow, or would.
    Ok,
    /// Something is wrong that may pass.
    Degraded,
    /// Not yet streaming for the first time.
    Starting,
    /// The database's connection is being made again.
    Reconnecting,
    /// The connection is given back on purpose while the destination takes nothing.
    Parked,
    /// Another collector is at work.
    Standby,
    /// Only a person can help.
    Halted,
    /// Stopping.
    Draining,
}

impl State {
    /// Every state, for the one-hot metric.
    pub const ALL: [State; 8] = [
        State::Ok,
        State::Degraded,
        State::Starting,
        State::Reconnecting,
        State::Parked,
        State::Standby,
        State::Halted,
        State::Draining,
    ];

    /// The word itself.
    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Degraded => "degraded",
            State::Starting => "starting",
            State::Reconnecting => "reconnecting",
            State::Parked => "parked",
            State::Standby => "standby",
            State::Halted => "halted",
            State::Draining => "draining",
        }
    }
}

/// Where the source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// It does not know yet where to begin: DataHub is asked what an earlier run delivered.
    Waiting,
    /// Not connected; `since` is when the connection was lost or the start.
    Connecting {
        /// A moment on the clock of [`Facts`].
        since: Duration,
    },
    /// The dump runs.
    Streaming,
    /// Closed on purpose while the destination takes nothing.
    Parked,
    /// Waiting for another collector of the group to go.
    Standby,
    /// The lease is granted; an earlier holder may not know yet that it has lost it.
    TakingOver,
}

/// What is known at a moment. Moments are durations since one fixed start, as is the `now` they are compared with.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Where the source is.
    pub source: SourceState,
    /// Whether it has streamed at all in this process.
    pub has_streamed: bool,
    /// Why the source is not streaming, if it failed.
    pub source_failure: Option<Reason>,
    /// When the last event or heartbeat arrived.
    pub last_byte: Option<Duration>,
    /// How often an idle database sends a heartbeat.
    pub heartbeat: Duration,
    /// Whether to stand by is to be ready (`READY_WHEN_STANDBY`).
    pub ready_when_standby: bool,
    /// Since when puts are held back because the lease is not confirmed; `None` while they may go out.
    pub fenced_since: Option<Duration>,
    /// Whether the start position is settled.
    pub position_resolved: bool,
    /// When the first DataHub call failed since one succeeded; `None` after a success or before any call.
    pub datahub_failing_since: Option<Duration>,
    /// Consecutive failures of one DataHub call.
    pub datahub_failures: u32,
    /// The last of them.
    pub datahub_failure: Option<Reason>,
    /// So many of them make the collector not ready (`RETRY_MAX_ATTEMPTS`).
    pub alarm_attempts: u32,
    /// When the oldest unacknowledged record was received.
    pub oldest_unacked: Option<Duration>,
    /// So old it may become (`READY_MAX_UNACKED_SECONDS`).
    pub max_unacked: Duration,
    /// Why a table's rows are passed over for now, if one's are.
    pub parked: Option<Reason>,
    /// Consecutive failures to write the checkpoint.
    pub checkpoint_failures: u32,
    /// The last of them.
    pub checkpoint_failure: Option<Reason>,
    /// Forecast of the time until needed binlog is purged, if it will be.
    pub purge_eta: Option<Duration>,
    /// Below it there is a warning (`PURGE_WARN_SECONDS`).
    pub purge_warn: Duration,
    /// Letters in the dead-letter file.
    pub dead_letters: u64,
    /// Keys that wait behind them.
    pub fenced_keys: u64,
    /// Consecutive failures to write one.
    pub dead_letter_failures: u32,
    /// The last of them.
    pub dead_letter_failure: Option<Reason>,
    /// The failure that only a person can end.
    pub halted: Option<Failure>,
    /// Whether a stop is under way.
    pub draining: bool,
    /// When each internal loop last went round.
    pub ticks: Vec<(&'static str, Duration)>,
    /// So long a loop may be silent (`LIVENESS_STALL_SECONDS`).
    pub liveness_stall: Duration,
}

/// What the facts mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The state in one word.
    pub status: State,
    /// Whether `/health/live` is 200.
    pub live: bool,
    /// Whether `/health/ready` is 200.
    pub ready: bool,
    /// Stable code of what is wrong; `ok` if nothing is.
    pub reason_code: Cow<'static, str>,
    /// One sentence for people.
    pub summary: String,
    /// What to do, where a person can do something.
    pub remedy: Option<Cow<'static, str>>,
}

impl Verdict {
    /// Judges the facts. The first rule that applies decides; worse news come first.
    pub fn of(facts: &Facts, now: Duration) -> Self {
        let mut verdict = facts.state(now);
        let silent = facts
            .ticks
            .iter()
            .map(|(name, at)| (name, now.saturating_sub(*at)))
            .find(|(_, silence)| *silence > facts.liveness_stall);
        if let Some((name, silence)) = silent {
            verdict.live = false;
            verdict.ready = false;
            if verdict.status == State::Ok {
                verdict.status = State::Degraded;
            }
            verdict.reason_code = Cow::Borrowed("loop_stalled");
            verdict.summary = format!("the {name} loop has not gone round for {} s", silence.as_secs());
            verdict.remedy = Some(Cow::Borrowed(
                "restart the collector and report this as a bug, with its log",
            ));
        }
        verdict
    }

    fn ready(status: State, code: &'static str, summary: impl Into<String>) -> Self {
        Self {
            status,
            live: true,
            ready: true,
            reason_code: Cow::Borrowed(code),
            summary: summary.into(),
            remedy: None,
        }
    }

    fn unready(status: State, code: &'static str, summary: impl Into<String>) -> Self {
        Self {
            ready: false,
            ..Self::ready(status, code, summary)
        }
    }

    fn remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = Some(Cow::Borrowed(remedy));
        self
    }
}

impl Facts {
    fn state(&self, now: Duration) -> Verdict {
        if let Some(failure) = &self.halted {
            let mut verdict =
                Verdict::unready(State::Halted, failure.reason.code, failure.reason.message.clone());
            verdict.remedy = match &failure.disposition {
                Disposition::Halt { remedy } => Some(remedy.clone()),
                Disposition::Retry { .. } | Disposition::Reroute | Disposition::Poison(_) => None,
            };
            return verdict;
        }
        if self.draining {
            return Verdict::unready(
                State::Draining,
                "draining",
                "stopping: what was received is being delivered",
            );
        }
        self.source_trouble(now)
            .or_else(|| self.letters_trouble())
            .or_else(|| self.sink_trouble(now))
            .or_else(|| self.checkpoint_trouble())
            .or_else(|| self.unsettled())
            .or_else(|| self.purge_near())
            .or_else(|| self.passing_trouble())
            .or_else(|| self.parked_table())
            .or_else(|| self.fenced())
            .unwrap_or_else(|| {
                let summary = match self.oldest_unacked {
                    Some(_) => "rows are on their way",
                    None => "everything received is acknowledged",
                };
                Verdict::ready(State::Ok, "ok", summary)
            })
    }

    /// What keeps rows from arriving.
    fn source_trouble(&self, now: Duration) -> Option<Verdict> {
        match self.source {
            SourceState::Waiting => {
                let starting =
                    Verdict::unready(State::Starting, "starting", "reading in the topic where to begin");
                return Some(self.sink_trouble(now).unwrap_or(starting));
            }
            SourceState::Standby => {
                let verdict = Verdict {
                    ready: self.ready_when_standby,
                    ..Verdict::unready(
                        State::Standby,
                        "standby",
                        "another collector of this group is at work; this one takes over when it ends",
                    )
                };
                return Some(verdict);
            }
            SourceState::TakingOver => {
                return Some(Verdict::unready(
                    State::Starting,
                    "starting",
                    "waiting until an earlier holder of the lease has certainly stopped",
                ));
            }
            SourceState::Parked => {
                let mut summary =
                    String::from("the database's connection is closed until DataHub takes records again");
                if let Some(reason) = &self.datahub_failure {
                    summary.push_str(&format!(": {reason}"));
                }
                if let Some(near) = self.purge_near() {
                    summary.push_str(&format!("; {}", near.summary));
                }
                return Some(Verdict::unready(State::Parked, "parked", summary).remedy(
                    "check the endpoint and the service's status, and how long the database keeps its binlog; it is \
                     read on from the same row when DataHub answers",
                ));
            }
            SourceState::Connecting { .. } if !self.has_streamed => {
                return Some(self.connecting(State::Starting, "starting", "connecting to the database"));
            }
            SourceState::Connecting { since } if now.saturating_sub(since) >= GRACE => {
                return Some(self.connecting(
                    State::Reconnecting,
                    "reconnecting",
                    "connecting to the database again",
                ));
            }
            SourceState::Connecting { .. } | SourceState::Streaming => {}
        }
        if !self.has_streamed {
            return Some(Verdict::unready(
                State::Starting,
                "starting",
                "finding out where to start",
            ));
        }
        if let Some(since) = self.fenced_since {
            let held_back = now.saturating_sub(since);
            let summary = format!(
                "the database has not confirmed the lease in time, and nothing is sent for {} s",
                held_back.as_secs()
            );
            return Some(
                Verdict::unready(State::Degraded, UNCONFIRMED, summary).remedy(
                    "check that the database can be reached and how long it takes to answer; sending goes on when it \
                     confirms the lease",
                ),
            );
        }
        let silence = self.last_byte.map_or(now, |at| now.saturating_sub(at));
        (silence > self.heartbeat * 3).then(|| {
            let summary = format!(
                "no event and no heartbeat from the database for {} s",
                silence.as_secs()
            );
            Verdict::unready(State::Degraded, "stalled", summary)
                .remedy("check the network between the collector and the database")
        })
    }

    fn connecting(&self, state: State, code: &'static str, doing: &str) -> Verdict {
        match &self.source_failure {
            Some(reason) => Verdict::unready(state, reason.code, format!("{doing}: {}", reason.message)).remedy(
                "check that the database is up and can be reached at DATABASE_HOST and DATABASE_PORT; it is tried \
                 again until it can",
            ),
            None => Verdict::unready(state, code, doing),
        }
    }

    /// What keeps progress from being remembered. Rows flow all the same, so a few failures only show.
    fn checkpoint_trouble(&self) -> Option<Verdict> {
        let reason = self
            .checkpoint_failure
            .as_ref()
            .filter(|_| self.checkpoint_failures > 0)?;
        let verdict = Verdict {
            ready: self.checkpoint_failures < self.alarm_attempts && self.position_resolved,
            ..Verdict::unready(State::Degraded, reason.code, reason.message.clone())
        };
        Some(verdict.remedy(
            "make room in DATA_DIR and see that it can be written to; records are delivered meanwhile, and a restart \
             would repeat them",
        ))
    }

    /// What keeps dead letters from being written: their lane waits, and in time all others. A full file is no passing
    /// trouble.
    fn letters_trouble(&self) -> Option<Verdict> {
        let reason = self
            .dead_letter_failure
            .as_ref()
            .filter(|_| self.dead_letter_failures > 0)?;
        let is_full = reason.code == DEAD_LETTERS_FULL;
        let verdict = Verdict {
            ready: !is_full && self.dead_letter_failures < self.alarm_attempts && self.position_resolved,
            ..Verdict::unready(State::Degraded, reason.code, reason.message.clone())
        };
        Some(verdict.remedy(if is_full {
            "correct the cause and run `cdc-collector dead-letters replay --all`, give letters up with `cdc-collector \
             dead-letters discard`, or raise DEAD_LETTER_MAX_BYTES and restart; nothing is lost meanwhile"
        } else {
            "make room in DATA_DIR and see that it can be written to; nothing is lost meanwhile"
        }))
    }

    /// Keys that wait for a person, while all others flow.
    fn fenced(&self) -> Option<Verdict> {
        (self.dead_letters > 0).then(|| {
            let summary = format!(
                "{} keys wait behind {} dead letters; all others flow",
                self.fenced_keys, self.dead_letters
            );
            Verdict::ready(State::Degraded, "keys_fenced", summary).remedy(
                "look at them with `cdc-collector dead-letters list`, correct the cause, and replay or discard them",
            )
        })
    }

    /// Ready is a promise that nothing is missed from here on: the start has to be on disk first.
    fn unsettled(&self) -> Option<Verdict> {
        (!self.position_resolved)
            .then(|| Verdict::unready(State::Starting, "starting", "saving the position to start from"))
    }

    /// What keeps records from leaving.
    fn sink_trouble(&self, now: Duration) -> Option<Verdict> {
        let failing_for = self.datahub_failing_since.map(|at| now.saturating_sub(at));
        if self.datahub_failures >= self.alarm_attempts
            || failing_for.is_some_and(|age| age >= self.max_unacked)
        {
            let mut summary = format!("{} calls to DataHub have failed in a row", self.datahub_failures);
            if let Some(reason) = &self.datahub_failure {
                summary.push_str(&format!(": {reason}"));
            }
            return Some(
                Verdict::unready(State::Degraded, "sink_unavailable", summary).remedy(
                    "check the endpoint and the service's status; every record is kept and tried again",
                ),
            );
        }
        let waiting = self.oldest_unacked.map(|at| now.saturating_sub(at))?;
        (waiting >= self.max_unacked).then(|| {
            let summary = format!("the oldest record has waited {} s for DataHub", waiting.as_secs());
            Verdict::unready(State::Degraded, "stalled", summary)
                .remedy("check how DataHub answers, and whether the topic has enough shards for the load")
        })
    }

    /// All other tables flow: a probe that failed would help nobody, but a person has to look.
    fn parked_table(&self) -> Option<Verdict> {
        let reason = self.parked.as_ref()?;
        let verdict = Verdict::ready(State::Degraded, reason.code, reason.message.clone());
        Some(verdict.remedy(
            "grant SELECT on the table if it lacks; `cdc-collector tables resume <db.table> --create <file>` reads its \
             rows with the definition that they were written with, `cdc-collector tables skip` gives them up",
        ))
    }

    /// Rows flow, but not fast enough: what is still needed will be gone before its turn comes.
    fn purge_near(&self) -> Option<Verdict> {
        let eta = self.purge_eta.filter(|eta| *eta < self.purge_warn)?;
        let summary = format!(
            "the database purges binlog that is still needed in {} s",
            eta.as_secs()
        );
        let mut verdict = Verdict::ready(State::Degraded, PURGE_NEAR, summary);
        verdict.remedy = Some(Cow::Borrowed(PURGE_REMEDY));
        Some(verdict)
    }

    /// What may be over before anybody has to know, but shows.
    fn passing_trouble(&self) -> Option<Verdict> {
        if let SourceState::Connecting { .. } = self.source {
            let mut verdict = self.connecting(
                State::Reconnecting,
                "reconnecting",
                "connecting to the database again",
            );
            verdict.ready = true;
            return Some(verdict);
        }
        self.datahub_failing_since?;
        let summary = match &self.datahub_failure {
            Some(reason) => format!("a call to DataHub failed and is repeated: {reason}"),
            None => String::from("a call to DataHub failed and is repeated"),
        };
        Some(Verdict::ready(State::Degraded, "sink_retrying", summary))
    }
}

#[cfg(test)]
mod tests;
