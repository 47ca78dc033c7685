//! The envelope to the byte, the partition key, and I8.

use std::collections::HashSet;

use proptest::prelude::*;

mod envelopes;
mod marks;
mod rules;

use super::*;
use crate::change::{Charset, Column, ColumnKind, Operation, RowImage, SourceMeta, TableId};
use crate::position::FilePosition;

fn end() -> Position {
    Position {
        gtid_set: None,
        file: FilePosition {
            file: "b.1".to_owned(),
            pos: 4,
        },
        open: None,
        parked: Vec::new(),
    }
}

/// `d.t (id INT, name VARCHAR(20))` with the given primary key.
fn schema(primary_key: &[usize]) -> Arc<TableSchema> {
    let column = |name: &str, declared: &str, kind, wire, meta| Column {
        name: name.to_owned(),
        kind,
        declared: declared.into(),
        nullable: true,
        wire,
        meta,
    };
    let integer = ColumnKind::Integer {
        bytes: 4,
        unsigned: false,
    };
    let charset = Charset::Utf8;
    Arc::new(TableSchema {
        id: TableId {
            db: "d".to_owned(),
            table: "t".to_owned(),
        },
        columns: vec![
            column("id", "int(11)", integer, 3, 0),
            column("na\"me", "varchar(20)", ColumnKind::Text { charset }, 15, 20),
        ],
        primary_key: primary_key.to_vec(),
    })
}

fn meta(pos: u64) -> SourceMeta {
    SourceMeta {
        transaction: "uuid:7".into(),
        gtid: Some("uuid:7".into()),
        file: "b.1".into(),
        pos,
        server_id: 3,
        ts_us: 1_700_000_000_123_456,
        late: false,
    }
}

/// A row `(id, name)`, as NULL bits and values.
type Row<'a> = (i32, Option<&'a str>);

fn image((id, name): Row<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut values = id.to_le_bytes().to_vec();
    if let Some(name) = name {
        values.push(u8::try_from(name.len()).unwrap());
        values.extend(name.as_bytes());
    }
    (vec![u8::from(name.is_none()) << 1], values)
}

fn settings(routing: Routing) -> Settings {
    Settings {
        group: "g".to_owned(),
        routing,
        envelope: Envelope::Debezium,
        columns: ColumnRules::default(),
        hash_key: Secret::new(""),
        rules_on_keys: false,
    }
}

fn encoder(routing: Routing) -> Encoder {
    let mut encoder = Encoder::new(&settings(routing), Flavour::MySql);
    encoder.set_now(1_700_000_000_500);
    encoder
}

