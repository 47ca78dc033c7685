//! Topic, shards, tail and probe.

use super::loopback::{Reply, error, ok, pair};
use crate::position::{Flavour, Position, ServerIdentity, Watermark};
use crate::record::{
    BatchId, FieldKind, Outcome, Probe, RecordId, Shard, ShardId, ShardState, TopicField, TopicSchema,
};
use crate::retry::Disposition;
use crate::sink::wire::tests::batch;
use crate::sink::{outcome, wire};

#[tokio::test]
async fn topics_are_blob_or_tuple() {
    let schema = r#"{"fields":[{"name":"id","type":"bigint","notnull":true},{"name":"m","type":"MAP"}]}"#;
    let tuple =
        serde_json::json!({"RecordType": "TUPLE", "RecordSchema": schema, "CreateTime": 7}).to_string();
    let replies = vec![
        ok(br#"{"RecordType":"BLOB","ShardCount":3}"#),
        ok(tuple.as_bytes()),
        ok(b"[]"),
        error(404, "NoSuchTopic", "gone"),
    ];
    let (datahub, _server) = pair(replies, |_| ()).await;
    assert_eq!(datahub.topic().await.unwrap().schema, TopicSchema::Blob);
    let field = |name: &str, kind, nullable| TopicField {
        name: name.to_owned(),
        kind,
        nullable,
    };
    let fields = [
        field("id", FieldKind::BigInt, false),
        field("m", FieldKind::Unknown, true),
    ];
    let topic = datahub.topic().await.unwrap();
    assert_eq!(
        (topic.schema, topic.created_s),
        (TopicSchema::Tuple(fields.into()), Some(7))
    );
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
    let plain: Vec<_> = records
        .iter()
        .map(|(sequence, group, id)| (*sequence, *group, *id, None))
        .collect();
    marked_page(&plain)
}

/// Sequence number, group, id, watermark.
type Entry<'a> = (u64, &'a str, &'a str, Option<&'a str>);

/// A page of which some records have a watermark.
fn marked_page(records: &[Entry<'_>]) -> Vec<u8> {
    let watermarked = records.iter().map(|(sequence, group, id, watermark)| {
        (*sequence, *group, *id, watermark.map(|text| ("cdc.wm", text)))
    });
    page_of(&watermarked.collect::<Vec<_>>())
}

/// As [`Entry`], with any one attribute more.
type Attributed<'a> = (u64, &'a str, &'a str, Option<(&'a str, &'a str)>);

/// A page of which some records have one more attribute.
fn page_of(records: &[Attributed<'_>]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut field = vec![number << 3 | 2];
        let mut rest = bytes.len();
        while rest > 0x7f {
            field.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        field.push(u8::try_from(rest).unwrap());
        [&*field, bytes].concat()
    };
    let pair = |key: &str, value: &str| {
        field(
            1,
            &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat(),
        )
    };
    let mut message = field(1, b"next");
    for (sequence, group, id, more) in records {
        let mut attributes = [pair("cdc.group", group), pair("cdc.id", id)].concat();
        if let Some((name, value)) = more {
            attributes.extend(pair(name, value));
        }
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
                cursor(0),
                ok(&page(&[])),
            ],
            Ok(1),
        ),
        (
            "all, before two others of ours",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &older), (9, "g", &older)])),
                cursor(0),
                ok(&page(&[(6, "g", &first), (7, "g", &second)])),
            ],
            Ok(2),
        ),
        (
            "none, and nothing older is left",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &older), (9, "h", "y")])),
                error(400, "SeekOutOfRange", "gone"),
                cursor(7),
                ok(&page(&[(7, "g", &older)])),
            ],
            Ok(0),
        ),
        (
            "the second, the oldest that is left",
            vec![
                cursor(9),
                error(400, "SeekOutOfRange", "gone"),
                cursor(9),
                ok(&page(&[(9, "g", &second)])),
            ],
            Ok(2),
        ),
        (
            "a sealed shard without records",
            vec![error(400, "InvalidShardOperation", "end")],
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
                cursor(0),
                ok(&page(&[(7, "g", &older)])),
            ],
            Ok(1),
        ),
        (
            "a hole",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &older), (9, "g", &second)])),
                cursor(0),
                ok(&page(&[])),
            ],
            Err("lacks the first"),
        ),
        ("no answer", vec![Reply::Raw(b"")], Err("datahub_connection_lost")),
    ];
    for (name, replies, expected) in cases {
        let (datahub, server) = pair(replies, |_| ()).await;
        let found = match datahub.probe(&two).await {
            Probe::Holds(count) => Ok(count),
            Probe::Lacks(missing) if missing == [0] => Err("lacks the first"),
            Probe::Lacks(missing) => panic!("{name}: {missing:?}"),
            Probe::Failed(failure) => Err(failure.reason.code),
        };
        assert_eq!(found, expected, "{name}");
        assert_eq!(server.left(), 0, "{name}: replies left");
    }
}

