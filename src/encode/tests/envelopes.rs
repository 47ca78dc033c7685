//! Canal and Maxwell to the byte, and what all envelopes have in common.

use super::*;

fn encoder_of(envelope: Envelope, routing: Routing) -> Encoder {
    let settings = Settings {
        envelope,
        ..settings(routing)
    };
    let mut encoder = Encoder::new(&settings, Flavour::MySql);
    encoder.set_now(1_700_000_000_500);
    encoder
}

/// The only record of one pushed row.
fn record(envelope: Envelope, schema: &Arc<TableSchema>, sides: [Option<Row<'_>>; 2]) -> Record {
    let mut encoder = encoder_of(envelope, Routing::PrimaryKey);
    push(&mut encoder, schema, sides, 5).unwrap();
    encoder.take(end()).records.remove(0)
}

fn text(record: &Record) -> &str {
    std::str::from_utf8(&record.payload).unwrap()
}

#[test]
fn canal_byte_by_byte() {
    let update = [Some((1, None)), Some((1, Some("a\n")))];
    assert_eq!(
        text(&record(Envelope::Canal, &schema(&[0]), update)),
        concat!(
            r#"{"data":[{"id":"1","na\"me":"a\n"}],"database":"d","es":1700000000123,"gtid":"uuid:7","id":6,"#,
            r#""isDdl":false,"mysqlType":{"id":"int(11)","na\"me":"varchar(20)"},"old":[{"na\"me":null}],"#,
            r#""pkNames":["id"],"sql":"","sqlType":{"id":4,"na\"me":12},"table":"t","ts":1700000000500,"#,
            r#""type":"UPDATE"}"#,
        )
    );
    let create = record(Envelope::Canal, &schema(&[]), [None, Some((-1, None))]);
    let create = payload(&create);
    assert_eq!(create["data"], serde_json::json!([{"id": "-1", "na\"me": null}]));
    assert_eq!(create["type"], "INSERT");
    assert!(create["old"].is_null() && create["pkNames"].is_null());
    let delete = record(Envelope::Canal, &schema(&[1, 0]), [Some((7, Some("x"))), None]);
    let delete = payload(&delete);
    assert_eq!(delete["data"], serde_json::json!([{"id": "7", "na\"me": "x"}]));
    assert_eq!(delete["type"], "DELETE");
    assert_eq!(delete["pkNames"], serde_json::json!(["na\"me", "id"]));
    assert!(delete["old"].is_null());
}

#[test]
fn maxwell_byte_by_byte() {
    let update = [Some((1, None)), Some((2, Some("a\n")))];
    assert_eq!(
        text(&record(Envelope::Maxwell, &schema(&[0]), update)),
        concat!(
            r#"{"database":"d","table":"t","type":"update","ts":1700000000,"position":"b.1:99","gtid":"uuid:7","#,
            r#""server_id":3,"xoffset":5,"data":{"id":2,"na\"me":"a\n"},"primary_key_columns":["id"],"#,
            r#""primary_key":[2],"old":{"id":1,"na\"me":null}}"#,
        )
    );
    let create = record(Envelope::Maxwell, &schema(&[]), [None, Some((-1, None))]);
    assert_eq!(
        text(&create),
        concat!(
            r#"{"database":"d","table":"t","type":"insert","ts":1700000000,"position":"b.1:99","gtid":"uuid:7","#,
            r#""server_id":3,"xoffset":5,"data":{"id":-1,"na\"me":null}}"#,
        )
    );
    let delete = record(Envelope::Maxwell, &schema(&[1, 0]), [Some((7, Some("x"))), None]);
    let delete = payload(&delete);
    assert_eq!(delete["type"], "delete");
    assert_eq!(delete["data"], serde_json::json!({"id": 7, "na\"me": "x"}));
    assert_eq!(delete["primary_key"], serde_json::json!(["x", 7]));
    assert!(delete.get("old").is_none());
}

/// `old` as both envelopes have it.
fn old(before: Row<'_>, after: Row<'_>) -> serde_json::Value {
    let sides = [Some(before), Some(after)];
    let canal = payload(&record(Envelope::Canal, &schema(&[0]), sides));
    let maxwell = payload(&record(Envelope::Maxwell, &schema(&[0]), sides));
    let [only] = canal["old"].as_array().unwrap().as_slice() else {
        panic!("one row, one old row: {canal}");
    };
    let names =
        |value: &serde_json::Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(names(only), names(&maxwell["old"]));
    maxwell["old"].clone()
}

#[test]
fn old_values_are_those_of_the_columns_that_changed() {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(old((1, Some("a")), (1, Some("b"))), json(r#"{"na\"me":"a"}"#));
    assert_eq!(old((1, None), (1, Some(""))), json(r#"{"na\"me":null}"#));
    assert_eq!(old((1, Some("")), (1, None)), json(r#"{"na\"me":""}"#));
    assert_eq!(old((1, Some("a")), (2, Some("a"))), json(r#"{"id":1}"#));
    assert_eq!(old((1, None), (2, None)), json(r#"{"id":1}"#));
    // Nothing changed that is shown: still one record, with nothing old in it.
    assert_eq!(old((1, None), (1, None)), json("{}"));
}

#[test]
fn a_row_routes_alike_in_every_envelope() {
    let (one, two) = (Some((1, Some("a"))), Some((2, Some("b,\u{1}\""))));
    for key in [&[0][..], &[1], &[1, 0], &[]] {
        let schema = schema(key);
        for sides in [[None, one], [one, two], [two, one], [two, two], [two, None]] {
            let hash = |envelope| record(envelope, &schema, sides).hash_key;
            assert_eq!(
                hash(Envelope::Debezium),
                hash(Envelope::Canal),
                "{key:?} {sides:?}"
            );
            assert_eq!(
                hash(Envelope::Debezium),
                hash(Envelope::Maxwell),
                "{key:?} {sides:?}"
            );
        }
    }
}

/// A table with one column of each given kind, and a row of it.
fn table(columns: Vec<(&str, ColumnKind, u8, u16)>) -> Arc<TableSchema> {
    let columns = columns.into_iter().enumerate().map(|(place, column)| {
        let (declared, kind, wire, meta) = column;
        Column {
            name: format!("c{place}"),
            kind,
            declared: declared.into(),
            nullable: true,
            wire,
            meta,
        }
    });
    Arc::new(TableSchema {
        id: TableId {
            db: "d".to_owned(),
            table: "t".to_owned(),
        },
        columns: columns.collect(),
        primary_key: vec![0],
    })
}

#[test]
fn every_value_but_null_is_a_text_in_canal_and_a_set_is_an_array_in_maxwell() {
    let labels = || vec!["a".to_owned(), "q\"".to_owned(), "c".to_owned()];
    let schema = table(vec![
        ("set('a','q\"','c')", ColumnKind::Set { labels: labels() }, 248, 1),
        ("set('a','q\"','c')", ColumnKind::Set { labels: labels() }, 248, 1),
        (
            "enum('a','q\"','c')",
            ColumnKind::Enum { labels: labels() },
            247,
            1,
        ),
        ("double", ColumnKind::Double, 5, 8),
        (
            "bigint(20) unsigned",
            ColumnKind::Integer {
                bytes: 8,
                unsigned: true,
            },
            8,
            0,
        ),
        ("bit(3)", ColumnKind::Bit { bits: 3 }, 16, 3),
        ("geometry", ColumnKind::Geometry, 255, 4),
        ("blob", ColumnKind::Binary, 252, 2),
        (
            "char(3)",
            ColumnKind::Text {
                charset: Charset::Utf8,
            },
            254,
            12,
        ),
        (
            "longtext",
            ColumnKind::Text {
                charset: Charset::Utf8,
            },
            252,
            4,
        ),
    ]);
    let mut values = vec![0b011, 0, 2];
    values.extend(0.1f64.to_le_bytes());
    values.extend(u64::MAX.to_le_bytes());
    values.push(5);
    values.extend([5, 0, 0, 0, 1, 0, 0, 0, 9]);
    values.extend([1, 0, 0xff]);
    values.extend([1, b'x']);
    let image = RowImage {
        nulls: &[0, 2],
        values: &values,
    };
    let row = |encoder: &mut Encoder| {
        let change = RowChange {
            operation: Operation::Create,
            schema: &schema,
            before: None,
            after: Some(image),
            meta: &meta(99),
            row: 0,
        };
        encoder.push(&ChangeEvent::Row(change)).unwrap();
        encoder.take(end()).records.remove(0)
    };
    let canal = row(&mut encoder_of(Envelope::Canal, Routing::PrimaryKey));
    let data = concat!(
        r#"{"data":[{"c0":"a,q\"","c1":"","c2":"q\"","c3":"0.1","c4":"18446744073709551615","c5":"5","#,
        r#""c6":"{\"srid\":1,\"wkb\":\"CQ==\"}","c7":"/w==","c8":"x","c9":null}]"#,
    );
    assert!(text(&canal).starts_with(data), "{}", text(&canal));
    let types =
        r#""sqlType":{"c0":12,"c1":12,"c2":12,"c3":8,"c4":3,"c5":-7,"c6":12,"c7":2004,"c8":1,"c9":2005}"#;
    assert!(text(&canal).contains(types), "{}", text(&canal));
    let maxwell = row(&mut encoder_of(Envelope::Maxwell, Routing::PrimaryKey));
    let data = concat!(
        r#""data":{"c0":["a","q\""],"c1":[],"c2":"q\"","c3":0.1,"c4":18446744073709551615,"c5":5,"#,
        r#""c6":{"srid":1,"wkb":"CQ=="},"c7":"/w==","c8":"x","c9":null}"#,
    );
    assert!(text(&maxwell).contains(data), "{}", text(&maxwell));
    let debezium = row(&mut encoder_of(Envelope::Debezium, Routing::PrimaryKey));
    assert!(debezium.hash_key == canal.hash_key && debezium.hash_key == maxwell.hash_key);
}
