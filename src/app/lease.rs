//! Keeps the lease: asks for it, confirms it about each second, and finds out what happened while it was lost.
//!
//! It ends with a failure where another collector has taken over: what this one has in memory must not be sent any more,
//! so the process ends, and its next start stands by. Everything else is tried again for ever.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, OptionFuture};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, DatabaseConfig, LeaseKind};
use crate::delivery::tenure::TAKEOVER;
use crate::pipeline::fence::Fence;
use crate::retry::{Delays, Disposition, Failure, until_ok};
use crate::sink::DataHub;
use crate::sink::epoch::{SUPERSEDED, superseded};
use crate::source::lease::{Connection, Grant, name};

/// How often the lease is confirmed: three times before puts would be held back.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);

/// How long the server waits for the lock while it is another's, seconds: it is granted as soon as it is free.
const WAIT_SECONDS: u64 = 1;

/// Once the database has answered, a connection that takes longer than this is tried anew.
const CONNECT: Duration = Duration::from_secs(3);

/// Waits between two tries once the database has answered: short, because rows may wait, or another collector have died.
const AGAIN: Delays = Delays {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(1),
};

/// So long after a loss the lock may still be that of our own connection, which the server has not given up yet.
const STALE: Duration = Duration::from_secs(10);

/// Who keeps it.
pub(super) struct Keeper {
    database: DatabaseConfig,
    delays: Delays,
    alarm_attempts: u32,
    name: String,
    fence: Fence,
    datahub: Arc<DataHub>,
    exclusive: bool,
    /// Whether the database has ever answered.
    answered: bool,
    /// Our last connection's id at the server, and when it was lost.
    lost: Option<(String, Instant)>,
    rng: fastrand::Rng,
}

/// What is asked for while the lease is confirmed.
type Check = BoxFuture<'static, Result<(), Failure>>;

impl Keeper {
    /// One that has not asked yet; `None` where no lease is wanted. `fence` is opened and closed by it.
    pub(super) fn new(config: &Config, fence: &Fence, datahub: &Arc<DataHub>) -> Option<Self> {
        (config.lease == LeaseKind::Database).then(|| Self {
            database: config.database.clone(),
            delays: config.delivery.delays,
            alarm_attempts: config.delivery.alarm_attempts,
            name: name(&config.datahub),
            fence: fence.clone(),
            datahub: Arc::clone(datahub),
            exclusive: config.datahub.resume_from_topic,
            answered: false,
            lost: None,
            rng: fastrand::Rng::new(),
        })
    }

    /// Keeps it until `released` is cancelled, and gives it back then.
    ///
    /// # Errors
    /// Another collector has taken over, or the first try met what only a person can end.
    pub(super) async fn keep(mut self, released: CancellationToken) -> Result<(), Failure> {
        loop {
            let Some(acquired) = released.run_until_cancelled(self.acquire()).await else {
                return Ok(());
            };
            let Some(mut connection) = acquired? else {
                tracing::warn!(
                    code = "lease_unsupported",
                    remedy =
                        "set `LEASE=none`, and see to it that no second collector of the group is started",
                    "the database has no lock that ends with its connection: nothing keeps a second collector of this group from sending"
                );
                self.fence.opens_for_good();
                return Ok(());
            };
            let Some(held) = released.run_until_cancelled(self.hold(&mut connection)).await else {
                connection.close().await;
                return Ok(());
            };
            let reason = held?;
            tracing::warn!(
                code = "lease_lost",
                "the lease is asked for again, and puts are held back unless it is granted soon: {reason}"
            );
            self.lost = Some((connection.id().to_owned(), Instant::now()));
            self.fence.asks(None);
        }
    }

