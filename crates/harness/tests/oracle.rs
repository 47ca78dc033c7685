//! The oracle finds what is planted, and finds nothing in a faithful topic.

use harness::oracle::{DatabaseRows, Report, TopicRecord, check, check_topic};
use harness::workload::{Cell, CommitLog, Key, Operation, Table};
use serde_json::{Map, Value, json};

const SEED: u64 = 42;

/// A record of the topic, to be spoiled.
#[derive(Clone, Debug)]
struct Planted {
    sequence: u64,
    id: Option<String>,
    body: Value,
}

fn image(log: &CommitLog, key: Key, version: u64) -> Value {
    let cells = log.row(key, version).into_iter().map(|(column, cell)| {
        let value = match cell {
            Cell::Null => Value::Null,
            Cell::Integer(number) => serde_json::from_str(&number.to_string()).unwrap(),
            Cell::Double(number) => json!(number),
            Cell::Decimal(text) | Cell::Text(text) => json!(text),
        };
        (column.to_owned(), value)
    });
    Value::Object(cells.collect::<Map<_, _>>())
}

/// Two keys' lives, committed, and the topic that shows them faithfully on one shard.
fn faithful() -> (CommitLog, Vec<Planted>) {
    let log = CommitLog::new(SEED);
    let mut topic: Vec<Planted> = Vec::new();
    let account = Key {
        table: Table::Accounts,
        number: 3,
    };
    let stock = Key {
        table: Table::Stock,
        number: 17,
    };
    let life = [
        Operation::Insert,
        Operation::Update,
        Operation::Update,
        Operation::Delete,
        Operation::Insert,
    ];
    for (index, operation) in life.into_iter().enumerate() {
        let version = index as u64 + 1;
        log.committed(&[(account, operation), (stock, operation)], 1_000 * version);
        for key in [account, stock] {
            let (op, before, after) = match operation {
                Operation::Insert => ("c", Value::Null, image(&log, key, version)),
                Operation::Update => ("u", image(&log, key, version - 1), image(&log, key, version)),
                Operation::Delete => ("d", image(&log, key, version - 1), Value::Null),
            };
            let sequence = topic.len() as u64;
            let body =
                json!({"op": op, "before": before, "after": after, "source": {"table": key.table.name()}});
            topic.push(Planted {
                sequence,
                id: Some(format!("uuid:{version}:{sequence}")),
                body,
            });
        }
    }
    (log, topic)
}

fn judge(log: &CommitLog, topic: &[Planted]) -> Report {
    judge_with(log, topic, None)
}

fn judge_with(log: &CommitLog, topic: &[Planted], rows: Option<&DatabaseRows>) -> Report {
    let payloads: Vec<Vec<u8>> = topic
        .iter()
        .map(|record| record.body.to_string().into_bytes())
        .collect();
    let records = topic.iter().zip(&payloads).map(|(record, payload)| TopicRecord {
        shard: "0",
        sequence: record.sequence,
        id: record.id.as_deref(),
        payload,
        stored_us: Some(10_000),
    });
    let report = check(log, records, rows);
    eprintln!("{report}");
    report
}

/// Spoils a faithful topic and judges it.
fn spoiled(spoil: impl FnOnce(&CommitLog, &mut Vec<Planted>)) -> Report {
    let (log, mut topic) = faithful();
    spoil(&log, &mut topic);
    let report = judge(&log, &topic);
    assert!(!report.is_exact());
    report
}

/// Appends a copy of a record, as a later one.
fn repeat(topic: &mut Vec<Planted>, index: usize, id: Option<String>) {
    let copy = Planted {
        sequence: topic.len() as u64,
        id,
        ..topic[index].clone()
    };
    topic.push(copy);
}

#[test]
fn a_faithful_topic_has_no_findings() {
    let (log, topic) = faithful();
    let mut report = judge(&log, &topic);
    assert!(report.is_exact());
    assert_eq!((report.committed, report.records), (10, 10));
    assert_eq!(report.latency().unwrap().max.as_micros(), 9_000);
}

#[test]
fn finds_a_lost_change() {
    for index in 0..10 {
        let report = spoiled(|_, topic| drop(topic.remove(index)));
        assert_eq!((report.lost, report.out_of_order), (1, 0));
    }
}

#[test]
fn finds_everything_lost_in_an_empty_topic() {
    assert_eq!(spoiled(|_, topic| topic.clear()).lost, 10);
}

#[test]
fn tells_repetitions_with_the_same_id_from_others() {
    let report = spoiled(|_, topic| repeat(topic, 9, topic[9].id.clone()));
    assert_eq!((report.repeated_same_id, report.repeated_other_id), (1, 0));
    assert!(report.is_effectively_once());
    let report = spoiled(|_, topic| repeat(topic, 9, Some("another".to_owned())));
    assert_eq!((report.repeated_same_id, report.repeated_other_id), (0, 1));
    assert!(!report.is_effectively_once());
    let report = spoiled(|_, topic| repeat(topic, 9, None));
    assert_eq!((report.without_id, report.repeated_other_id), (1, 1));
}

