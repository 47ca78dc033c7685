//! Bodies against recorded ones, and against the reader.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::record::{BatchId, Layout, OriginRef, Part, RecordId, Turn, begin_field, end_field, push_null};

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: u8| u8::try_from(char::from(c).to_digit(16).unwrap()).unwrap();
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/frames.json")).unwrap()
}

/// Of a client that was not told of an epoch.
pub(crate) const WRITER: Writer<'_> = Writer {
    group: "g",
    epoch: "0",
};

pub(crate) fn batch(payloads: &[&[u8]], watermark: Option<&str>) -> Batch {
    let record = |(row, payload): (u64, &&[u8])| Record {
        seq: row,
        id: RecordId {
            transaction: "3e11fa47-71ca-11e1-9e33-c80aa9429562:7".into(),
            part: Part::Row(row),
        },
        hash_key: 0,
        layout: Layout::Blob,
        payload: Bytes::copy_from_slice(payload),
        origin: OriginRef::default(),
        turn: Turn::InOrder,
    };
    Batch {
        id: BatchId(1),
        shard: Arc::from("12"),
        records: (0..).zip(payloads).map(record).collect(),
        watermark: watermark.map(Arc::from),
    }
}

type Fields = Vec<Option<Vec<u8>>>;

/// A vector's record: attributes, and fields as text.
fn entry_of(inputs: &Value) -> (Vec<(String, String)>, Fields) {
    let text = |v: &Value| v.as_str().map(|s| s.as_bytes().to_vec());
    let fields = match (inputs.get("values"), inputs.get("blob_hex")) {
        (Some(values), _) => values.as_array().unwrap().iter().map(text).collect(),
        (None, Some(hex)) => vec![Some(unhex(hex.as_str().unwrap()))],
        (None, None) => vec![Some(b"z".repeat(200))],
    };
    let attributes = inputs.get("attributes").and_then(Value::as_array);
    let pair = |p: &Value| (p[0].as_str().unwrap().into(), p[1].as_str().unwrap().into());
    (attributes.into_iter().flatten().map(pair).collect(), fields)
}