    /// Asks until the lock is granted; `None` where there are no such locks.
    async fn acquire(&mut self) -> Result<Option<Connection>, Failure> {
        let (mut attempt, mut denied) = (0u32, 0u32);
        loop {
            let failure = match self.ask().await {
                Ok(connection) => return Ok(connection),
                Err(failure) => failure,
            };
            let code = failure.reason.code;
            if code == "database_access_denied" {
                denied = denied.saturating_add(1);
                // Its file may have the new one by now; if it cannot be read, that of before is tried again.
                drop(self.database.read_passwords_again());
            }
            let is_final = matches!(failure.disposition, Disposition::Halt { .. })
                && (code != "database_access_denied" || denied >= self.alarm_attempts);
            // Later the source says what is wrong with the database.
            if is_final && (self.lost.is_none() || code == SUPERSEDED) {
                return Err(failure);
            }
            let delays = if self.answered { AGAIN } else { self.delays };
            let wait = delays.delay(attempt, &mut self.rng);
            if attempt == 0 {
                tracing::warn!(code, error = %failure.reason.message, "the lease cannot be asked for; it is tried again");
            }
            attempt = attempt.saturating_add(1);
            self.fence.asks(Some(failure.reason));
            sleep(wait).await;
        }
    }

    async fn ask(&mut self) -> Result<Option<Connection>, Failure> {
        let mut database = self.database.clone();
        if self.answered {
            database.connect_timeout = database.connect_timeout.min(CONNECT);
        }
        let mut connection = Connection::open(&database, &self.name).await?;
        let mut told = false;
        loop {
            let asked = Instant::now();
            let grant = connection.take(WAIT_SECONDS).await?;
            self.answered = true;
            match grant {
                Grant::Ours => {
                    let goes_on = self.fence.granted(asked);
                    if told || self.lost.is_some() {
                        tracing::info!(goes_on, "the lease is granted");
                    }
                    return Ok(Some(connection));
                }
                Grant::Unsupported if self.lost.is_none() => return Ok(None),
                Grant::Unsupported => {
                    return Err(Failure::retry(
                        "lease_unsupported",
                        "the database has no lock any more that ends with its connection",
                    ));
                }
                Grant::Others(holder) if self.fence.was_open() => self.not_another(holder)?,
                Grant::Others(_) => {
                    self.fence.stands_by();
                    if !told {
                        tracing::info!("another collector of this group is at work; standing by");
                    }
                    told = true;
                }
            }
        }
    }

    /// Sees whether the lock that we held is another collector's now.
    fn not_another(&self, holder: Option<String>) -> Result<(), Failure> {
        let Some((id, at)) = &self.lost else { return Ok(()) };
        match holder {
            Some(holder) if holder != *id || at.elapsed() >= STALE => {
                Err(superseded("it holds the lease on the database"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Confirms the lease until that fails; says why. Sending may begin once the tenure is settled, and in a later tenure
    /// than the first if nobody has sent meanwhile.
    async fn hold(&mut self, connection: &mut Connection) -> Result<String, Failure> {
        let mut check: OptionFuture<Check> = None.into();
        let mut checking = false;
        let mut next = Instant::now() + CONFIRM_EVERY;
        loop {
            tokio::select! {
                Some(done) = &mut check, if checking => {
                    done?;
                    checking = false;
                    self.fence.clear();
                    tracing::info!("nobody else has sent; going on");
                }
                () = sleep_until(next) => {
                    let asked = Instant::now();
                    next = asked + CONFIRM_EVERY;
                    match connection.is_held().await {
                        Ok(true) => {}
                        Ok(false) => return Ok(String::from("the lock is not ours any more")),
                        Err(failure) => return Ok(failure.to_string()),
                    }
                    let settled = self.fence.confirmed(asked);
                    if settled && !self.fence.lease().is_cleared() && !checking {
                        if self.datahub.epoch().is_some() && self.exclusive {
                            check = Some(nobody_sent(Arc::clone(&self.datahub), self.delays)).into();
                            checking = true;
                        } else {
                            self.fence.clear();
                        }
                    }
                }
            }
        }
    }
}

/// Looks in the topic for records of a later epoch, until it can be read.
fn nobody_sent(datahub: Arc<DataHub>, delays: Delays) -> Check {
    Box::pin(async move {
        let look = || async {
            let shards = datahub.shards().await?;
            datahub.is_replaced(&shards).await
        };
        let warn = |failure: Failure, wait: Duration| {
            tracing::warn!(code = failure.reason.code, error = %failure.reason.message, wait_ms = wait.as_millis(),
                "the topic cannot be looked at yet, and nothing is sent before");
        };
        if until_ok(delays, look, warn).await? {
            let seen = format!(
                "records of it came while the lease was lost for {} s or more",
                TAKEOVER.as_secs()
            );
            return Err(superseded(&seen));
        }
        Ok(())
    })
}
