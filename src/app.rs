//! Wiring: builds the parts, owns the tasks, the signals and the phases of a stop. Decides nothing else.
//!
//! The only file that starts long tasks. A task that ends early or panics is fatal: there is no half-alive
//! process. HTTP has a thread and a runtime of its own, started first and stopped last, so that a probe is
//! answered while everything else is busy, broken or draining.
//!
//! A stop has phases: not ready → the source closes its connection → what was read is delivered and its
//! checkpoint written, or the deadline passes → HTTP ends. Being killed at any instant is as safe; the clean
//! stop only saves repetitions.

mod check;
mod describe;
mod ending;
mod fields;
mod lease;
mod letters;
mod memory;
mod outlook;
mod prepare;
mod tables;
mod topic;
mod view;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, LeaseKind};
use crate::delivery;
use crate::encode;
use crate::http;
use crate::pipeline::fence::Fence;
use crate::pipeline::intake::{Beginning, CHANNEL_CHUNKS, Intake};
use crate::pipeline::{Pipeline, Tick};
use crate::retry::Failure;
use crate::sink::DataHub;
use crate::source::{History, Learnt, Source, SourceStatus, parked};
use crate::store::{Checkpoint, Store};
use crate::telemetry::Metrics;

pub use check::{Area, Checked, Extent, Report, check};
pub use describe::{Description, Language, describe, sentence};
use ending::{ended_by, log_halt};
use lease::Keeper;
pub use letters::{Letters, LettersReport, dead_letters};
use prepare::{Prepared, prepare};
pub use tables::{TablesCommand, tables};
use view::View;

/// How often the shards are listed: often enough that a DataHub that has gone silent shows within a minute even
/// when there is nothing to put, and seldom enough to cost nothing.
const SHARD_REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// How often gauges are computed and histograms tidied.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// Told to stop: drained, or the deadline passed.
    Stopped,
    /// Halted with `EXIT_ON_HALT=true`.
    Halted,
    /// Another collector of the group has taken over.
    Superseded,
    /// One of our own tasks failed.
    Internal,
}

/// The time of day.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
fn system_time() -> SystemTime {
    SystemTime::now()
}

/// The time since 1970.
fn wall_clock() -> Duration {
    system_time()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn wall_clock_ms() -> u64 {
    u64::try_from(wall_clock().as_millis()).unwrap_or(u64::MAX)
}

/// What a long task ended with.
enum Ended {
    Intake(Result<(), Failure>),
    Pipeline(Result<(), Failure>),
    Lease(Result<(), Failure>),
    Upkeep,
    /// One that was not to be long.
    Checks,
}

/// Relays until SIGTERM or SIGINT.
pub async fn run(config: Config, metrics: Metrics) -> ExitReason {
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(e), _) | (_, Err(e)) => {
                tracing::error!(error = %e, "signals cannot be received");
                return ExitReason::Internal;
            }
        };
    let mut signals = async || stop_signal(&mut terminate, &mut interrupt).await;

    let (source_status, source_watch) = watch::channel(SourceStatus::new(config.database.heartbeat));
    let fence = match config.lease {
        LeaseKind::Database => Fence::closed(),
        LeaseKind::None => Fence::none(),
    };
    let view = Arc::new(View::new(&config, source_watch, fence.clone()));
    let exit_on_halt = config.exit_on_halt;
    let http_stop = CancellationToken::new();
    let http = match start_http(&config, &view, metrics.clone(), &http_stop, &mut signals).await {
        Ok(Some(thread)) => thread,
        Ok(None) => return ExitReason::Stopped,
        Err(()) => return ExitReason::Halted,
    };

    let reason = match Parts::build(&config, &view, source_status, fence) {
        Ok(parts) => relay(parts, &config, &view, metrics, &mut signals).await,
        Err(failure) => {
            view.halt(failure);
            if exit_on_halt {
                ExitReason::Halted
            } else {
                signals().await;
                ExitReason::Stopped
            }
        }
    };
    http_stop.cancel();
    // The thread ends within a second of the token; if it panicked, that was logged where it happened.
    if tokio::task::spawn_blocking(move || http.join()).await.is_err() {
        tracing::warn!("the HTTP thread did not end cleanly");
    }
    reason
}

async fn stop_signal(terminate: &mut Signal, interrupt: &mut Signal) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "stopping");
}