#[test]
fn finds_disorder_within_a_key_and_none_between_keys() {
    let report = spoiled(|_, topic| {
        // Records 2 and 4 are versions 2 and 3 of one key.
        topic[2].sequence = 4;
        topic[4].sequence = 2;
    });
    assert_eq!((report.out_of_order, report.lost), (1, 0));
    let (log, mut topic) = faithful();
    topic[2].sequence = 3;
    topic[3].sequence = 2;
    assert!(judge(&log, &topic).is_exact());
}

#[test]
fn a_replay_of_the_tail_is_repetition_and_not_disorder() {
    let report = spoiled(|_, topic| {
        for index in 4..10 {
            repeat(topic, index, topic[index].id.clone());
        }
    });
    assert_eq!((report.repeated_same_id, report.out_of_order), (6, 0));
    assert!(report.is_effectively_once());
}

/// A consumer that knows what it has seen is right where one that does not has an old row.
#[test]
fn an_old_change_shown_again_spoils_the_rows_of_those_who_take_it() {
    let (log, mut topic) = faithful();
    let mut rows = DatabaseRows::default();
    for key in log.snapshot().into_keys() {
        let cells = log.row(key, 5).into_iter().map(|(_, cell)| match cell {
            Cell::Null => None,
            Cell::Integer(number) => Some(number.to_string()),
            Cell::Double(number) => Some(format!("{number:?}")),
            Cell::Decimal(text) | Cell::Text(text) => Some(text),
        });
        rows.insert(key, 5, cells.collect());
    }
    let judged = |topic: &[Planted]| judge_with(&log, topic, Some(&rows));
    assert!(judged(&topic).is_exact());
    let id = topic[2].id.clone();
    repeat(&mut topic, 2, id);
    let report = judged(&topic);
    assert_eq!((report.final_differs, report.final_differs_once), (1, 0));
    assert!(report.is_exact_deduplicated() && !report.is_effectively_once());
    topic.truncate(9);
    assert_eq!(judged(&topic).final_differs_once, 1);
}

#[test]
fn finds_wrong_values_images_and_operations() {
    let spoils: [fn(&mut Value); 6] = [
        |body| body["after"]["balance"] = json!("0.0001"),
        |body| body["before"]["owner"] = Value::Null,
        |body| body["after"]["surplus"] = json!(1),
        |body| drop(body["after"].as_object_mut().unwrap().remove("note")),
        |body| body["before"] = Value::Null,
        |body| body["op"] = json!("c"),
    ];
    for spoil in spoils {
        let report = spoiled(|_, topic| spoil(&mut topic[2].body));
        assert_eq!((report.wrong_content, report.lost, report.foreign), (1, 0, 0));
    }
}

#[test]
fn finds_a_rolled_back_row() {
    let report = spoiled(|log, topic| {
        let key = Key {
            table: Table::Accounts,
            number: 3,
        };
        let body = json!({"op": "u", "before": image(log, key, 5), "after": image(log, key, 6),
                          "source": {"table": "accounts"}});
        topic.push(Planted {
            sequence: 99,
            id: Some("uuid:6:0".to_owned()),
            body,
        });
    });
    assert_eq!((report.foreign, report.lost), (1, 0));
}

#[test]
fn finds_what_is_not_a_record_of_the_workload() {
    for body in [
        json!("text"),
        json!({"op": "c"}),
        json!({"op": "c", "source": {"table": "other"}, "after": {}}),
    ] {
        let report = spoiled(|_, topic| {
            topic.push(Planted {
                sequence: 99,
                id: Some("x".to_owned()),
                body,
            })
        });
        assert_eq!(report.foreign, 1);
    }
}

#[test]
fn finds_two_changes_under_one_id() {
    let report = spoiled(|_, topic| topic[5].id = topic[4].id.clone());
    assert_eq!(report.shared_id, 1);
}

#[tokio::test]
async fn reads_the_emulator() -> anyhow::Result<()> {
    let options = datahub_emulator::Options::default();
    let emulator = datahub_emulator::Emulator::start(options).await?;
    let log = CommitLog::new(SEED);
    log.committed(
        &[(
            Key {
                table: Table::Journal,
                number: 0,
            },
            Operation::Insert,
        )],
        1,
    );
    let missing = check_topic(&emulator, "no_such_project", "t", &log, None).expect_err("there is no topic");
    assert!(format!("{missing:#}").contains("no_such_project"), "{missing:#}");
    Ok(())
}
