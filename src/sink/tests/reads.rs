//! Topic, shards, tail and probe.

use super::loopback::{Reply, error, ok, pair};
use crate::record::{FieldKind, Probe, Shard, ShardId, ShardState, TopicField, TopicSchema};
use crate::retry::Disposition;
use crate::sink::wire::tests::batch;
use crate::sink::{outcome, wire};

#[tokio::test]
async fn topics_are_blob_or_tuple() {
    let schema = r#"{"fields":[{"name":"id","type":"bigint","notnull":true},{"name":"m","type":"MAP"}]}"#;
    let tuple = serde_json::json!({"RecordType": "TUPLE", "RecordSchema": schema}).to_string();
    let replies = vec![
        ok(br#"{"RecordType":"BLOB","ShardCount":3}"#),
        ok(tuple.as_bytes()),
        ok(b"[]"),
        error(404, "NoSuchTopic", "gone"),
    ];
    let (datahub, _server) = pair(replies, |_| ()).await;
    assert_eq!(datahub.topic().await, Ok(TopicSchema::Blob));
    let field = |name: &str, kind, nullable| TopicField {
        name: name.to_owned(),
        kind,
        nullable,
    };
    let fields = [
        field("id", FieldKind::BigInt, false),
        field("m", FieldKind::Unknown, true),
    ];
    assert_eq!(datahub.topic().await, Ok(TopicSchema::Tuple(fields.into())));
    let odd = datahub.topic().await.unwrap_err();
    assert_eq!(odd.reason.code, "datahub_unreadable_answer");
    let missing = datahub.topic().await.unwrap_err();
    assert_eq!(missing.reason.code, outcome::NO_SUCH_TOPIC);
    assert!(matches!(missing.disposition, Disposition::Halt { .. }));
}

#[tokio::test]
async fn creating_a_topic_that_exists_is_a_success() {
    let replies = vec![
        Reply::Answer(201, "", vec![]),
        error(409, "TopicAlreadyExist", "there"),
        error(404, "NoSuchProject", "gone"),
    ];
    let (datahub, server) = pair(replies, |_| ()).await;
    assert_eq!(datahub.create_topic().await, Ok(()));
    assert_eq!(datahub.create_topic().await, Ok(()));
    let failure = datahub.create_topic().await.unwrap_err();
    assert_eq!(failure.reason.code, "datahub_no_such_project");
    let body: serde_json::Value = serde_json::from_slice(&server.seen()[0].body).unwrap();
    assert_eq!(
        (&body["ShardCount"], &body["RecordType"]),
        (&3.into(), &"BLOB".into())
    );
}

#[tokio::test]
async fn shards_have_ranges_states_and_parents() {
    let body = br#"{"Shards":[
        {"ShardId":"0","State":"CLOSED","BeginHashKey":"00","EndHashKey":"7fffffffffffffff7fffffffffffffff"},
        {"ShardId":"2","State":"ACTIVE","BeginHashKey":"0","EndHashKey":"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
         "ParentShardIds":["0"],"LeftShardId":"4294967295"}],"Protocol":"http1.1","Interval":300000}"#;
    let bad = br#"{"Shards":[{"ShardId":"../0","State":"ACTIVE","BeginHashKey":"0","EndHashKey":"1"}]}"#;
    let (datahub, _server) = pair(vec![ok(body), ok(bad)], |_| ()).await;
    let shard = |id: &str, state, end, parents: &[&str]| Shard {
        id: id.into(),
        state,
        begin: 0,
        end,
        parents: parents.iter().map(|p| ShardId::from(*p)).collect(),
    };
    let half = 0x7fff_ffff_ffff_ffff_7fff_ffff_ffff_ffff;
    assert_eq!(
        datahub.shards().await,
        Ok(vec![
            shard("0", ShardState::Closed, half, &[]),
            shard("2", ShardState::Active, u128::MAX, &["0"]),
        ])
    );
    assert!(datahub.shards().await.is_err());
}