/// Opens the port, again and again while it is taken, and serves it from a thread of its own.
/// `None` if a signal came first, an error if a halt is to end the process.
async fn start_http(
    config: &Config,
    view: &Arc<View>,
    metrics: Metrics,
    stop: &CancellationToken,
    signals: &mut impl AsyncFnMut(),
) -> Result<Option<std::thread::JoinHandle<()>>, ()> {
    let mut rng = fastrand::Rng::new();
    let mut attempt = 0;
    let listener = loop {
        match http::bind(config.monitoring.listen).await {
            Ok(listener) => break listener,
            Err(failure) => {
                log_halt(&failure);
                if config.exit_on_halt {
                    return Err(());
                }
                tokio::select! {
                    () = tokio::time::sleep(config.delivery.delays.delay(attempt, &mut rng)) => attempt += 1,
                    () = signals() => return Ok(None),
                }
            }
        }
    };
    let (view, stop) = (Arc::clone(view), stop.clone());
    let serve = move || -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener.into_std()?)?;
            http::serve(listener, move || view.status(), metrics, stop).await
        })
    };
    let thread = std::thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || {
            if let Err(e) = serve() {
                tracing::error!(error = %e, "the HTTP side failed");
            }
        });
    match thread {
        Ok(thread) => Ok(Some(thread)),
        Err(e) => {
            tracing::error!(error = %e, "no thread for the HTTP side");
            Err(())
        }
    }
}

/// Everything that the tasks are made of.
struct Parts {
    intake: Intake,
    pipeline: Pipeline<DataHub>,
    datahub: Arc<DataHub>,
    arrivals: mpsc::Receiver<crate::pipeline::intake::Arrival>,
    /// Where the source takes orders for parked tables.
    orders: mpsc::Sender<parked::Order>,
    store: Arc<Store>,
    checkpoint: Option<Checkpoint>,
    fence: Fence,
    keeper: Option<Keeper>,
    /// The pipeline's sign of life, before it runs.
    tick: Tick,
}

impl Parts {
    fn build(
        config: &Config,
        view: &Arc<View>,
        source_status: watch::Sender<SourceStatus>,
        fence: Fence,
    ) -> Result<Self, Failure> {
        let store = Store::open(&config.data_dir, &config.datahub.group)?;
        let store = Arc::new(store.with_letter_limit(config.delivery.dead_letter_bytes));
        let checkpoint = store.read_checkpoint()?;
        if let Some(checkpoint) = &checkpoint {
            tracing::info!(position = %checkpoint.position, "found a checkpoint");
        }
        let learnt = store.read_schemas::<History>()?.map(|schemas| Learnt {
            identity: schemas.identity,
            history: schemas.tables,
        });
        let datahub = Arc::new(DataHub::new(&config.datahub, system_time)?);
        let asked = fence.clone();
        datahub.send_only_while(Arc::new(move || asked.is_open()));
        let identity = Arc::new(OnceLock::new());
        let (intake_tick, driver_tick) = (Tick::default(), Tick::default());
        let (pipeline, watched) = Pipeline::new(
            settings(config),
            Arc::clone(&datahub),
            Arc::clone(&store),
            Arc::clone(&identity),
            driver_tick.clone(),
            system_time,
            fence.clone(),
        );
        let (orders, taken) = mpsc::channel(1);
        let source = Source::new(
            config.database.clone(),
            config.delivery.delays,
            config.delivery.alarm_attempts,
            learnt,
            source_status,
        )
        .for_records(config.records.clone())
        .with_orders(taken);
        let (sender, arrivals) = mpsc::channel(CHANNEL_CHUNKS);
        let intake = Intake::new(
            source,
            encode::Settings {
                group: config.datahub.group.clone(),
                routing: encode::Routing::default(),
                envelope: config.records.envelope,
                columns: config.records.columns.clone(),
                hash_key: config.records.hash_key.clone(),
                rules_on_keys: config.records.rules_on_keys,
            },
            sender,
            identity,
            wall_clock_ms,
            intake_tick.clone(),
        );
        view.watch(
            watched,
            intake.waiting(),
            [("intake", intake_tick), ("delivery", driver_tick.clone())],
        );
        Ok(Self {
            intake,
            pipeline,
            keeper: Keeper::new(config, &fence, &datahub),
            datahub,
            arrivals,
            orders,
            store,
            checkpoint,
            fence,
            tick: driver_tick,
        })
    }
}

fn settings(config: &Config) -> delivery::Settings {
    let delivery = &config.delivery;
    delivery::Settings {
        batch_bytes: delivery.batch_bytes,
        batch_records: delivery.batch_records,
        linger: delivery.linger,
        budget_bytes: delivery.budget_bytes,
        delays: delivery.delays,
        poison: delivery.poison,
        alarm_attempts: delivery.alarm_attempts,
        checkpoint_interval: delivery::CHECKPOINT_INTERVAL,
        shard_refresh_interval: SHARD_REFRESH_INTERVAL,
        probe_delay: delivery::PROBE_DELAY,
        seed: fastrand::u64(..),
    }
}

