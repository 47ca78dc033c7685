//! Rows into fields: what takes what, what is refused, and that nothing else about a record changes.

use super::*;
use crate::change::{ChangeEvent, Charset, Column, RowImage, SourceMeta};
use crate::config::{Envelope, Secret};
use crate::encode::{EncodeError, Encoder, Routing, Settings};
use crate::position::{FilePosition, Flavour, Position};
use crate::record::{FieldKind, Layout, Record};

fn field(name: &str, kind: FieldKind) -> TopicField {
    TopicField {
        name: name.to_owned(),
        kind,
        nullable: true,
    }
}

fn not_null(name: &str, kind: FieldKind) -> TopicField {
    TopicField {
        nullable: false,
        ..field(name, kind)
    }
}

fn topic(names: TupleNames, fields: &[TopicField]) -> TupleTopic {
    TupleTopic {
        fields: fields.into(),
        names,
        rules: ColumnRules::default(),
    }
}

/// `d.t (id INT PRIMARY KEY, big BIGINT, name VARCHAR(20), flag TINYINT)`.
fn schema() -> Arc<TableSchema> {
    let column = |name: &str, kind, wire, meta| Column {
        name: name.to_owned(),
        kind,
        declared: Box::default(),
        nullable: true,
        wire,
        meta,
    };
    let integer = |bytes| ColumnKind::Integer {
        bytes,
        unsigned: false,
    };
    let charset = Charset::Utf8;
    Arc::new(TableSchema {
        id: TableId {
            db: "d".to_owned(),
            table: "t".to_owned(),
        },
        columns: vec![
            column("id", integer(4), 3, 0),
            column("Big", integer(8), 8, 0),
            column("name", ColumnKind::Text { charset }, 15, 20),
            column("flag", integer(1), 1, 0),
        ],
        primary_key: vec![0],
    })
}

#[derive(Clone, Copy)]
struct Row<'a>(i32, i64, Option<&'a str>, i8);

fn image(Row(id, big, name, flag): Row<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut values = id.to_le_bytes().to_vec();
    values.extend(big.to_le_bytes());
    if let Some(name) = name {
        values.push(u8::try_from(name.len()).unwrap());
        values.extend(name.as_bytes());
    }
    values.extend(flag.to_le_bytes());
    (vec![u8::from(name.is_none()) << 2], values)
}

fn settings() -> Settings {
    Settings {
        group: "g".to_owned(),
        routing: Routing::PrimaryKey,
        envelope: Envelope::Debezium,
        columns: ColumnRules::default(),
        hash_key: Secret::new(""),
        rules_on_keys: false,
    }
}

