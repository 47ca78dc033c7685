//! Documents made by hand from the documented format, and damaged ones.

use proptest::prelude::*;

use super::*;

/// The document's text: the JSON string around it taken off again.
fn text(document: &[u8]) -> Result<String, ValueError> {
    let mut out = vec![b'"'];
    write_escaped(document, &mut out)?;
    out.push(b'"');
    Ok(serde_json::from_slice(&out).expect("a JSON string"))
}

fn string(text: &str) -> Vec<u8> {
    let mut document = vec![0x0c];
    let length = text.len();
    if length < 128 {
        document.push(u8::try_from(length).unwrap());
    } else {
        document.extend([
            u8::try_from(length % 128).unwrap() | 0x80,
            u8::try_from(length / 128).unwrap(),
        ]);
    }
    document.extend(text.as_bytes());
    document
}

fn opaque(field_type: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    [&[0x0f, field_type, length], bytes].concat()
}

/// An array or object (with keys `k0`, `k1` … in descending order) in the large or small format, of values
/// that are none of them inlined.
fn container(object: bool, large: bool, values: &[Vec<u8>]) -> Vec<u8> {
    let width = if large { 4 } else { 2 };
    let number = |n: usize| n.to_le_bytes()[..width].to_vec();
    let keys: Vec<_> = (0..values.len()).rev().map(|n| format!("k{n}")).collect();
    let key_entry = if object { width + 2 } else { 0 };
    let head = 2 * width + values.len() * (key_entry + width + 1);
    let key_bytes = if object { values.len() * 2 } else { 0 };
    let size = head + key_bytes + values.iter().map(|v| v.len() - 1).sum::<usize>();
    let mut document = vec![u8::from(!object) * 2 + u8::from(large)];
    document.extend(number(values.len()));
    document.extend(number(size));
    if object {
        for ordinal in 0..keys.len() {
            document.extend(number(head + 2 * ordinal));
            document.extend([2, 0]);
        }
    }
    let mut at = head + key_bytes;
    for value in values {
        document.push(value[0]);
        document.extend(number(at));
        at += value.len() - 1;
    }
    if object {
        document.extend(keys.concat().as_bytes());
    }
    for value in values {
        document.extend(&value[1..]);
    }
    document
}

/// Documents as MySQL 9.7.4 wrote them to its binlog, and as it showed them: hexadecimal, tab, text.
#[test]
fn recorded_documents_read_as_select_shows_them() {
    let recorded = include_str!("recorded.tsv");
    for line in recorded.lines() {
        let (document, expected) = line.split_once('\t').unwrap();
        let document: Vec<u8> = document
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        assert_eq!(text(&document).unwrap(), expected);
    }
    assert!(recorded.lines().count() > 40);
}

