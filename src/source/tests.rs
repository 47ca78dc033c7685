//! Against a real server, where one is named: `CDC_TEST_DATABASE=host:port:user:password`.

use super::*;
use crate::change::Operation;
use crate::config::filter::TableFilter;
use crate::config::{Secret, StartPosition, TlsConfig, TlsMode};

fn config(start: StartPosition) -> Option<DatabaseConfig> {
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    let address = std::env::var("CDC_TEST_DATABASE").ok()?;
    let parts: Vec<_> = address.split(':').collect();
    Some(DatabaseConfig {
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
    })
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
async fn a_real_server_is_read_from_its_oldest_event() {
    let Some(config) = config(StartPosition::Earliest) else {
        return;
    };
    let (mut whole, status) = source(config.clone(), None);
    let rows = drain(&mut whole).await;
    println!("{} rows, at {}", rows.len(), whole.position().unwrap());
    println!("{:?}", status.borrow().state);
    for row in rows.iter().take(20) {
        println!("{row}");
    }
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
    assert_eq!(again, rows);
}
