//! Against a real server: `CDC_TEST_DATABASE=host:port:user:password cargo test source::tests -- --ignored`.
//!
//! The account needs all privileges; the database `shop` must hold only rows that nobody changes meanwhile.

use super::*;
use crate::change::Operation;
use crate::config::filter::TableFilter;
use crate::config::{Secret, StartPosition, TlsConfig, TlsMode};

fn config(start: StartPosition) -> DatabaseConfig {
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    let address = std::env::var("CDC_TEST_DATABASE").expect("CDC_TEST_DATABASE names the server");
    let parts: Vec<_> = address.split(':').collect();
    DatabaseConfig {
        host: parts[0].to_owned(),
        port: parts[1].parse().unwrap(),
        username: parts[2].to_owned(),
        password: Secret::new(parts[3]),
        tables: TableFilter::parse("shop", "*").unwrap(),
        tls: TlsConfig {
            mode: TlsMode::Disabled,
            ca: None,
            client: None,
        },
        server_id: 4711,
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(5),
        start,
    }
}

fn source(config: DatabaseConfig, resume: Option<Resume>) -> (Source, watch::Receiver<SourceStatus>) {
    let (sender, receiver) = watch::channel(SourceStatus::new(config.heartbeat));
    let delays = Delays {
        base: Duration::from_millis(50),
        cap: Duration::from_secs(1),
    };
    (Source::new(config, delays, 3, resume, sender), receiver)
}

fn take(source: &mut Source, seen: &mut Vec<String>) {
    source
        .rows(|event| {
            seen.push(match event {
                ChangeEvent::Row(row) => format!(
                    "{} {} {}:{}",
                    row.operation.letter(),
                    row.schema.id,
                    row.meta.transaction,
                    row.row
                ),
                ChangeEvent::Filtered { operation, .. } => {
                    assert!(matches!(
                        operation,
                        Operation::Create | Operation::Update | Operation::Delete
                    ));
                    "filtered".to_owned()
                }
            });
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

#[tokio::test]
#[ignore = "needs a server, see above"]
async fn i7_a_real_server_is_read_from_its_oldest_event() {
    let config = config(StartPosition::Earliest);
    let (mut whole, status) = source(config.clone(), None);
    let rows = drain(&mut whole).await;
    assert_eq!(status.borrow().state, SourceState::Streaming);
    assert!(!rows.is_empty());
    let identity = whole.identity().cloned().unwrap();
    whole.close().await;
    // The same again, with a restart after every few steps.
    let (mut position, mut again) = (None, Vec::new());
    loop {
        let resume = position.clone().map(|position| Resume {
            identity: identity.clone(),
            position,
        });
        let (mut source, _status) = source(config.clone(), resume);
        let mut idle = false;
        for _ in 0..9 {
            match source.next().await.unwrap() {
                Step::Rows => {
                    // Stop in the middle of an event as well.
                    let mut budget = 7;
                    let stopped = source.rows(|event| {
                        if budget == 0 {
                            return Err(Failure::retry("test", "enough"));
                        }
                        budget -= 1;
                        again.push(match event {
                            ChangeEvent::Row(row) => format!(
                                "{} {} {}:{}",
                                row.operation.letter(),
                                row.schema.id,
                                row.meta.transaction,
                                row.row
                            ),
                            ChangeEvent::Filtered { .. } => "filtered".to_owned(),
                        });
                        Ok(())
                    });
                    if stopped.is_err() {
                        break;
                    }
                }
                Step::Boundary => {}
                Step::Heartbeat => idle = true,
            }
        }
        position = source.position();
        source.close().await;
        if idle {
            break;
        }
    }
    assert_eq!(again.len(), rows.len());
    assert!(again == rows);
}

#[tokio::test]
#[ignore = "needs a server, see above"]
async fn i7_a_killed_dump_goes_on_at_the_next_row() {
    let config = config(StartPosition::Earliest);
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
        if step == Step::Heartbeat || steps.is_multiple_of(1000) {
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
#[ignore = "needs a server, see above"]
async fn a_refused_password_halts_after_the_alarm_attempts() {
    let mut config = config(StartPosition::Latest);
    config.password = Secret::new("wrong");
    let (mut source, status) = source(config, None);
    let failure = source.next().await.unwrap_err();
    assert_eq!(failure.reason.code, "database_access_denied");
    assert_eq!(source.next().await.unwrap_err(), failure);
    assert_eq!(status.borrow().state, SourceState::Halted { failure });
}

#[test]
fn a_source_may_move_to_another_thread_while_it_waits() {
    fn moves<T: Send>(_: &T) {}
    let config = DatabaseConfig {
        host: "192.0.2.1".to_owned(),
        port: 1,
        username: String::new(),
        password: Secret::new(""),
        tables: TableFilter::parse("shop", "*").unwrap(),
        tls: TlsConfig {
            mode: TlsMode::Disabled,
            ca: None,
            client: None,
        },
        server_id: 1,
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        start: StartPosition::Latest,
    };
    let (mut source, _status) = source(config, None);
    assert_eq!(source.position(), None);
    moves(&source);
    moves(&source.next());
}