/// A page as the service frames it: sequence numbers, groups and ids.
fn page(records: &[(u64, &str, &str)]) -> Vec<u8> {
    let field =
        |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let pair = |key: &str, value: &str| {
        field(
            1,
            &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat(),
        )
    };
    let mut message = field(1, b"next");
    for (sequence, group, id) in records {
        let attributes = [pair("cdc.group", group), pair("cdc.id", id)].concat();
        let sequence = [6 << 3, u8::try_from(*sequence).unwrap()];
        message.extend(field(4, &[&sequence, &*field(8, &attributes)].concat()));
    }
    let mut framed = b"DHUB".to_vec();
    framed.extend(crc32c::crc32c(&message).to_be_bytes());
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    framed
}

fn cursor(sequence: i64) -> Reply {
    ok(format!(r#"{{"Cursor":"c","RecordTime":0,"Sequence":{sequence}}}"#).as_bytes())
}

fn id(row: u64) -> String {
    format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:7:{row}")
}

#[tokio::test]
async fn a_probe_finds_what_the_shard_holds() {
    let (older, first, second) = ("x:1:0".to_owned(), id(0), id(1));
    let two = batch(&[b"a", b"b"], None);
    let cases: Vec<(&str, Vec<Reply>, Result<usize, &str>)> = vec![
        ("no records at all", vec![cursor(-1)], Ok(0)),
        (
            "an empty shard that counts as 0",
            vec![cursor(0), cursor(0), ok(&page(&[]))],
            Ok(0),
        ),
        (
            "all",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &first), (9, "g", &second)])),
            ],
            Ok(2),
        ),
        (
            "the first, in two pages",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &older)])),
                ok(&page(&[(9, "g", &first)])),
            ],
            Ok(1),
        ),
        (
            "none, behind an older one of ours",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &older), (9, "h", "y")])),
            ],
            Ok(0),
        ),
        (
            "all, before two foreign ones",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "h", &first), (9, "h", "y")])),
                cursor(0),
                ok(&page(&[(6, "g", &first), (7, "g", &second)])),
            ],
            Ok(2),
        ),
        (
            "records whose time is over",
            vec![
                cursor(9),
                error(400, "SeekOutOfRange", "gone"),
                cursor(9),
                ok(&page(&[(9, "h", &older)])),
            ],
            Ok(0),
        ),
        (
            "a sealed shard at its end",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &first)])),
                error(400, "InvalidShardOperation", "end"),
            ],
            Ok(1),
        ),
        (
            "a hole",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &older), (9, "g", &second)])),
            ],
            Err("datahub_probe_contradiction"),
        ),
        ("no answer", vec![Reply::Raw(b"")], Err("datahub_connection_lost")),
    ];
    for (name, replies, expected) in cases {
        let (datahub, server) = pair(replies, |_| ()).await;
        let found = match datahub.probe(&two).await {
            Probe::Holds(count) => Ok(count),
            Probe::Failed(failure) => Err(failure.reason.code),
        };
        assert_eq!(found, expected, "{name}");
        assert_eq!(server.left(), 0, "{name}: replies left");
    }
}

#[tokio::test]
async fn the_tail_is_the_newest_records_of_all_writers() {
    let records = page(&[(7, "h", "x"), (8, "g", "y"), (9, "g", "z")]);
    let (datahub, server) = pair(vec![cursor(9), cursor(7), ok(&records)], |_| ()).await;
    let tail = datahub.tail(&"12".into(), 3).await.unwrap();
    let ids: Vec<_> = tail
        .iter()
        .map(|r| (r.sequence, &*r.attributes["cdc.id"]))
        .collect();
    assert_eq!(ids, [(7, "x"), (8, "y"), (9, "z")]);
    let seen = server.seen();
    let asked: serde_json::Value = serde_json::from_slice(&seen[1].body).unwrap();
    assert_eq!(asked["Sequence"], 7);
    assert_eq!(seen[2].body, wire::get_body("c", 3));
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_in_parts() {
    let replies = vec![
        cursor(9),
        cursor(8),
        ok(&vec![0; 33 << 20]),
        ok(&page(&[(8, "g", "y")])),
        ok(&page(&[(9, "g", "z")])),
    ];
    let (datahub, server) = pair(replies, |_| ()).await;
    assert_eq!(datahub.tail(&"12".into(), 2).await.unwrap().len(), 2);
    assert_eq!(server.seen()[3].body, wire::get_body("c", 1));
}
