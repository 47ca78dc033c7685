//! Failures that are judged by how often they come.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::PositionLost;
use crate::position::{Flavour, Position};
use crate::retry::Failure;
use crate::source::{Source, State, failover, intake, lost};

/// Code of a connection that the server ended.
const CLOSED: &str = "connection_closed";

/// Code of a position that is answered with the end of the connection.
const UNANSWERED: &str = "position_unanswered";

/// How long a server may be behind what was read: a binlog instance that took over has to read what it missed, but one
/// whose numbers begin anew must not pass ours unseen.
const CATCHING_UP: Duration = Duration::from_secs(600);

/// The binlog service was asked for the position so many times in a row, and closed the connection before it had sent
/// anything but a dump's introduction. For some positions that is all its answer.
fn unanswered(times: u32, flavour: Flavour, position: &Position) -> Option<Failure> {
    if times < 2 || flavour != Flavour::OceanBase {
        return None;
    }
    let message = format!(
        "asked for {position}, the binlog service closed the connection without an event or a reason, {times} times in a row"
    );
    Some(match position.gtid_set {
        // It looks for the file itself.
        Some(_) => Failure::retry(UNANSWERED, message),
        None => Failure::halt(
            UNANSWERED,
            message,
            "see in the log of the binlog service why; if the position is not one of its files', copy the captured tables anew \
             and set START_POSITION with an empty data directory; if it was only restarting, restart the collector",
        ),
    })
}

impl Source {
    /// A refused password, a wrong checksum, a server that is behind, and what the stream calls purged or leaves out, of
    /// which the next dump or the next examination of the server says more.
    pub(super) fn second_chance(&mut self, failure: &Failure) -> Option<Failure> {
        let reason = &failure.reason;
        let at_once = reason.code == CLOSED
            && matches!(&self.state, State::Streaming(streaming) if !streaming.made_progress());
        self.closed_at_once = if at_once {
            self.closed_at_once.saturating_add(1)
        } else {
            0
        };
        match reason.code {
            CLOSED if at_once => {
                let (identity, position) = self.known.as_ref()?;
                unanswered(self.closed_at_once, identity.flavour, position)
            }
            "database_access_denied" => {
                self.denied = self.denied.saturating_add(1);
                if self.denied >= self.alarm_attempts {
                    return None;
                }
                // The password may just have been changed: its file has the new one, now or soon.
                if let Err(error) = Arc::make_mut(&mut self.config).read_passwords_again() {
                    tracing::warn!(%error, "the password file cannot be read again");
                }
                Some(Failure::retry(reason.code, reason.message.clone()))
            }
            lost::PURGED if matches!(self.state, State::Streaming(_)) && !self.refused => {
                self.refused = true;
                if let Some(purged) = self.feed.as_ref().and_then(|feed| feed.tracker().follows_on()) {
                    self.purged = purged.clone();
                }
                Some(Failure::retry(reason.code, reason.message.clone()))
            }
            lost::GAP => {
                let missing = self.feed.as_ref().and_then(|feed| feed.tracker().follows_on());
                let missing = missing.cloned();
                if self.missing == missing {
                    // Nor does another dump bring it: it is as lost as what was purged.
                    if self.config.position_lost == PositionLost::Halt {
                        return None;
                    }
                    self.purged = missing.unwrap_or_default();
                } else {
                    self.missing = missing;
                }
                Some(Failure::retry(reason.code, reason.message.clone()))
            }
            failover::INSTANCE_CHANGED => {
                self.elsewhere = true;
                None
            }
            failover::BEHIND => {
                let since = *self.behind_since.get_or_insert_with(Instant::now);
                (since.elapsed() >= CATCHING_UP).then(|| {
                    Failure::halt(
                        reason.code,
                        format!(
                            "{}, for {} minutes now: its history was rewound, or begins anew",
                            reason.message,
                            CATCHING_UP.as_secs() / 60
                        ),
                        "check that DATABASE_HOST is the server of the checkpoint and that its binlog was not created anew; \
                         restart if it is only slow; else copy the captured tables anew, and set START_POSITION with an \
                         empty data directory",
                    )
                })
            }
            intake::CHECKSUM => {
                self.wrong_sums = self.wrong_sums.saturating_add(1);
                (self.wrong_sums > 1).then(|| {
                    Failure::halt(
                        reason.code,
                        format!("{}, again after a reconnect", reason.message),
                        "check the server's disk and the network; restart from a position behind the event once its rows were copied by hand",
                    )
                })
            }
            _ => None,
        }
    }