fn push(encoder: &mut Encoder, sides: [Option<Row<'_>>; 2], gtid: bool) -> Result<Record, EncodeError> {
    let images = sides.map(|side| side.map(image));
    let [before, after] = images
        .each_ref()
        .map(|image| image.as_ref().map(|(nulls, values)| RowImage { nulls, values }));
    let operation = match sides {
        [None, _] => Operation::Create,
        [Some(_), Some(_)] => Operation::Update,
        [Some(_), None] => Operation::Delete,
    };
    let meta = SourceMeta {
        transaction: "uuid:7".into(),
        gtid: gtid.then(|| "uuid:7".into()),
        file: "b.1".into(),
        pos: 99,
        server_id: 3,
        ts_us: 1_700_000_000_123_456,
        late: false,
    };
    let schema = schema();
    encoder.push(&ChangeEvent::Row(RowChange {
        operation,
        schema: &schema,
        before,
        after,
        meta: &meta,
        row: 5,
    }))?;
    let file = FilePosition {
        file: "b.1".to_owned(),
        pos: 4,
    };
    let end = Position {
        gtid_set: None,
        file,
        open: None,
        parked: Vec::new(),
    };
    Ok(encoder.take(end).records.remove(0))
}

fn texts(record: &Record) -> Vec<Option<String>> {
    assert_eq!(record.layout, Layout::Tuple);
    let text = |field: Option<&[u8]>| field.map(|text| String::from_utf8(text.to_vec()).unwrap());
    record.fields().map(text).collect()
}

/// The fields of one row, in a topic of these.
fn row(topic: TupleTopic, sides: [Option<Row<'_>>; 2]) -> Result<Vec<Option<String>>, EncodeError> {
    let mut encoder = Encoder::tuple(&settings(), topic);
    push(&mut encoder, sides, true).map(|record| texts(&record))
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

const OLD: Row<'_> = Row(1, 2, Some("old\n\"x\""), 0);
const NEW: Row<'_> = Row(1, i64::MIN + 1, None, 1);

#[test]
fn every_piece_is_filled_by_its_name() {
    use FieldKind::{BigInt, Json, String, Timestamp};
    let topic = topic(
        TupleNames::Native,
        &[
            field("__row", BigInt),
            not_null("__id", String),
            field("__op", String),
            field("__DB", String),
            field("__table", String),
            field("__ts_us", Timestamp),
            field("__gtid", String),
            field("__file", String),
            field("__pos", String),
            field("__before", Json),
            field("__after", String),
        ],
    );
    let fields = row(topic.clone(), [Some(OLD), Some(NEW)]).unwrap();
    assert_eq!(
        fields,
        some(&[
            "5",
            "uuid:7:5",
            "u",
            "d",
            "t",
            "1700000000123456",
            "uuid:7",
            "b.1",
            "99",
            r#"{"id":1,"Big":2,"name":"old\n\"x\"","flag":0}"#,
            r#"{"id":1,"Big":-9223372036854775807,"name":null,"flag":1}"#,
        ])
    );
    let created = row(topic.clone(), [None, Some(OLD)]).unwrap();
    assert_eq!((created[2].as_deref(), &created[9]), (Some("c"), &None));
    let deleted = row(topic.clone(), [Some(OLD), None]).unwrap();
    assert_eq!((deleted[2].as_deref(), &deleted[10]), (Some("d"), &None));
    let mut encoder = Encoder::tuple(&settings(), topic);
    let record = push(&mut encoder, [None, Some(OLD)], false).unwrap();
    assert_eq!(texts(&record)[6], None, "no GTID");
}

#[test]
fn columns_are_of_the_row_after_or_of_the_deleted_row_and_in_any_order() {
    use FieldKind::{BigInt, Boolean, Integer, String};
    let topic = topic(
        TupleNames::Native,
        &[
            field("FLAG", Boolean),
            field("name", String),
            field("unknown", Integer),
            field("big", BigInt),
            not_null("id", Integer),
        ],
    );
    let updated = row(topic.clone(), [Some(OLD), Some(NEW)]).unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        updated,
        [text("true"), None, None, text("-9223372036854775807"), text("1")]
    );
    let deleted = row(topic, [Some(OLD), None]).unwrap();
    assert_eq!(
        deleted,
        [text("false"), text("old\n\"x\""), None, text("2"), text("1")]
    );
}

#[test]
fn dts_fields_say_what_dts_says() {
    use FieldKind::{BigInt, String, Timestamp};
    let legacy = topic(
        TupleNames::DtsLegacy,
        &[
            field("dts_record_id", String),
            field("dts_operation_flag", String),
            field("dts_instance_id", String),
            field("dts_db_name", String),
            field("dts_table_name", String),
            field("dts_utc_timestamp", String),
            field("dts_before_flag", String),
            field("dts_after_flag", String),
            field("dts_big", BigInt),
        ],
    );
    let flags = |sides| {
        let fields = row(legacy.clone(), sides).unwrap();
        [1, 6, 7].map(|place: usize| fields[place].clone().unwrap())
    };
    assert_eq!(flags([None, Some(OLD)]), ["I", "N", "Y"]);
    assert_eq!(flags([Some(OLD), Some(NEW)]), ["U", "N", "Y"]);
    assert_eq!(flags([Some(OLD), None]), ["D", "Y", "N"]);
    let fields = row(legacy, [None, Some(OLD)]).unwrap();
    assert_eq!(
        fields,
        some(&["uuid:7:5", "I", "3", "d", "t", "1700000000123", "N", "Y", "2"])
    );
    let new = topic(
        TupleNames::Dts,
        &[
            field("new_dts_sync_dts_utc_timestamp", Timestamp),
            field("big", BigInt),
        ],
    );
    assert_eq!(
        row(new, [None, Some(OLD)]).unwrap(),
        some(&["1700000000123456", "2"])
    );
}

#[test]
fn a_record_goes_where_the_json_envelope_would_go() {
    let tuple = |sides| {
        let topic = topic(TupleNames::Native, &[field("__op", FieldKind::String)]);
        push(&mut Encoder::tuple(&settings(), topic), sides, true).unwrap()
    };
    let blob = |sides| push(&mut Encoder::new(&settings(), Flavour::MySql), sides, true).unwrap();
    let moved = Row(77, 0, None, 0);
    for sides in [
        [None, Some(OLD)],
        [Some(OLD), Some(moved)],
        [Some(moved), Some(OLD)],
        [Some(OLD), None],
    ] {
        let (tuple, blob) = (tuple(sides), blob(sides));
        assert_eq!(tuple.hash_key, blob.hash_key);
        assert_eq!(tuple.id, blob.id);
    }
}

/// The code that a row is refused with, and what the error says.
fn refused(names: TupleNames, fields: &[TopicField], after: Row<'_>) -> (&'static str, String) {
    let mut encoder = Encoder::tuple(&settings(), topic(names, fields));
    let error = push(&mut encoder, [None, Some(after)], true).unwrap_err();
    let (code, remedy) = error.advice();
    assert!(encoder.is_empty(), "a refused row leaves nothing behind");
    (code, format!("{error} {remedy}"))
}

#[test]
fn a_table_that_does_not_fit_is_refused_at_its_first_row_as_at_preflight() {
    use FieldKind::{BigInt, Integer, String, Timestamp, Unknown};
    use TupleNames::{DtsLegacy, Native};
    let columns = schema();
    let kinds: Vec<_> = columns
        .columns
        .iter()
        .map(|c| (c.name.as_str(), &c.kind))
        .collect();
    for (names, wrong, code, says) in [
        (
            Native,
            field("big", Integer),
            "tuple_type_mismatch",
            "declare the field as BIGINT or STRING",
        ),
        (
            Native,
            field("name", Timestamp),
            "tuple_type_mismatch",
            "declare the field as STRING",
        ),
        (
            Native,
            field("big", Unknown),
            "tuple_type_mismatch",
            "does not know",
        ),
        (
            Native,
            field("__op", BigInt),
            "tuple_type_mismatch",
            "declare the field as STRING",
        ),
        (
            Native,
            not_null("nothing", String),
            "tuple_field_unfilled",
            "let the field allow NULL",
        ),
        (
            Native,
            not_null("__before", String),
            "tuple_field_not_null",
            "let the field allow NULL",
        ),
        (
            Native,
            not_null("__gtid", String),
            "tuple_field_not_null",
            "let the field allow NULL",
        ),
        (
            DtsLegacy,
            not_null("id", Integer),
            "tuple_field_unfilled",
            "let the field allow NULL",
        ),
    ] {
        let fields = [wrong];
        let (found, text) = refused(names, &fields, OLD);
        assert_eq!(found, code, "{fields:?}");
        assert!(text.contains(says), "{text}");
        let misfits = topic(names, &fields).examine(&columns.id, &kinds);
        let fatal: Vec<_> = misfits.iter().filter(|misfit| misfit.fatal).collect();
        assert_eq!(fatal.len(), 1, "{misfits:?}");
        assert_eq!(fatal[0].code, code);
    }
}

#[test]
fn a_name_that_could_mean_two_things_is_refused() {
    let integer = ColumnKind::Integer {
        bytes: 4,
        unsigned: false,
    };
    let id = schema().id.clone();
    for (names, name, column) in [
        (TupleNames::Native, "__op", "__OP"),
        (TupleNames::DtsLegacy, "dts_record_id", "record_id"),
    ] {
        let topic = topic(names, &[field(name, FieldKind::String)]);
        let misfits = topic.examine(&id, &[(column, &integer)]);
        assert_eq!(misfits[0].code, "tuple_field_ambiguous");
        assert!(misfits[0].fatal);
    }
}

#[test]
fn columns_without_a_field_are_named_and_hold_nothing_up() {
    let kind = ColumnKind::Year;
    let (id, columns) = (schema().id.clone(), [("a", &kind), ("b", &kind)]);
    let of = |fields: &[TopicField]| topic(TupleNames::Native, fields).examine(&id, &columns);
    let found = of(&[field("A", FieldKind::Integer)]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].code, found[0].fatal),
        ("tuple_column_without_field", false)
    );
    assert!(found[0].seen.ends_with("d.t: b"), "{}", found[0].seen);
    assert!(of(&[field("a", FieldKind::Integer), field("b", FieldKind::Integer)]).is_empty());
    assert!(
        of(&[field("__after", FieldKind::Json)]).is_empty(),
        "it holds the whole row"
    );
}

