//! Columns that are left out or masked, in every envelope.

use super::*;

/// HMAC-SHA256 under the key below, as Python's `hmac` computes it: of `q"ü` and of `-7`.
const HASH_OF_TEXT: &str = "948dca1b71d09290249a9b9c0437b9240f259e5917c26091de3a5affa117b314";
const HASH_OF_NUMBER: &str = "dc36c4ce207858e5dbe272dce3ac510520f14d15a76a8d4809cd742adce47bbe";

const ENVELOPES: [Envelope; 3] = [Envelope::Debezium, Envelope::Canal, Envelope::Maxwell];

fn ruled(envelope: Envelope, exclude: &str, mask: &str, rules_on_keys: bool) -> Encoder {
    let settings = Settings {
        envelope,
        columns: ColumnRules::parse(exclude, mask).unwrap(),
        hash_key: Secret::new("0123456789abcdef"),
        rules_on_keys,
        ..settings(Routing::PrimaryKey)
    };
    Encoder::new(&settings, Flavour::MySql)
}

/// The records of an insert, an update and a delete.
fn records(encoder: &mut Encoder, schema: &Arc<TableSchema>, one: Row<'_>, two: Row<'_>) -> Vec<Record> {
    push(encoder, schema, [None, Some(one)], 0).unwrap();
    push(encoder, schema, [Some(one), Some(two)], 1).unwrap();
    push(encoder, schema, [Some(two), None], 2).unwrap();
    encoder.take(end()).records
}

fn text(record: &Record) -> &str {
    std::str::from_utf8(&record.payload).unwrap()
}

#[test]
fn a_column_that_is_left_out_is_nowhere() {
    for envelope in ENVELOPES {
        let mut encoder = ruled(envelope, "d.t.na*", "", false);
        for record in records(
            &mut encoder,
            &schema(&[0]),
            (1, Some("secret-a")),
            (1, Some("secret-b")),
        ) {
            let text = text(&record);
            assert!(!text.contains("secret") && !text.contains("na\\\"me"), "{text}");
            let row = payload(&record);
            let id = [
                &row["after"]["id"],
                &row["before"]["id"],
                &row["data"]["id"],
                &row["data"][0]["id"],
            ];
            assert!(id.iter().any(|id| **id == 1 || **id == "1"), "{text}");
        }
    }
    // The first column, and all of them.
    let mut encoder = ruled(Envelope::Debezium, "t.id", "", true);
    let record = records(&mut encoder, &schema(&[0]), (1, None), (2, Some("x"))).remove(1);
    assert!(text(&record).starts_with(r#"{"before":{"na\"me":null},"after":{"na\"me":"x"},"#));
    let mut encoder = ruled(Envelope::Debezium, "t.*", "", true);
    let record = records(&mut encoder, &schema(&[0]), (1, None), (2, Some("x"))).remove(1);
    assert!(text(&record).starts_with(r#"{"before":{},"after":{},"#));
}

#[test]
fn an_update_of_what_is_left_out_alone_is_still_one_record() {
    let mut encoder = ruled(Envelope::Canal, "t.na?me", "", false);
    let record = records(&mut encoder, &schema(&[0]), (1, Some("a")), (1, Some("b"))).remove(1);
    assert_eq!(payload(&record)["old"], serde_json::json!([{}]));
}

#[test]
fn a_mask_replaces_values_and_leaves_null_alone() {
    for envelope in ENVELOPES {
        let mut encoder = ruled(envelope, "", "*.na?me=hmac", false);
        let all = records(&mut encoder, &schema(&[0]), (1, None), (1, Some("q\"ü")));
        assert!(text(&all[0]).contains(r#""na\"me":null"#), "{}", text(&all[0]));
        for record in &all[1..] {
            let masked = format!(r#""na\"me":"{HASH_OF_TEXT}""#);
            assert!(
                text(record).contains(&masked) && !text(record).contains('ü'),
                "{}",
                text(record)
            );
        }
        let mut encoder = ruled(envelope, "", "t.na?me=constant:\"***\"", false);
        let all = records(&mut encoder, &schema(&[0]), (1, Some("a")), (1, Some("b")));
        for record in &all {
            assert!(text(record).contains(r#""na\"me":"\"***\"""#), "{}", text(record));
        }
    }
}

#[test]
fn a_key_is_masked_only_if_that_is_said_and_the_row_routes_as_before() {
    let row = [None, Some((-7, Some("x")))];
    let mut encoder = ruled(Envelope::Debezium, "", "t.id=hmac", false);
    let error = push(&mut encoder, &schema(&[1, 0]), row, 0).unwrap_err();
    assert_eq!(error.advice().0, "column_rule_on_key");
    assert_eq!(
        error.to_string(),
        "column \"id\" of d.t is left out or masked, but it is part of the primary key"
    );
    assert!(encoder.is_empty());
    // Without a key the whole row routes: a rule is no danger to it.
    for key in [&[0][..], &[1, 0], &[]] {
        let plain = hash_key(Routing::PrimaryKey, key, row);
        for envelope in ENVELOPES {
            let mut encoder = ruled(envelope, "", "t.id=hmac", true);
            push(&mut encoder, &schema(key), row, 0).unwrap();
            let record = encoder.take(end()).records.remove(0);
            assert_eq!(record.hash_key, plain, "{envelope:?} {key:?}");
            assert!(text(&record).contains(HASH_OF_NUMBER) && !text(&record).contains("-7"));
        }
    }
}

#[test]
fn an_entry_that_means_no_column_is_told_once() {
    let mut encoder = ruled(Envelope::Debezium, "t.fone, *.phone, other.x", "", false);
    let schema = schema(&[0]);
    for row in 0..2 {
        push(&mut encoder, &schema, [None, Some((1, None))], row).unwrap();
    }
    assert_eq!(
        encoder.notices(),
        ["no column of d.t is meant by t.fone in COLUMN_EXCLUDE or COLUMN_MASK"]
    );
    assert!(encoder.notices().is_empty());
}
