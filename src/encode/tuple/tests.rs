//! Rows into fields: what takes what, what is refused, and that nothing else about a record changes.

mod fit;

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
