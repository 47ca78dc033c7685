//! Whether a table fits a topic, and what a value without a place says.

use super::*;

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