#[test]
fn a_small_object_byte_by_byte() {
    let document = [
        0x00, 2, 0, 0x1e, 0, // object of 2 members, 30 bytes
        18, 0, 1, 0, 19, 0, 1, 0, // keys
        0x05, 1, 0, 0x02, 20, 0, // 1 inlined, an array at 20
        b'a', b'b', 2, 0, 10, 0, 0x05, 1, 0, 0x05, 2, 0,
    ];
    assert_eq!(text(&document).unwrap(), r#"{"a": 1, "b": [1, 2]}"#);
}

#[test]
fn scalars() {
    let number = |kind: u8, bytes: &[u8]| text(&[&[kind], bytes].concat()).unwrap();
    assert_eq!(text(&[]).unwrap(), "null");
    assert_eq!(number(4, &[0]), "null");
    assert_eq!(number(4, &[1]), "true");
    assert_eq!(number(4, &[2]), "false");
    assert_eq!(number(5, &[0xff, 0xff]), "-1");
    assert_eq!(number(6, &[0xff, 0xff]), "65535");
    assert_eq!(number(7, &[0, 0, 0, 0x80]), "-2147483648");
    assert_eq!(number(8, &[0xff; 4]), "4294967295");
    assert_eq!(number(9, &i64::MIN.to_le_bytes()), "-9223372036854775808");
    assert_eq!(number(10, &[0xff; 8]), "18446744073709551615");
    assert!(text(&[4, 3]).is_err());
    assert!(text(&[0x0d]).is_err());
}

#[test]
fn strings_are_escaped_once_for_json_and_once_for_the_cell() {
    for plain in [
        "",
        "a\"b\\c/é😀",
        "\u{0}\u{1f}\n\r\t\u{8}\u{c}\u{7f}",
        &"x".repeat(300),
    ] {
        let shown = text(&string(plain)).unwrap();
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), plain);
    }
    assert_eq!(text(&string("\u{1f}\n")).unwrap(), r#""\u001f\n""#);
    assert!(text(&[0x0c, 1, 0xff]).is_err());
    assert!(text(&[0x0c, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
}

#[test]
fn doubles_as_the_server_shows_them() {
    let cases = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (-2.5, "-2.5"),
        (0.1, "0.1"),
        (0.00001, "0.00001"),
        (1e-15, "0.000000000000001"),
        (1e-16, "1e-16"),
        (1.5e-20, "1.5e-20"),
        (100_000_000_000_000.0, "100000000000000.0"),
        (123_456_789_012_345.0, "123456789012345.0"),
        (1e15, "1e15"),
        (-2_122_671_550_523_651.5, "-2122671550523651.5"),
        (1_234_567_890_123_456.0, "1.234567890123456e15"),
        (1e20, "1e20"),
        (1.25e300, "1.25e300"),
        (12345.678, "12345.678"),
        (f64::MAX, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
    ];
    for (number, expected) in cases {
        let document = [&[0x0b], f64::to_le_bytes(number).as_slice()].concat();
        assert_eq!(text(&document).unwrap(), expected);
    }
    assert!(text(&[&[0x0b], f64::NAN.to_le_bytes().as_slice()].concat()).is_err());
}

#[test]
fn opaque_values() {
    assert_eq!(text(&opaque(246, &[4, 2, 0x80 | 12, 50])).unwrap(), "12.50");
    let date = (2024u64 * 13 + 2) << 5 | 29;
    let time = 12u64 << 12 | 34 << 6 | 56;
    let packed = i64::try_from((date << 17 | time) << 24 | 7)
        .unwrap()
        .to_le_bytes();
    assert_eq!(
        text(&opaque(12, &packed)).unwrap(),
        "\"2024-02-29 12:34:56.000007\""
    );
    assert_eq!(
        text(&opaque(7, &packed)).unwrap(),
        "\"2024-02-29 12:34:56.000007\""
    );
    assert_eq!(text(&opaque(10, &packed)).unwrap(), "\"2024-02-29\"");
    let negative = -i64::try_from(time << 24 | 500_000).unwrap();
    assert_eq!(
        text(&opaque(11, &negative.to_le_bytes())).unwrap(),
        "\"-12:34:56.500000\""
    );
    assert_eq!(text(&opaque(252, b"hi")).unwrap(), "\"base64:type252:aGk=\"");
    let lines = text(&opaque(16, &[0; 60])).unwrap();
    assert_eq!(lines, format!("\"base64:type16:{}\\nAAAA\"", "A".repeat(76)));
    assert!(text(&opaque(12, &[0; 7])).is_err());
    assert!(text(&opaque(246, &[4])).is_err());
}

#[test]
fn containers_of_both_formats_keep_the_stored_order() {
    for large in [false, true] {
        let values = [string("v"), vec![4, 1], opaque(252, b"")];
        // A literal is always inlined: leave it to the byte-by-byte test.
        let values = [values[0].clone(), values[2].clone()];
        let inner = container(false, large, &values);
        let document = container(true, large, &[inner, string("")]);
        assert_eq!(
            text(&document).unwrap(),
            r#"{"k1": ["v", "base64:type252:"], "k0": ""}"#
        );
        assert_eq!(text(&container(true, large, &[])).unwrap(), "{}");
        assert_eq!(text(&container(false, large, &[])).unwrap(), "[]");
    }
    // 32-bit numbers are inlined in the large format only.
    let inlined = [3, 1, 0, 0, 0, 13, 0, 0, 0, 0x07, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(text(&inlined).unwrap(), "[-1]");
}

#[test]
fn nesting_is_limited_and_overlaps_do_not_unfold() {
    let nested = |depth: usize| (0..depth).fold(string(""), |inner, _| container(false, true, &[inner]));
    assert!(text(&nested(100)).is_ok());
    assert!(text(&nested(200)).is_err());
    // Two entries that both point to the array itself.
    let own = [2, 2, 0, 10, 0, 2, 0, 0, 2, 0, 0];
    assert!(text(&own).is_err());
    // A thousand entries that share one long string.
    let shared = string(&"x".repeat(3000));
    let mut document = container(false, true, &[shared]);
    let entry = document[9..14].to_vec();
    let offset = 8 + 1000 * 5u32;
    document[1..5].copy_from_slice(&1000u32.to_le_bytes());
    let size = offset + u32::try_from(document.len() - 14).unwrap();
    document[5..9].copy_from_slice(&size.to_le_bytes());
    let entries = [&entry[..1], &offset.to_le_bytes()].concat().repeat(1000);
    document.splice(9..14, entries);
    assert_eq!(text(&document), Err(MALFORMED));
}

proptest! {
    #[test]
    fn changed_documents_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        large in any::<bool>(),
    ) {
        let values = [string("text"), opaque(246, &[4, 2, 0x80, 0]), vec![0x09; 9]];
        let inner = container(true, large, &values);
        let mut document = container(false, large, &[inner, string("x")]);
        for (at, byte) in changes {
            let at = at.index(document.len());
            document[at] = byte;
        }
        let mut out = Vec::new();
        if write_escaped(&document, &mut out).is_ok() {
            prop_assert!(out.len() < 40 * document.len());
        }
    }
}
