//! Records that are no rows, to the byte.

use super::*;
use crate::change::{Definition, DefinitionChange, DefinitionObject, Gap};
use crate::position::{FilePosition, OpenTransaction, ServerIdentity};
use crate::record::Part;

fn change(sql: Option<&str>) -> DefinitionChange {
    DefinitionChange {
        definition: Definition::Alter,
        object: DefinitionObject::Table,
        id: schema(&[0]).id.clone(),
        sql: sql.map(Into::into),
    }
}

fn told(envelope: Envelope, mark: Mark<'_>) -> Record {
    let settings = Settings {
        envelope,
        ..settings(Routing::PrimaryKey)
    };
    let mut encoder = Encoder::new(&settings, Flavour::MySql);
    encoder.set_now(1_700_000_000_500);
    encoder.push(&ChangeEvent::Mark(mark)).unwrap();
    let mut chunk = encoder.take(end());
    assert_eq!((chunk.decoded, chunk.filtered), (1, 0), "i14: counted like a row");
    chunk.records.remove(0)
}

fn text(record: &Record) -> &str {
    std::str::from_utf8(&record.payload).unwrap()
}

#[test]
fn i8_begin_and_end_are_one_record_each_with_a_stable_id() {
    let meta = meta(99);
    let tables = [
        (schema(&[0]).id.clone(), 3),
        (
            TableId {
                db: "d".to_owned(),
                table: "u".to_owned(),
            },
            1,
        ),
    ];
    for envelope in [Envelope::Debezium, Envelope::Canal, Envelope::Maxwell] {
        let begin = told(envelope, Mark::Begin { meta: &meta });
        assert_eq!(begin.id.to_string(), "uuid:7:begin");
        assert_eq!(
            text(&begin),
            r#"{"status":"BEGIN","id":"uuid:7","event_count":null,"data_collections":null,"ts_ms":1700000000123}"#
        );
        let end = told(
            envelope,
            Mark::End {
                meta: &meta,
                tables: &tables,
            },
        );
        assert_eq!(
            (end.id.to_string().as_str(), end.id.part),
            ("uuid:7:end", Part::End)
        );
        assert_eq!(
            text(&end),
            concat!(
                r#"{"status":"END","id":"uuid:7","event_count":4,"data_collections":["#,
                r#"{"data_collection":"d.t","event_count":3},{"data_collection":"d.u","event_count":1}],"#,
                r#""ts_ms":1700000000123}"#,
            )
        );
        assert_eq!(begin.hash_key, end.hash_key, "in one shard, in their order");
    }
}

#[test]
fn a_definition_has_the_envelopes_own_form() {
    let meta = meta(99);
    let definition = |envelope, change: &DefinitionChange| {
        told(
            envelope,
            Mark::Definition {
                meta: &meta,
                ordinal: 2,
                change,
            },
        )
    };
    let sql = change(Some("ALTER TABLE t ADD b int"));
    let debezium = definition(Envelope::Debezium, &sql);
    assert_eq!(debezium.id.to_string(), "uuid:7:ddl2");
    assert_eq!(
        debezium.hash_key,
        key::md5(b"d.t"),
        "with the rows, where tables route"
    );
    assert_eq!(
        text(&debezium),
        format!(
            concat!(
                r#"{{"source":{{"version":"{}","connector":"mysql","name":"g","ts_ms":1700000000123,"#,
                r#""snapshot":"false","db":"d","table":"t","ts_us":1700000000123456,"server_id":3,"#,
                r#""gtid":"uuid:7","file":"b.1","pos":99}},"ts_ms":1700000000500,"databaseName":"d","#,
                r#""schemaName":null,"ddl":"ALTER TABLE t ADD b int","tableChanges":[]}}"#,
            ),
            env!("CARGO_PKG_VERSION")
        )
    );
    assert_eq!(
        text(&definition(Envelope::Canal, &sql)),
        concat!(
            r#"{"data":null,"database":"d","es":1700000000123,"gtid":"uuid:7","id":0,"isDdl":true,"#,
            r#""mysqlType":null,"old":null,"pkNames":null,"sql":"ALTER TABLE t ADD b int","sqlType":null,"#,
            r#""table":"t","ts":1700000000500,"type":"ALTER"}"#,
        )
    );
    assert_eq!(
        text(&definition(Envelope::Maxwell, &sql)),
        concat!(
            r#"{"type":"table-alter","database":"d","table":"t","ts":1700000000123,"#,
            r#""sql":"ALTER TABLE t ADD b int","position":"b.1:99","gtid":"uuid:7"}"#,
        )
    );
    let hidden = definition(Envelope::Canal, &change(None));
    assert_eq!(payload(&hidden)["sql"], "/* left out: it may hold credentials */");
}