#[tokio::test]
async fn a_probe_reads_no_further_than_to_where_the_shard_ended_before() {
    let (first, other) = (id(0), "x:1:0".to_owned());
    let replies = vec![
        // The shard ends at 4 and acknowledges two records; then an answer is lost.
        cursor(4),
        ok(b""),
        error(500, "InternalServerError", "oops"),
        cursor(9),
        cursor(8),
        ok(&page(&[(8, "g", &other), (9, "g", &other)])),
        cursor(6),
        ok(&page(&[(6, "g", &other), (7, "g", &first)])),
        // The next one is not there, which one record shows.
        error(500, "InternalServerError", "oops"),
        cursor(9),
        cursor(9),
        ok(&page(&[(9, "g", &other)])),
        // The third time the shard shows less than before: nothing can be said.
        error(500, "InternalServerError", "oops"),
        cursor(7),
    ];
    let (datahub, server) = pair(replies, |_| ()).await;
    let mut two = batch(&[b"a", b"b"], None);
    drop(datahub.backwards(&two.shard, 1).await.unwrap());
    assert_eq!(datahub.put(&two).await, Outcome::Acknowledged);
    for (number, expected) in [(2, Ok(1)), (3, Ok(0)), (4, Err("datahub_stale_read"))] {
        two.id = BatchId(number);
        assert!(matches!(datahub.put(&two).await, Outcome::Unknown { .. }));
        let found = match datahub.probe(&two).await {
            Probe::Holds(count) => Ok(count),
            Probe::Lacks(missing) => panic!("{missing:?}"),
            Probe::Failed(failure) => Err(failure.reason.code),
        };
        assert_eq!(found, expected);
    }
    assert_eq!(server.left(), 0);
    let asked: serde_json::Value = serde_json::from_slice(&server.seen()[6].body).unwrap();
    assert_eq!(asked["Sequence"], 6, "the last of those that were there before");
}

#[tokio::test]
async fn a_shard_is_read_from_its_end() {
    let records = page(&[(7, "h", "x"), (8, "g", "y"), (9, "g", "z")]);
    let (datahub, server) = pair(vec![cursor(9), cursor(7), ok(&records)], |_| ()).await;
    let mut reading = datahub.backwards(&"12".into(), 3).await.unwrap();
    let tail = reading.stretch().await.unwrap();
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
    let mut reading = datahub.backwards(&"12".into(), 2).await.unwrap();
    assert_eq!(reading.stretch().await.unwrap().len(), 2);
    assert_eq!(server.seen()[3].body, wire::get_body("c", 1));
}