#[test]
fn a_value_without_a_place_is_an_error_with_its_column_and_without_itself() {
    let (names, big) = (TupleNames::Native, field("big", FieldKind::BigInt));
    let (code, text) = refused(names, &[big], Row(1, i64::MIN, None, 0));
    assert_eq!(code, "row_not_encodable");
    assert!(
        text.contains("d.t, column \"Big\" of row 5") && text.contains("BIGINT"),
        "{text}"
    );
    assert!(!text.contains("922337"), "{text}");
    let (code, text) = refused(names, &[field("flag", FieldKind::Boolean)], Row(1, 0, None, 2));
    assert_eq!(code, "row_not_encodable");
    assert!(
        text.contains("column \"flag\"") && text.contains("BOOLEAN"),
        "{text}"
    );
    let (code, text) = refused(names, &[not_null("name", FieldKind::String)], NEW);
    assert_eq!(code, "row_not_encodable");
    assert!(
        text.contains("column \"name\"") && text.contains("NOT NULL"),
        "{text}"
    );
}

#[test]
fn columns_that_are_left_out_or_masked_are_so_in_fields_too() {
    use FieldKind::{BigInt, Json, String};
    let rules = ColumnRules::parse("d.t.flag", "d.t.big=constant:a\"b, d.t.name=hmac").unwrap();
    let with = |fields: &[TopicField]| TupleTopic {
        rules: rules.clone(),
        ..topic(TupleNames::Native, fields)
    };
    let settings = Settings {
        columns: rules.clone(),
        hash_key: Secret::new("0123456789abcdef"),
        ..settings()
    };
    let fields = [
        field("flag", BigInt),
        field("big", String),
        field("name", String),
        field("__after", Json),
    ];
    let mut encoder = Encoder::tuple(&settings, with(&fields));
    let written = texts(&push(&mut encoder, [None, Some(OLD)], true).unwrap());
    assert_eq!(written[0], None, "left out");
    assert_eq!(written[1].as_deref(), Some("a\"b"));
    let hash = written[2].as_deref().unwrap();
    assert_eq!(hash.len(), 64);
    let after: serde_json::Value = serde_json::from_str(written[3].as_deref().unwrap()).unwrap();
    assert_eq!(after, serde_json::json!({"id": 1, "Big": "a\"b", "name": hash}));
    let null = texts(&push(&mut encoder, [None, Some(NEW)], true).unwrap());
    assert_eq!(null[2], None, "NULL stays NULL");

    // What is masked is text, whatever it was.
    let columns = schema();
    let kinds: Vec<_> = columns
        .columns
        .iter()
        .map(|c| (c.name.as_str(), &c.kind))
        .collect();
    let code = |fields: &[TopicField]| with(fields).examine(&columns.id, &kinds)[0].code;
    assert_eq!(code(&[field("big", BigInt)]), "tuple_type_mismatch");
    assert_eq!(code(&[not_null("flag", BigInt)]), "tuple_field_unfilled");
}