/// Pushes a create, an update or a delete, by which sides there are.
fn push(
    encoder: &mut Encoder,
    schema: &Arc<TableSchema>,
    sides: [Option<Row<'_>>; 2],
    row: u64,
) -> Result<(), EncodeError> {
    let images = sides.map(|side| side.map(image));
    let [before, after] = images
        .each_ref()
        .map(|image| image.as_ref().map(|(nulls, values)| RowImage { nulls, values }));
    let operation = match sides {
        [None, _] => Operation::Create,
        [Some(_), Some(_)] => Operation::Update,
        [Some(_), None] => Operation::Delete,
    };
    encoder.push(&ChangeEvent::Row(RowChange {
        operation,
        schema,
        before,
        after,
        meta: &meta(99),
        row,
    }))
}

fn payload(record: &Record) -> serde_json::Value {
    serde_json::from_slice(&record.payload).expect("a payload is JSON")
}

#[test]
fn the_envelope_byte_by_byte() {
    let (schema, mut encoder) = (schema(&[0]), encoder(Routing::PrimaryKey));
    let rows = [Some((1, None)), Some((1, Some("a\n")))];
    push(&mut encoder, &schema, rows, 5).unwrap();
    let chunk = encoder.take(end());
    let expected = format!(
        concat!(
            r#"{{"before":{{"id":1,"na\"me":null}},"after":{{"id":1,"na\"me":"a\n"}},"#,
            r#""source":{{"version":"{}","connector":"mysql","name":"g","ts_ms":1700000000123,"#,
            r#""snapshot":"false","db":"d","table":"t","ts_us":1700000000123456,"server_id":3,"#,
            r#""gtid":"uuid:7","file":"b.1","pos":99,"row":5}},"op":"u","ts_ms":1700000000500,"#,
            r#""transaction":{{"id":"uuid:7","total_order":6}}}}"#,
        ),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(std::str::from_utf8(&chunk.records[0].payload).unwrap(), expected);
    assert_eq!(chunk.records[0].id.to_string(), "uuid:7:5");
}

#[test]
fn creates_and_deletes_have_one_side() {
    let (schema, mut encoder) = (schema(&[0]), encoder(Routing::PrimaryKey));
    push(&mut encoder, &schema, [None, Some((1, None))], 0).unwrap();
    push(&mut encoder, &schema, [Some((1, None)), None], 1).unwrap();
    encoder.set_now(7);
    push(&mut encoder, &schema, [Some((1, None)), None], 2).unwrap();
    let chunk = encoder.take(end());
    let payloads: Vec<_> = chunk.records.iter().map(payload).collect();
    assert!(payloads[0]["before"].is_null() && payloads[0]["op"] == "c");
    assert!(payloads[1]["after"].is_null() && payloads[1]["op"] == "d");
    assert_eq!(payloads[2]["ts_ms"], 7);
    assert_eq!(payloads[2]["source"]["row"], 2);
}

/// The hash key of one pushed row.
fn hash_key(routing: Routing, primary_key: &[usize], sides: [Option<Row<'_>>; 2]) -> u128 {
    let mut encoder = encoder(routing);
    push(&mut encoder, &schema(primary_key), sides, 0).unwrap();
    encoder.take(end()).records[0].hash_key
}

#[test]
fn the_hash_key_is_the_md5_of_the_keys_text() {
    let text = |text: &str| key::md5(text.as_bytes());
    let primary = Routing::PrimaryKey;
    assert_eq!(text("abc"), 0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72);
    let row = Some((-7, Some("q\"\\\u{1}\tü")));
    assert_eq!(hash_key(primary, &[0], [None, row]), text("-7"));
    assert_eq!(hash_key(primary, &[1], [None, row]), text("q\"\\\u{1}\tü"));
    assert_eq!(
        hash_key(primary, &[1, 0], [None, row]),
        text("7:q\"\\\u{1}\tü2:-7")
    );
    // Without a key, the row.
    let whole = Some((1, Some("x")));
    assert_eq!(
        hash_key(primary, &[], [None, whole]),
        text(r#"{"id":1,"na\"me":"x"}"#)
    );
    assert_eq!(hash_key(Routing::Table, &[0], [None, whole]), text("d.t"));
}

#[test]
fn a_row_routes_by_where_it_was() {
    let by_id = |sides| hash_key(Routing::PrimaryKey, &[0], sides);
    let (old, new) = (Some((1, None)), Some((2, None)));
    assert_eq!(by_id([old, new]), by_id([None, old]));
    assert_eq!(by_id([old, None]), by_id([None, old]));
    assert_ne!(by_id([old, new]), by_id([None, new]));
}

#[test]
fn i8_an_error_leaves_nothing_behind_and_names_the_place() {
    let (schema, mut encoder) = (schema(&[0]), encoder(Routing::PrimaryKey));
    push(&mut encoder, &schema, [None, Some((1, Some("good")))], 0).unwrap();
    let bytes = encoder.bytes();
    let values = [&1i32.to_le_bytes()[..], &[2, 0xff, 0xff]].concat();
    let meta = meta(99);
    let bad = |values, nulls| RowChange {
        operation: Operation::Create,
        schema: &schema,
        before: None,
        after: Some(RowImage { nulls, values }),
        meta: &meta,
        row: 1,
    };
    let error = encoder.push(&ChangeEvent::Row(bad(&values, &[0]))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "d.t, column \"na\\\"me\" of row 1 in transaction uuid:7: the bytes are not valid utf8mb4 text; \
         correct the row at the source, or exclude the table"
    );
    let left_over = [values.as_slice(), b"x"].concat();
    let truncated = &values[..3];
    for (values, nulls) in [
        (left_over.as_slice(), &[2u8][..]),
        (truncated, &[0]),
        (&values, &[]),
        (&values, &[0, 0]),
    ] {
        assert!(encoder.push(&ChangeEvent::Row(bad(values, nulls))).is_err());
    }
    let mut wrong_side = bad(&values, &[2]);
    wrong_side.operation = Operation::Delete;
    assert!(encoder.push(&ChangeEvent::Row(wrong_side)).is_err());
    assert_eq!(encoder.bytes(), bytes);
    push(&mut encoder, &schema, [None, Some((2, Some("good")))], 1).unwrap();
    let chunk = encoder.take(end());
    assert_eq!((chunk.records.len(), chunk.decoded), (2, 2));
    assert_eq!(payload(&chunk.records[1])["after"]["id"], 2);
}

#[test]
fn a_key_that_is_no_column_is_refused() {
    let mut encoder = encoder(Routing::PrimaryKey);
    let error = push(&mut encoder, &schema(&[2]), [None, Some((1, None))], 0).unwrap_err();
    let EncodeError::Value { cause, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(cause, ValueError::Schema(_)));
    assert!(encoder.is_empty());
}

#[test]
fn more_tables_than_plans_are_kept() {
    let mut encoder = encoder(Routing::PrimaryKey);
    let schemas: Vec<_> = (0..MAX_PLANS + 10).map(|_| schema(&[0])).collect();
    for schema in schemas.iter().chain(&schemas) {
        push(&mut encoder, schema, [None, Some((1, None))], 0).unwrap();
    }
    assert!(encoder.plans.len() <= MAX_PLANS);
    assert_eq!(encoder.take(end()).records.len(), 2 * schemas.len());
}

#[derive(Clone, Debug)]
enum Event {
    Row {
        table: usize,
        sides: [Option<(i32, Option<String>)>; 2],
    },
    Filtered,
    Take,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let side = || (any::<i32>(), prop::option::of(".{0,5}"));
    let sides = prop_oneof![
        side().prop_map(|new| [None, Some(new)]),
        (side(), side()).prop_map(|(old, new)| [Some(old), Some(new)]),
        side().prop_map(|old| [Some(old), None]),
    ];
    let event = prop_oneof![
        6 => (0..3usize, sides).prop_map(|(table, sides)| Event::Row { table, sides }),
        2 => Just(Event::Filtered),
        1 => Just(Event::Take),
    ];
    prop::collection::vec(event, 0..40)
}

proptest! {
    #[test]
    fn i8_every_row_is_one_record_or_one_filter_decision(events in events()) {
        let schemas = [schema(&[0]), schema(&[1, 0]), schema(&[])];
        let mut encoder = encoder(Routing::PrimaryKey);
        let mut chunks = Vec::new();
        let mut pushed = Vec::new();
        let mut filtered = 0u64;
        for (ordinal, event) in events.iter().enumerate() {
            let ordinal = u64::try_from(ordinal).unwrap();
            match event {
                Event::Row { table, sides } => {
                    let sides = sides.each_ref().map(|side| {
                        side.as_ref().map(|(id, name)| (*id, name.as_deref()))
                    });
                    push(&mut encoder, &schemas[*table], sides, ordinal).unwrap();
                    pushed.push((ordinal, sides[1].map(|(id, name)| (id, name.map(str::to_owned)))));
                }
                Event::Filtered => {
                    encoder
                        .push(&ChangeEvent::Filtered {
                            operation: Operation::Create,
                        })
                        .unwrap();
                    filtered += 1;
                }
                Event::Take => {
                    let (bytes, empty) = (encoder.bytes(), encoder.is_empty());
                    let chunk = encoder.take(end());
                    prop_assert_eq!(chunk.bytes(), bytes);
                    prop_assert_eq!(chunk.decoded == 0, empty);
                    chunks.push(chunk);
                }
            }
        }
        chunks.push(encoder.take(end()));
        for chunk in &chunks {
            let records = u64::try_from(chunk.records.len()).unwrap();
            prop_assert_eq!(chunk.decoded, records + chunk.filtered);
        }
        prop_assert_eq!(chunks.iter().map(|chunk| chunk.filtered).sum::<u64>(), filtered);
        let records: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.records).collect();
        prop_assert_eq!(records.len(), pushed.len());
        let ids: HashSet<_> = records.iter().map(|record| record.id.to_string()).collect();
        prop_assert_eq!(ids.len(), records.len());
        for (seq, (record, (ordinal, after))) in records.iter().zip(&pushed).enumerate() {
            prop_assert_eq!(record.seq, u64::try_from(seq).unwrap());
            prop_assert_eq!(record.id.part, Part::Row(*ordinal));
            let payload = payload(record);
            match after {
                Some((id, name)) => {
                    prop_assert_eq!(&payload["after"]["id"], &serde_json::json!(id));
                    prop_assert_eq!(&payload["after"]["na\"me"], &serde_json::json!(name));
                }
                None => prop_assert!(payload["after"].is_null()),
            }
        }
    }
}