    /// Whether more was read than before the stream was cut. The introduction of every stream ends at a boundary too,
    /// and is no sign that the event which was wrong is right now.
    pub(super) fn is_past_cut(&self) -> bool {
        match (&self.feed, &self.known) {
            (Some(feed), Some((_, cut))) => feed.position().order(cut) == Some(Ordering::Greater),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::config::filter::TableFilter;
    use crate::config::{Config, DatabaseConfig, Sources};
    use crate::position::{FilePosition, GtidSet};
    use crate::retry::{Delays, Disposition};
    use crate::source::SourceStatus;
    use crate::source::feed::Feed;
    use crate::source::sample::{Made, SERVER};
    use crate::source::tables::Tables;
    use crate::source::transaction::Tracker;

    fn read(last: u64) -> GtidSet {
        let mut set = GtidSet::default();
        set.insert_range(SERVER, 1, last);
        set
    }

    /// A source on OceanBase that has read five transactions.
    fn source(position_lost: PositionLost) -> Source {
        let environment = ["DATABASE_HOST", "DATAHUB_ACCESS_ID", "DATAHUB_ACCESS_KEY"];
        let mut environment: Vec<_> = environment.map(|name| (name.into(), "x".into())).into();
        environment.push(("DATAHUB_ENDPOINT".into(), "http://x".into()));
        let sources = Sources {
            environment,
            ..Sources::default()
        };
        let config = DatabaseConfig {
            position_lost,
            ..Config::load(&sources).unwrap().config.database
        };
        let heartbeat = config.heartbeat;
        let delays = Delays {
            base: Duration::ZERO,
            cap: Duration::ZERO,
        };
        let status = watch::channel(SourceStatus::new(heartbeat)).0;
        let mut source = Source::new(config, delays, 3, None, status);
        let position = Position {
            gtid_set: Some(read(5)),
            file: FilePosition {
                file: "a".to_owned(),
                pos: 4,
            },
            open: None,
            parked: Vec::new(),
        };
        source.feed = Some(Feed::new(
            Tracker::new(Flavour::OceanBase, position, false, None),
            TableFilter::everything(),
            Tables::default(),
        ));
        source
    }

    /// What the stream's failure becomes when transaction 9 follows on 5.
    fn gap(source: &mut Source) -> Failure {
        let feed = source.feed.as_mut().unwrap();
        feed.cut();
        let mut made = Made::new("a");
        made.transaction(9, &[1]);
        let mut events = made.events.iter();
        let failure = events.find_map(|event| feed.event(&event.header, &event.body).err());
        let failure = failure.unwrap();
        assert_eq!(failure.reason.code, lost::GAP);
        source.second_chance(&failure).unwrap_or(failure)
    }

    /// Nor does it come twice: then it is lost, and the operator's choice decides.
    #[test]
    fn i7_what_the_stream_left_out_is_asked_for_once_more_and_then_lost() {
        let retries = |failure: &Failure| matches!(failure.disposition, Disposition::Retry { .. });
        let mut halting = source(PositionLost::Halt);
        assert!(retries(&gap(&mut halting)));
        assert!(!retries(&gap(&mut halting)));
        for chosen in [PositionLost::Earliest, PositionLost::Latest] {
            let mut leaping = source(chosen);
            assert!(retries(&gap(&mut leaping)));
            assert!(leaping.purged.is_empty(), "the first time it may yet come");
            assert!(retries(&gap(&mut leaping)));
            assert_eq!(leaping.purged, read(8).without(&read(5)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_may_be_behind_for_a_while() {
        let mut source = source(PositionLost::Halt);
        let behind = Failure::retry(failover::BEHIND, "test");
        for _ in 0..10 {
            assert_eq!(source.second_chance(&behind), None);
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        let halts = source.second_chance(&behind).unwrap();
        assert_eq!(halts.reason.code, failover::BEHIND);
        assert!(matches!(halts.disposition, Disposition::Halt { .. }), "{halts}");
    }

    #[test]
    fn a_position_that_is_only_answered_with_the_end_of_the_connection_is_a_problem() {
        let by_file = Position {
            gtid_set: None,
            file: FilePosition {
                file: "b.1".to_owned(),
                pos: 90,
            },
            open: None,
            parked: Vec::new(),
        };
        let by_set = Position {
            gtid_set: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-9".parse().unwrap()),
            ..by_file.clone()
        };
        // One may be a restart, and other servers say what is wrong.
        assert_eq!(unanswered(1, Flavour::OceanBase, &by_file), None);
        assert_eq!(unanswered(9, Flavour::MySql, &by_file), None);
        let halts = unanswered(2, Flavour::OceanBase, &by_file).unwrap();
        assert!(matches!(halts.disposition, Disposition::Halt { .. }), "{halts}");
        let goes_on = unanswered(2, Flavour::OceanBase, &by_set).unwrap();
        assert!(
            matches!(goes_on.disposition, Disposition::Retry { .. }),
            "{goes_on}"
        );
        assert_eq!((halts.reason.code, goes_on.reason.code), (UNANSWERED, UNANSWERED));
    }
}