#[test]
fn a_generated_topic_takes_its_table() {
    let (charset, schema) = (Charset::Utf8, schema());
    let text = ColumnKind::Text { charset };
    let mut columns: Vec<_> = schema
        .columns
        .iter()
        .map(|c| (c.name.as_str(), &c.kind))
        .collect();
    columns.extend([
        ("na\"me", &text),
        ("system_time", &text),
        ("1st", &text),
        ("__op", &text),
    ]);
    for names in [TupleNames::Native, TupleNames::Dts, TupleNames::DtsLegacy] {
        let generated = Generated::of(names, &columns, &[0]).fields;
        let misfits = topic(names, &generated).examine(&schema.id, &columns);
        assert!(misfits.iter().all(|misfit| !misfit.fatal), "{misfits:?}");
        let id = generated.iter().find(|f| f.name.ends_with("id") && !f.nullable);
        assert!(id.is_some(), "keys are NOT NULL");
        let own = Generated::of(names, &columns[..4], &[0]).fields;
        let written = row(topic(names, &own), [Some(OLD), Some(NEW)]).unwrap();
        assert_eq!(written.len(), own.len());
    }
    let native = Generated::of(TupleNames::Native, &columns, &[0]);
    assert_eq!(native.notes.len(), 4, "{:?}", native.notes);
    assert!(
        native.fields.iter().any(|f| f.name == "__after"),
        "what has no field is in there"
    );
    let plain = Generated::of(TupleNames::Native, &columns[..4], &[0]);
    assert!(plain.notes.is_empty());
    assert!(!plain.fields.iter().any(|f| f.name == "__after"));
    let text = plain.record_schema().to_string();
    assert!(
        text.contains(r#"{"name":"id","notnull":true,"type":"INTEGER"}"#),
        "{text}"
    );
}