#[tokio::test]
async fn a_shards_newest_watermark_is_found_behind_other_writers() {
    let server = ServerIdentity {
        flavour: Flavour::MariaDb,
        server_uuid: String::new(),
        server_id: 7,
    };
    let at = |file: &str| Watermark {
        position: Position {
            gtid_set: None,
            file: file.parse().unwrap(),
            open: None,
            parked: Vec::new(),
        },
        server: server.clone(),
    };
    let text = |file: &str| serde_json::to_string(&at(file)).unwrap();
    let (old, new) = (text("b.1:4"), text("b.2:4"));
    let cases: [(&str, Vec<Entry<'_>>, bool, Option<Watermark>); 4] = [
        ("nobody", vec![], false, None),
        ("others alone", vec![(0, "h", "x:1:0", Some(&*new))], false, None),
        ("ours without", vec![(0, "g", "x:1:0", None)], true, None),
        (
            "the newest of ours",
            vec![
                (0, "g", "x:1:0", Some(&*old)),
                (1, "g", "x:2:0", Some(&*new)),
                (2, "g", "x:3:0", None),
                (3, "h", "x:4:0", Some(&*old)),
            ],
            true,
            Some(at("b.2:4")),
        ),
    ];
    for (name, records, present, watermark) in cases {
        let newest = i64::try_from(records.len()).unwrap() - 1;
        let replies = vec![cursor(newest), cursor(0), ok(&marked_page(&records))];
        let (datahub, _server) = pair(replies, |_| ()).await;
        let trace = datahub.trace(&"12".into()).await.unwrap();
        assert_eq!((trace.present, trace.watermark), (present, watermark), "{name}");
    }
    let unreadable = vec![
        cursor(0),
        cursor(0),
        ok(&marked_page(&[(0, "g", "x:1:0", Some("{}"))])),
    ];
    let (datahub, _server) = pair(unreadable, |_| ()).await;
    let failure = datahub.trace(&"12".into()).await.unwrap_err();
    assert_eq!(failure.reason.code, "datahub_unreadable_answer");
}

/// Late ones were stored behind everything that the position speaks of, although their transactions lie before it.
#[tokio::test]
async fn late_records_do_not_end_the_search() {
    let position = Position {
        gtid_set: None,
        file: "b.000002:100".parse().unwrap(),
        open: None,
        parked: Vec::new(),
    };
    let late = |how| Some(("cdc.late", how));
    let records = page_of(&[
        (0, "g", "b.000002:10:0", None),
        (1, "g", "b.000002:60:0", None),
        (2, "g", "b.000002:20:0", late("replayed")),
        (3, "g", "b.000002:30:0", late("held_back")),
        (4, "g", "b.000002:100:0", None),
    ]);
    let (datahub, _server) = pair(vec![cursor(4), cursor(0), ok(&records)], |_| ()).await;
    let stored = datahub.stored_behind(&"12".into(), &position).await.unwrap();
    let ids = |ids: &[RecordId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ids(&stored.behind), ["b.000002:100:0"]);
    assert_eq!(ids(&stored.late), ["b.000002:30:0", "b.000002:20:0"]);
}

#[tokio::test]
async fn records_behind_a_position_are_found_up_to_requests_before_it() {
    let position = Position {
        gtid_set: None,
        file: "b.000002:100".parse().unwrap(),
        open: None,
        parked: Vec::new(),
    };
    let records = marked_page(&[
        (0, "g", "b.000002:100:0", Some("w")),
        (1, "g", "b.000002:10:0", Some("w")),
        (2, "g", "b.000002:20:0", Some("w")),
        (3, "g", "b.000002:30:0", Some("w")),
        (4, "g", "b.000002:50:0", Some("w")),
        (5, "h", "b.000002:300:0", None),
        (6, "g", "b.000002:100:1", None),
        (7, "g", "b.000002:200:0", Some("w")),
    ]);
    let (datahub, _server) = pair(vec![cursor(7), cursor(0), ok(&records)], |_| ()).await;
    let stored = datahub.stored_behind(&"12".into(), &position).await.unwrap();
    let ids: Vec<String> = stored.behind.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["b.000002:200:0", "b.000002:100:1"]);
}