#[test]
fn i11_frames_are_those_of_the_official_client() {
    let mut seen = 0;
    for vector in vectors()["put_requests"].as_array().unwrap() {
        let (name, inputs) = (vector["name"].as_str().unwrap(), &vector["inputs"]);
        let ours = [
            "tuple_null_vs_value",
            "tuple_empty_string",
            "tuple_attributes",
            "tuple_shard_id",
            "blob",
            "blob_200_bytes",
        ];
        if !ours.contains(&name) {
            continue; // hash and partition keys, and text forms of tuple types
        }
        let (attributes, fields) = entry_of(inputs);
        let attributes: Vec<_> = attributes.iter().map(|(k, v)| (&**k, &**v)).collect();
        let fields: Vec<_> = fields.iter().map(Option::as_deref).collect();
        let mut body = start_frame(Vec::new(), 0);
        let shard = inputs.get("shard_id").and_then(Value::as_str);
        write_entry(&mut body, shard, &attributes, fields.iter().copied());
        finish_frame(&mut body);
        assert_eq!(body, unhex(vector["frame_hex"].as_str().unwrap()), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn i11_the_fields_of_a_tuple_are_those_of_the_official_client() {
    let mut batch = batch(&[b""], None);
    let mut payload = Vec::new();
    for value in [Some("7"), None, Some("")] {
        match value {
            Some(value) => {
                let begin = begin_field(&mut payload);
                payload.extend_from_slice(value.as_bytes());
                assert!(end_field(&mut payload, begin));
            }
            None => push_null(&mut payload),
        }
    }
    let record = &mut Arc::get_mut(&mut batch.records).unwrap()[0];
    (record.layout, record.payload) = (Layout::Tuple, payload.into());
    let body = put_body(Vec::new(), &batch, WRITER, Addressing::ByShard).unwrap();
    // A field with a value, one without any, one with an empty value.
    let data = unhex("4a0b0a030a01370a000a020a00");
    assert!(body.ends_with(&data), "{body:02x?}");
    assert_eq!(body.len(), FRAME_BYTES + record_bytes(&batch.records[0], WRITER));
}

#[test]
fn i11_a_frame_of_two_records_is_that_of_the_go_client() {
    // It writes an empty shard id into every record.
    let mut body = start_frame(Vec::new(), 0);
    write_entry(
        &mut body,
        Some(""),
        &[("k", "v")],
        std::iter::once(Some([0, 1, 2, 0xff].as_slice())),
    );
    write_entry(
        &mut body,
        Some(""),
        &[],
        std::iter::once(Some(b"datatest-0".as_slice())),
    );
    finish_frame(&mut body);
    assert_eq!(body, unhex(vectors()["go_put_blob_hex"].as_str().unwrap()));
}

#[test]
fn gets_are_those_of_the_official_client() {
    for vector in vectors()["get_requests"].as_array().unwrap() {
        let limit = u32::try_from(vector["limit"].as_u64().unwrap()).unwrap();
        let body = get_body(vector["cursor"].as_str().unwrap(), limit);
        assert_eq!(body, unhex(vector["frame_hex"].as_str().unwrap()));
    }
}

#[test]
fn the_checksum_is_the_services() {
    for vector in vectors()["crc32c"].as_array().unwrap() {
        let sum = crc32c::crc32c(&unhex(vector["input_hex"].as_str().unwrap()));
        assert_eq!(format!("{sum:08x}"), vector["crc32c_hex"].as_str().unwrap());
    }
}

/// The put read back as the get it will be answered with: field 1 becomes field 4, each entry gains a sequence.
fn attributes_of(body: &[u8]) -> Vec<BTreeMap<String, String>> {
    let mut page = start_frame(Vec::new(), body.len());
    let mut rest = body.get(FRAME_BYTES..).unwrap();
    while !rest.is_empty() {
        let mut len = 0;
        let mut at = 1;
        loop {
            let byte = rest[at];
            len |= usize::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte < 0x80 {
                break;
            }
        }
        let entry = [&rest[at..at + len], &[0x30, 5]].concat();
        put_bytes(&mut page, 0x22, &entry);
        rest = &rest[at + len..];
    }
    finish_frame(&mut page);
    let records = answer::get_answer(&page).unwrap().records;
    records.into_iter().map(|r| r.attributes).collect()
}

proptest! {
    #[test]
    fn i11_bodies_read_back(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 1..20),
        watermark in proptest::option::of("[ -~]{0,300}"),
        group in "[a-z]{1,150}",
        epoch in any::<u64>(),
        per_record in any::<bool>(),
    ) {
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let batch = batch(&payloads, watermark.as_deref());
        let addressing = if per_record { Addressing::PerRecord } else { Addressing::ByShard };
        let epoch = epoch.to_string();
        let writer = Writer { group: &group, epoch: &epoch };
        let body = put_body(Vec::new(), &batch, writer, addressing).unwrap();
        let read = attributes_of(&body);
        prop_assert_eq!(read.len(), payloads.len());
        for (record, attributes) in batch.records.iter().zip(&read) {
            prop_assert_eq!(&attributes[ATTRIBUTE_ID], &record.id.to_string());
            prop_assert_eq!(&attributes[ATTRIBUTE_GROUP], &group);
            prop_assert_eq!(&attributes[ATTRIBUTE_EPOCH], &epoch);
        }
        let marks: Vec<_> = read.iter().map(|a| a.get(ATTRIBUTE_WATERMARK).cloned()).collect();
        let (last, others) = marks.split_last().unwrap();
        prop_assert!(others.iter().all(Option::is_none));
        prop_assert_eq!(last, &watermark);
        if watermark.is_none() && !per_record {
            let sum: usize = batch.records.iter().map(|r| record_bytes(r, writer)).sum();
            prop_assert_eq!(FRAME_BYTES + sum, body.len());
        }
    }
}

#[test]
fn i11_what_exceeds_the_limit_is_refused_before_any_request() {
    let overhead = FRAME_BYTES + record_bytes(&batch(&[b""], None).records[0], WRITER);
    // Longer lengths take more bytes: four nested ones, of 3 bytes more each.
    let largest = vec![7; limits::BODY_BYTES - overhead - 12];
    let body = put_body(Vec::new(), &batch(&[&largest], None), WRITER, Addressing::ByShard).unwrap();
    assert_eq!(body.len(), limits::BODY_BYTES);

    let larger = vec![7; largest.len() + 1];
    let refused = put_body(
        Vec::new(),
        &batch(&[b"", &larger], None),
        WRITER,
        Addressing::ByShard,
    )
    .unwrap_err();
    assert_eq!(refused.disposition, Disposition::Poison(Some(1)));
    assert_eq!(refused.reason.code, "record_too_large");

    let refused = put_body(
        Vec::new(),
        &batch(&[&largest, b""], None),
        WRITER,
        Addressing::ByShard,
    )
    .unwrap_err();
    assert_eq!(refused.disposition, Disposition::Poison(None));
    assert_eq!(refused.reason.code, "batch_too_large");

    let many = batch(&vec![b"".as_slice(); limits::RECORDS + 1], None);
    let refused = put_body(Vec::new(), &many, WRITER, Addressing::ByShard).unwrap_err();
    assert_eq!(refused.reason.code, "batch_too_large");
}

#[test]
fn i11_a_watermark_yields_to_the_record_it_does_not_fit_with() {
    let overhead = FRAME_BYTES + record_bytes(&batch(&[b""], None).records[0], WRITER);
    let payload = vec![7; limits::BODY_BYTES - overhead - 12];
    let body = put_body(
        Vec::new(),
        &batch(&[&payload], Some("mark")),
        WRITER,
        Addressing::ByShard,
    )
    .unwrap();
    assert_eq!(attributes_of(&body)[0].get(ATTRIBUTE_WATERMARK), None);
}

#[test]
fn i11_a_field_that_no_topic_takes_is_poison_before_a_request_is_made() {
    for (bytes, refused) in [(limits::FIELD_BYTES, false), (limits::FIELD_BYTES + 1, true)] {
        let mut batch = batch(&[b"", b""], None);
        let mut payload = Vec::new();
        push_null(&mut payload);
        let begin = begin_field(&mut payload);
        payload.resize(payload.len() + bytes, b'x');
        assert!(end_field(&mut payload, begin));
        let record = &mut Arc::get_mut(&mut batch.records).unwrap()[1];
        (record.layout, record.payload) = (Layout::Tuple, payload.into());
        let failure = put_body(Vec::new(), &batch, WRITER, Addressing::ByShard).err();
        let seen = failure.map(|failure| (failure.disposition, failure.reason.code));
        let expected = refused.then_some((Disposition::Poison(Some(1)), "field_too_large"));
        assert_eq!(seen, expected, "{bytes} bytes");
    }
}

#[test]
fn a_record_out_of_its_turn_says_so() {
    for (turn, said) in [
        (Turn::InOrder, None),
        (Turn::Late, Some("held_back")),
        (Turn::Letter, Some("replayed")),
    ] {
        let mut batch = batch(&[b"x"], Some("mark"));
        Arc::get_mut(&mut batch.records).unwrap()[0].turn = turn;
        let body = put_body(Vec::new(), &batch, WRITER, Addressing::ByShard).unwrap();
        let attributes = &attributes_of(&body)[0];
        assert_eq!(attributes.get(ATTRIBUTE_LATE).map(String::as_str), said);
        assert_eq!(
            attributes.get(ATTRIBUTE_WATERMARK).map(String::as_str),
            Some("mark")
        );
        let plain = record_bytes(&batch.records[0], WRITER);
        batch.watermark = None;
        let body = put_body(Vec::new(), &batch, WRITER, Addressing::ByShard).unwrap();
        assert_eq!(body.len(), FRAME_BYTES + plain);
    }
}