#[test]
fn every_kind_of_definition_has_its_word() {
    use Definition::{Alter, Create, Drop, Rename, Truncate};
    use DefinitionObject::{Database, Index, Table};
    let meta = meta(99);
    for (object, definition, canal, maxwell) in [
        (Table, Create, "CREATE", "table-create"),
        (Table, Drop, "ERASE", "table-drop"),
        (Table, Rename, "RENAME", "table-alter"),
        (Table, Truncate, "TRUNCATE", "table-truncate"),
        (Index, Create, "CINDEX", "table-alter"),
        (Index, Drop, "DINDEX", "table-alter"),
        (Database, Create, "QUERY", "database-create"),
        (Database, Alter, "QUERY", "database-alter"),
        (Database, Drop, "QUERY", "database-drop"),
    ] {
        let change = DefinitionChange {
            definition,
            object,
            ..change(Some("x"))
        };
        let word = |envelope| {
            let mark = Mark::Definition {
                meta: &meta,
                ordinal: 0,
                change: &change,
            };
            payload(&told(envelope, mark))["type"].clone()
        };
        assert_eq!(
            (word(Envelope::Canal), word(Envelope::Maxwell)),
            (canal.into(), maxwell.into())
        );
    }
}

#[test]
fn i8_a_gap_has_one_form_and_an_id_that_says_from_where_to_where() {
    let place = |set: Option<&str>, file: &str, rows: Option<u64>| Position {
        gtid_set: set.map(|text| text.parse().unwrap()),
        file: file.parse::<FilePosition>().unwrap(),
        open: rows.map(|rows| OpenTransaction {
            id: "x:7".to_owned(),
            rows,
            fingerprint: 1,
        }),
        parked: Vec::new(),
    };
    let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let server = |server_uuid: &str| ServerIdentity {
        flavour: Flavour::MySql,
        server_uuid: server_uuid.to_owned(),
        server_id: 7,
    };
    let with_gtids = Gap {
        from: place(Some(&format!("{uuid}:1-5")), "b.1:90", Some(3)),
        to: place(Some(&format!("{uuid}:1-9")), "b.3:4", None),
        lost: Some(format!("{uuid}:6-9").parse().unwrap()),
        server: server(uuid),
        chosen: "earliest",
    };
    let without = Gap {
        from: place(None, "b.1:90", None),
        to: place(None, "b.4:77", None),
        lost: None,
        server: server(""),
        chosen: "latest",
    };
    for envelope in [Envelope::Debezium, Envelope::Canal, Envelope::Maxwell] {
        let record = told(envelope, Mark::Gap(&with_gtids));
        assert_eq!(record.id.to_string(), "b.1:90+3-b.3:4:gap");
        assert_eq!(
            text(&record),
            format!(
                r#"{{"op":"gap","reason":"position_purged","policy":"earliest","from":{{"file":"b.1","pos":90,"rows":3,"gtids":"{uuid}:1-5"}},"to":{{"file":"b.3","pos":4,"rows":0,"gtids":"{uuid}:1-9"}},"lost_gtids":"{uuid}:6-9","server_uuid":"{uuid}","server_id":7}}"#
            )
        );
        let record = told(envelope, Mark::Gap(&without));
        assert_eq!(record.id.to_string(), "b.1:90+0-b.4:77:gap");
        assert_eq!(
            text(&record),
            r#"{"op":"gap","reason":"position_purged","policy":"latest","from":{"file":"b.1","pos":90,"rows":0,"gtids":null},"to":{"file":"b.4","pos":77,"rows":0,"gtids":null},"lost_gtids":null,"server_uuid":"","server_id":7}"#
        );
    }
}