/// Starts the tasks and waits for the end of the run.
async fn relay(
    parts: Parts,
    config: &Config,
    view: &Arc<View>,
    metrics: Metrics,
    signals: &mut impl AsyncFnMut(),
) -> ExitReason {
    let stop = CancellationToken::new();
    let mut tasks = start_tasks(parts, config, view, metrics, &stop);
    let mut halted = view.halted();
    let reason = loop {
        tokio::select! {
            () = signals() => break ExitReason::Stopped,
            ended = tasks.join_next() => match ended {
                Some(Ok(
                    Ended::Intake(Err(failure)) | Ended::Pipeline(Err(failure)) | Ended::Lease(Err(failure)),
                )) => view.halt(failure),
                // The pipeline delivers what was read before the source halted, and ends.
                Some(Ok(Ended::Pipeline(Ok(())))) if view.is_halted() => {}
                // Nobody takes what it reads any more: why is for the other half to say, now or in a moment.
                Some(Ok(Ended::Intake(Ok(())))) => {}
                // There is none to be had, or the pipeline has ended and it is given back.
                Some(Ok(Ended::Lease(Ok(())))) => {}
                // What was to be told is in the log.
                Some(Ok(Ended::Checks)) => {}
                Some(Ok(Ended::Pipeline(Ok(())) | Ended::Upkeep)) | None => {
                    tracing::error!("a task ended before its time");
                    break ExitReason::Internal;
                }
                Some(Err(e)) => {
                    tracing::error!(error = %e, "a task failed");
                    break ExitReason::Internal;
                }
            },
            Some(reason) = ended_by(&mut halted, config.exit_on_halt) => break reason,
        }
    };
    view.drain();
    stop.cancel();
    if reason == ExitReason::Superseded {
        // What is in memory is the other one's matter now.
        return reason;
    }
    let drained = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(e) = ended {
                tracing::error!(error = %e, "a task failed while stopping");
            }
        }
    };
    tokio::select! {
        () = drained => tracing::info!("everything that was read is delivered; stopped"),
        () = tokio::time::sleep(config.shutdown_timeout) => {
            tracing::warn!("the deadline passed with records undelivered; they will be read again at the next start");
        }
        () = signals() => tracing::warn!("second signal: stopping at once"),
    }
    reason
}

/// Starts every long task of the process.
fn start_tasks(
    parts: Parts,
    config: &Config,
    view: &Arc<View>,
    metrics: Metrics,
    stop: &CancellationToken,
) -> JoinSet<Ended> {
    let Parts {
        intake,
        pipeline,
        datahub,
        arrivals,
        orders,
        store,
        checkpoint,
        fence,
        keeper,
        tick,
    } = parts;
    let mut tasks = JoinSet::new();
    let (begin, beginning) = oneshot::channel();
    let token = stop.clone();
    tasks.spawn(async move { Ended::Intake(intake.run(beginning, token).await) });
    let (token, asked) = (stop.clone(), Arc::clone(&store));
    tasks.spawn(async move {
        token.run_until_cancelled(tables::obey(&asked, &orders)).await;
        Ended::Upkeep
    });
    // What nothing waits for: it must not make the start longer.
    let (token, checked) = (stop.clone(), config.clone());
    tasks.spawn(async move {
        token.run_until_cancelled(check::at_start(&checked)).await;
        Ended::Checks
    });
    // The lease is held until the last record is acknowledged, not only until it is time to stop.
    let released = CancellationToken::new();
    let until = released.clone();
    if let Some(keeper) = keeper {
        tasks.spawn(async move { Ended::Lease(keeper.keep(until).await) });
    }
    let (token, prepared, config) = (stop.clone(), Arc::clone(view), config.clone());
    tasks.spawn(async move {
        let _releases = released.drop_guard();
        let ready = tokio::select! {
            ready = prepare(&datahub, &config, &store, checkpoint, &prepared, &fence) => ready,
            () = tick.keep_touched() => return Ended::Pipeline(Ok(())),
            () = token.cancelled() => return Ended::Pipeline(Ok(())),
        };
        let Prepared { topic, resume, known } = match ready {
            Ok(prepared) => prepared,
            Err(failure) => return Ended::Pipeline(Err(failure)),
        };
        if begin.send(Beginning { topic, resume }).is_err() {
            // The intake was told to stop meanwhile: nothing will arrive.
            return Ended::Pipeline(Ok(()));
        }
        pipeline.run(arrivals, known, token).await;
        Ended::Pipeline(Ok(()))
    });
    let (token, view) = (stop.clone(), Arc::clone(view));
    tasks.spawn(async move {
        let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            tokio::select! {
                _ = interval.tick() => {
                    view.publish();
                    metrics.upkeep();
                }
                () = token.cancelled() => return Ended::Upkeep,
            }
        }
    });
    tasks
}
