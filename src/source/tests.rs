//! The whole source on real servers, without the rest of the collector.

use harness::servers::{ADMIN, Kind, Options, SCHEMA, Server};
use harness::workload::{Plan, Workload};

use super::*;
use crate::config::filter::TableFilter;
use crate::config::{PositionLost, Secret, StartPosition, TlsConfig, TlsMode, TypePolicy};

/// A server that has seen some traffic and is quiet now.
async fn quiet_server(kind: Kind) -> Server {
    let server = Server::start(kind, Options::default()).await.unwrap();
    let workload = Workload::new(server.opts(server.admin()), SCHEMA, Plan::default())
        .await
        .unwrap();
    workload.run(1_500, |_| {}).await.unwrap();
    workload.huge_transaction(2_000).await.unwrap();
    server
}

fn config(port: u16) -> DatabaseConfig {
    DatabaseConfig {
        host: "127.0.0.1".to_owned(),
        port,
        username: ADMIN.user.to_owned(),
        password: Secret::new(ADMIN.password),
        observer: None,
        tables: TableFilter::parse(SCHEMA, "*, !stock").unwrap(),
        tls: TlsConfig {
            mode: TlsMode::Disabled,
            ca: None,
            client: None,
        },
        server_id: 4711,
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(5),
        types: TypePolicy::Halt,
        schemas: crate::config::SchemaPolicy::Halt,
        start: StartPosition::Earliest,
        position_lost: PositionLost::Halt,
        schema_check: Duration::ZERO,
    }
}

fn source(config: DatabaseConfig, resume: Option<Resume>) -> (Source, watch::Receiver<SourceStatus>) {
    let (sender, receiver) = watch::channel(SourceStatus::new(config.heartbeat));
    let delays = Delays {
        base: Duration::from_millis(50),
        cap: Duration::from_secs(1),
    };
    let mut source = Source::new(config, delays, 3, None, sender);
    if let Some(resume) = resume {
        source.resume(resume);
    }
    (source, receiver)
}

fn show(event: &ChangeEvent<'_>) -> String {
    match event {
        ChangeEvent::Row(row) => {
            let (id, meta) = (&row.schema.id, row.meta);
            format!("{} {id} {}:{}", row.operation.letter(), meta.transaction, row.row)
        }
        ChangeEvent::Filtered { operation } => format!("{} filtered", operation.letter()),
        ChangeEvent::Mark(mark) => format!("{mark:?}"),
    }
}

fn take(source: &mut Source, seen: &mut Vec<String>) {
    source
        .rows(|event| {
            seen.push(show(&event));
            Ok(())
        })
        .unwrap();
}

/// Reads until the server is idle.
async fn drain(source: &mut Source) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(10), source.next())
            .await
            .unwrap()
            .unwrap()
        {
            Step::Rows => take(source, &mut seen),
            Step::Boundary => {}
            Step::Heartbeat => return seen,
        }
    }
}

async fn restarts_every_few_steps_change_nothing(kind: Kind) {
    let server = quiet_server(kind).await;
    let config = config(server.port());
    let (mut whole, status) = source(config.clone(), None);
    let rows = drain(&mut whole).await;
    assert_eq!(status.borrow().state, SourceState::Streaming);
    assert!(!rows.is_empty());
    let (identity, end) = (whole.identity().cloned().unwrap(), whole.position());
    whole.close().await;
    // The same again, with a restart after every few steps.
    let (mut position, mut again) = (None, Vec::new());
    loop {
        let resume = position.clone().map(|position| Resume {
            with_history: true,
            identity: identity.clone(),
            position,
        });
        let (mut source, _status) = source(config.clone(), resume);
        for _ in 0..50 {
            match source.next().await.unwrap() {
                Step::Rows => {
                    // Stop in the middle of an event as well.
                    let mut budget = 100;
                    let stopped = source.rows(|event| {
                        if budget == 0 {
                            return Err(Failure::retry("test", "enough"));
                        }
                        budget -= 1;
                        again.push(show(&event));
                        Ok(())
                    });
                    if stopped.is_err() {
                        break;
                    }
                }
                // A server sends heartbeats after transactions that it passes over, too: no sign of the end.
                Step::Boundary | Step::Heartbeat => {}
            }
            if source.position() == end {
                break;
            }
        }
        position = source.position();
        source.close().await;
        if position == end {
            break;
        }
    }
    assert_eq!(again.len(), rows.len());
    assert!(again == rows);
}

#[tokio::test]
async fn i7_restarts_every_few_steps_change_nothing_on_mysql() {
    restarts_every_few_steps_change_nothing(Kind::MySql).await;
}

#[tokio::test]
async fn i7_restarts_every_few_steps_change_nothing_on_mariadb() {
    restarts_every_few_steps_change_nothing(Kind::MariaDb).await;
}

async fn a_killed_dump_goes_on_at_the_next_row(kind: Kind) {
    let server = quiet_server(kind).await;
    let config = config(server.port());
    let (mut whole, _status) = source(config.clone(), None);
    let rows = drain(&mut whole).await;
    whole.close().await;
    let (mut killed, status) = source(config.clone(), None);
    let mut admin = connection::connect(&config).await.unwrap();
    let (mut seen, mut steps, mut kills) = (Vec::new(), 0u32, 0u32);
    loop {
        let step = killed.next().await.unwrap();
        match step {
            Step::Rows => take(&mut killed, &mut seen),
            Step::Heartbeat if kills >= 5 => break,
            Step::Boundary | Step::Heartbeat => {}
        }
        steps += 1;
        if step == Step::Heartbeat || steps.is_multiple_of(300) {
            let sql = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
            if let Some(id) = connection::one_text(&mut admin, sql, config.connect_timeout)
                .await
                .unwrap()
            {
                kills += 1;
                drop(connection::query(&mut admin, &format!("KILL {id}"), config.connect_timeout).await);
            }
        }
    }
    assert!(seen == rows, "{} rows instead of {}", seen.len(), rows.len());
    assert_eq!(status.borrow().state, SourceState::Streaming);
}

#[tokio::test]
async fn i7_a_killed_dump_goes_on_at_the_next_row_on_mysql() {
    a_killed_dump_goes_on_at_the_next_row(Kind::MySql).await;
}

#[tokio::test]
async fn i7_a_killed_dump_goes_on_at_the_next_row_on_mariadb() {
    a_killed_dump_goes_on_at_the_next_row(Kind::MariaDb).await;
}

async fn left_and_returned_to_it_goes_on_at_the_next_row(kind: Kind) {
    let server = quiet_server(kind).await;
    let config = config(server.port());
    let (mut whole, _status) = source(config.clone(), None);
    let rows = drain(&mut whole).await;
    let end = whole.position();
    whole.close().await;
    let (mut source, status) = source(config, None);
    let (mut seen, mut steps, mut parks) = (Vec::new(), 0u32, 0u32);
    while source.position() != end || seen.len() < rows.len() {
        if source.next().await.unwrap() == Step::Rows {
            take(&mut source, &mut seen);
        }
        steps += 1;
        if steps.is_multiple_of(150) {
            let position = source.position();
            source.park().await;
            parks += 1;
            assert_eq!(status.borrow().state, SourceState::Parked);
            assert_eq!(source.position(), position);
            // It looks at the binlog at once.
            let asked = status.borrow().head_asked;
            tokio::select! {
                () = source.watch() => unreachable!("it does not end"),
                () = async { while status.borrow().head_asked == asked { tokio::task::yield_now().await; } } => {}
            }
        }
    }
    assert!(parks >= 5, "{parks} of {steps} steps");
    assert!(seen == rows, "{} rows instead of {}", seen.len(), rows.len());
    assert_eq!(status.borrow().state, SourceState::Streaming);
    source.park().await;
    source.close().await;
}

#[tokio::test]
async fn i7_left_and_returned_to_it_goes_on_at_the_next_row() {
    tokio::join!(
        left_and_returned_to_it_goes_on_at_the_next_row(Kind::MySql),
        left_and_returned_to_it_goes_on_at_the_next_row(Kind::MariaDb),
    );
}

#[test]
fn a_source_may_move_to_another_thread_while_it_waits() {
    fn moves<T: Send>(_: &T) {}
    let (mut source, _status) = source(config(1), None);
    assert_eq!(source.position(), None);
    moves(&source);
    moves(&source.next());
}
