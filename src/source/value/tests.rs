//! Each type at its boundaries, with bytes made by hand from the documented formats; and random bytes.

use proptest::prelude::*;

use super::*;
use crate::change::Charset;

fn column(kind: ColumnKind, wire: u8, meta: u16) -> Column {
    Column {
        name: "c".to_owned(),
        kind,
        declared: Box::default(),
        nullable: true,
        wire,
        meta,
    }
}

/// The JSON of one value that fills `bytes`.
fn json(kind: ColumnKind, wire: u8, meta: u16, bytes: &[u8]) -> Result<String, ValueError> {
    let cell = Cell::new(&column(kind, wire, meta))?;
    let (mut rest, mut out) = (bytes, Vec::new());
    cell.write_json(&mut rest, &mut out)?;
    assert!(rest.is_empty(), "{} bytes are left over", rest.len());
    Ok(String::from_utf8(out).unwrap())
}

fn integer(bytes: u8, unsigned: bool) -> ColumnKind {
    ColumnKind::Integer { bytes, unsigned }
}

fn labels(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

#[test]
fn integers_of_every_width_and_sign() {
    let cases: [(u8, u8, &[u8], &str, &str); 11] = [
        (1, 1, &[0xff], "-1", "255"),
        (1, 1, &[0x80], "-128", "128"),
        (2, 2, &[0x00, 0x80], "-32768", "32768"),
        (2, 2, &[0xff, 0x7f], "32767", "32767"),
        (3, 9, &[0xff, 0xff, 0xff], "-1", "16777215"),
        (3, 9, &[0x00, 0x00, 0x80], "-8388608", "8388608"),
        (3, 9, &[0xff, 0xff, 0x7f], "8388607", "8388607"),
        (4, 3, &[0, 0, 0, 0x80], "-2147483648", "2147483648"),
        (4, 3, &[0; 4], "0", "0"),
        (8, 8, &[0xff; 8], "-1", "18446744073709551615"),
        (
            8,
            8,
            &[0, 0, 0, 0, 0, 0, 0, 0x80],
            "-9223372036854775808",
            "9223372036854775808",
        ),
    ];
    for (width, wire, bytes, signed, unsigned) in cases {
        assert_eq!(json(integer(width, false), wire, 0, bytes).unwrap(), signed);
        assert_eq!(json(integer(width, true), wire, 0, bytes).unwrap(), unsigned);
    }
}

#[test]
fn floats_are_the_shortest_of_their_own_width() {
    let float = |n: f32| json(ColumnKind::Float, 4, 4, &n.to_le_bytes());
    let double = |n: f64| json(ColumnKind::Double, 5, 8, &n.to_le_bytes());
    assert_eq!(float(0.1).unwrap(), "0.1");
    assert_eq!(double(0.1).unwrap(), "0.1");
    assert_eq!(double(f64::from(0.1f32)).unwrap(), "0.10000000149011612");
    for n in [0.0, -0.0, 1.5, f32::MAX, f32::MIN_POSITIVE, 1e-45] {
        assert_eq!(float(n).unwrap().parse::<f32>().unwrap().to_bits(), n.to_bits());
    }
    for n in [0.0, -0.0, 1e300, f64::MAX, f64::MIN_POSITIVE, 5e-324] {
        assert_eq!(double(n).unwrap().parse::<f64>().unwrap().to_bits(), n.to_bits());
    }
    assert_eq!(double(f64::NAN), Err(ValueError::Malformed("DOUBLE")));
    assert!(float(f32::INFINITY).is_err());
    // FLOAT(25) and wider, as OceanBase sends it.
    assert_eq!(
        json(ColumnKind::Float, 5, 8, &1.25f64.to_le_bytes()).unwrap(),
        "1.25"
    );
}

#[test]
fn bits_and_years_are_numbers() {
    let bit = |bits: u8, bytes: &[u8]| json(ColumnKind::Bit { bits }, 16, bits.into(), bytes);
    assert_eq!(bit(1, &[1]).unwrap(), "1");
    assert_eq!(bit(9, &[1, 2]).unwrap(), "258");
    assert_eq!(bit(64, &[0xff; 8]).unwrap(), "18446744073709551615");
    let year = |byte: u8| json(ColumnKind::Year, 13, 0, &[byte]).unwrap();
    assert_eq!([year(0), year(1), year(255)], ["0", "1901", "2155"]);
}

#[test]
fn text_of_every_length_prefix_is_escaped() {
    let text = |wire, meta, bytes: &[u8]| {
        let charset = Charset::Utf8;
        json(ColumnKind::Text { charset }, wire, meta, bytes)
    };
    assert_eq!(text(15, 255, b"\x02hi").unwrap(), "\"hi\"");
    assert_eq!(text(15, 256, b"\x02\0hi").unwrap(), "\"hi\"");
    assert_eq!(text(254, 300, b"\x02\0hi").unwrap(), "\"hi\"");
    assert_eq!(text(252, 3, b"\x02\0\0hi").unwrap(), "\"hi\"");
    assert_eq!(text(252, 4, b"\0\0\0\0").unwrap(), "\"\"");
    assert_eq!(text(15, 20, b"\x03hi"), Err(ValueError::Truncated));
    assert_eq!(text(252, 4, b"\xff\xff\xff\xff"), Err(ValueError::Truncated));
    assert_eq!(text(15, 9, b"\x01\xff"), Err(ValueError::Charset("utf8mb4")));
    // Special characters at every offset, so in whole blocks and behind them.
    for special in [
        "\"", "\\", "\n", "\u{0}", "\u{1f}", "\t", "\r", "\u{8}", "\u{c}", "é", "😀",
    ] {
        for at in 0..40 {
            let plain = format!("{}{special}{}", "a".repeat(at), "b".repeat(40 - at));
            let mut bytes = vec![u8::try_from(plain.len()).unwrap()];
            bytes.extend(plain.as_bytes());
            let json = text(15, 100, &bytes).unwrap();
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), plain);
        }
    }
}

#[test]
fn charsets_are_decoded_or_refused() {
    let text = |charset, bytes: &[u8]| {
        let mut value = vec![u8::try_from(bytes.len()).unwrap()];
        value.extend(bytes);
        json(ColumnKind::Text { charset }, 15, 200, &value)
    };
    let cases: [(Charset, &[u8], &str); 14] = [
        (Charset::Ascii, b"a", "\"a\""),
        (Charset::Latin1, b"\x80\x81\xe9", "\"€\u{81}é\""),
        (
            Charset::Latin1,
            b"\x8d\x8f\x90\x9d",
            "\"\u{8d}\u{8f}\u{90}\u{9d}\"",
        ),
        (Charset::Gbk, b"a\xd6\xd0", "\"a中\""),
        (Charset::Gb18030, b"\x81\x30\x81\x30", "\"\u{80}\""),
        (Charset::Gb2312, b"\xd6\xd0", "\"中\""),
        (Charset::Big5, b"\xa4\xa4", "\"中\""),
        (Charset::ShiftJis, b"\x93\xfa", "\"日\""),
        (Charset::EucJp, b"\xc6\xfc", "\"日\""),
        (Charset::EucKr, b"\xc7\xd1", "\"한\""),
        (Charset::Utf16, b"\x4e\x2d\xd8\x3d\xde\x00", "\"中😀\""),
        (Charset::Utf16Le, b"\x2d\x4e", "\"中\""),
        (Charset::Ucs2, b"\x00\x22", "\"\\\"\""),
        (Charset::Utf32, b"\0\x01\xf6\0", "\"😀\""),
    ];
    for (charset, bytes, expected) in cases {
        assert_eq!(text(charset, bytes).unwrap(), expected, "{charset:?}");
    }
    assert_eq!(text(Charset::SingleByte("koi8-r"), b"\xc1").unwrap(), "\"а\"");
    let malformed: [(Charset, &[u8]); 8] = [
        (Charset::Ascii, b"\x80"),
        (Charset::Gbk, b"\xd6"),
        (Charset::Gbk, b"\xff\xff"),
        (Charset::Utf16, b"\xd8\x3d"),
        (Charset::Utf16Le, b"\x00"),
        (Charset::Ucs2, b"\xd8\x3d"),
        (Charset::Utf32, b"\0\x11\0\0"),
        (Charset::SingleByte("windows-1253"), b"\xaa"),
    ];
    for (charset, bytes) in malformed {
        let result = text(charset, bytes);
        assert!(
            matches!(result, Err(ValueError::Charset(_))),
            "{charset:?}: {result:?}"
        );
    }
    assert!(text(Charset::SingleByte("gbk"), b"").is_err());
    // Longer than the buffer that decoding goes through.
    let long = [b"\xd6\xd0".repeat(2000), b"\"".to_vec()].concat();
    let mut value = u16::try_from(long.len()).unwrap().to_le_bytes().to_vec();
    value.extend(&long);
    let charset = Charset::Gbk;
    let decoded = json(ColumnKind::Text { charset }, 252, 2, &value).unwrap();
    assert_eq!(decoded, format!("\"{}\\\"\"", "中".repeat(2000)));
}

#[test]
fn binary_is_base64_and_padded_where_the_type_is_fixed() {
    let fixed = |length, bytes: &[u8]| json(ColumnKind::FixedBinary { length }, 254, 4, bytes);
    assert_eq!(fixed(4, b"\x02\x01\x02").unwrap(), "\"AQIAAA==\"");
    assert_eq!(fixed(4, b"\x00").unwrap(), "\"AAAAAA==\"");
    assert_eq!(fixed(0, b"\x00").unwrap(), "\"\"");
    assert!(fixed(1, b"\x02\x01\x02").is_err());
    assert!(fixed(256, b"\x00").is_err());
    assert_eq!(
        json(ColumnKind::Binary, 15, 9, b"\x02\xff\xfe").unwrap(),
        "\"//4=\""
    );
    assert_eq!(json(ColumnKind::Binary, 252, 2, b"\0\0").unwrap(), "\"\"");
}

#[test]
fn labels_of_enums_and_sets() {
    let names = labels(&["a", "b\"", ""]);
    let value = |bytes: &[u8], meta| {
        let labels = names.clone();
        json(ColumnKind::Enum { labels }, 247, meta, bytes)
    };
    assert_eq!(value(&[0], 1).unwrap(), "\"\"");
    assert_eq!(value(&[1], 1).unwrap(), "\"a\"");
    assert_eq!(value(&[2, 0], 2).unwrap(), "\"b\\\"\"");
    assert_eq!(value(&[4], 1), Err(ValueError::Label("ENUM")));
    let set = |count: usize, bytes: &[u8]| {
        let labels = (0..count).map(|n| format!("l{n}")).collect();
        let meta = u16::try_from(bytes.len()).unwrap();
        json(ColumnKind::Set { labels }, 248, meta, bytes)
    };
    assert_eq!(set(3, &[0]).unwrap(), "\"\"");
    assert_eq!(set(3, &[0b101]).unwrap(), "\"l0,l2\"");
    assert_eq!(set(3, &[0b1000]), Err(ValueError::Label("SET")));
    let all = set(64, &[0xff; 8]).unwrap();
    assert!(all.starts_with("\"l0,") && all.ends_with(",l63\""));
}

#[test]
fn geometry_is_srid_and_wkb() {
    let geometry = |bytes: &[u8]| json(ColumnKind::Geometry, 255, 4, bytes);
    assert_eq!(
        geometry(b"\x05\0\0\0\xe6\x10\0\0\x01").unwrap(),
        "{\"srid\":4326,\"wkb\":\"AQ==\"}"
    );
    assert!(geometry(b"\x03\0\0\0\xe6\x10\0").is_err());
}

#[test]
fn a_declared_type_that_contradicts_the_wire_is_refused() {
    let digits = 3;
    let refused = [
        column(integer(4, false), 8, 0),
        column(integer(3, false), 3, 0),
        column(ColumnKind::DateTime { digits }, 18, 2),
        column(ColumnKind::DateTime { digits }, 12, 0),
        column(
            ColumnKind::Text {
                charset: Charset::Utf8,
            },
            3,
            0,
        ),
        column(
            ColumnKind::Text {
                charset: Charset::Utf8,
            },
            141,
            300,
        ),
        column(ColumnKind::Json, 252, 4),
        column(ColumnKind::Bit { bits: 9 }, 16, 8),
        column(
            ColumnKind::Decimal {
                precision: 10,
                scale: 2,
            },
            246,
            10 << 8 | 3,
        ),
        column(ColumnKind::Enum { labels: vec![] }, 254, 1),
    ];
    for column in refused {
        let error = Cell::new(&column).unwrap_err();
        assert!(matches!(error, ValueError::Wire { .. }), "{column:?}");
    }
}

/// One column of every form.
fn every_form() -> Vec<Column> {
    let mut columns = Vec::new();
    for (bytes, wire) in [(1, 1), (2, 2), (3, 9), (4, 3), (8, 8)] {
        columns.push(column(integer(bytes, false), wire, 0));
        columns.push(column(integer(bytes, true), wire, 0));
    }
    for digits in 0..=6 {
        let meta = u16::from(digits);
        columns.push(column(ColumnKind::DateTime { digits }, 18, meta));
        columns.push(column(ColumnKind::Timestamp { digits }, 17, meta));
        columns.push(column(ColumnKind::Time { digits }, 19, meta));
    }
    for (precision, scale) in [(1, 0), (5, 5), (10, 2), (18, 9), (65, 30), (65, 0)] {
        let meta = u16::from_be_bytes([precision, scale]);
        columns.push(column(ColumnKind::Decimal { precision, scale }, 246, meta));
    }
    for charset in [
        Charset::Utf8,
        Charset::Ascii,
        Charset::Latin1,
        Charset::Gbk,
        Charset::Gb18030,
        Charset::Big5,
        Charset::ShiftJis,
        Charset::EucJp,
        Charset::EucKr,
        Charset::Utf16,
        Charset::Utf16Le,
        Charset::Ucs2,
        Charset::Utf32,
        Charset::SingleByte("koi8-r"),
    ] {
        columns.push(column(ColumnKind::Text { charset }, 15, 200));
    }
    columns.extend([
        column(ColumnKind::Float, 4, 4),
        column(ColumnKind::Double, 5, 8),
        column(ColumnKind::Bit { bits: 37 }, 16, 37),
        column(ColumnKind::Date, 10, 0),
        column(ColumnKind::DateTime { digits: 0 }, 12, 0),
        column(ColumnKind::Timestamp { digits: 0 }, 7, 0),
        column(ColumnKind::Time { digits: 0 }, 11, 0),
        column(ColumnKind::Year, 13, 0),
        column(ColumnKind::FixedBinary { length: 20 }, 254, 20),
        column(ColumnKind::Binary, 252, 1),
        column(
            ColumnKind::Enum {
                labels: labels(&["a", "b"]),
            },
            247,
            1,
        ),
        column(
            ColumnKind::Set {
                labels: labels(&["a", "b"]),
            },
            248,
            1,
        ),
        column(ColumnKind::Json, 245, 1),
        column(ColumnKind::Geometry, 255, 1),
        column(ColumnKind::Uuid, 254, 16),
        column(ColumnKind::Inet4, 254, 4),
        column(ColumnKind::Inet6, 254, 16),
    ]);
    columns
}

proptest! {
    #[test]
    fn random_bytes_are_json_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        for column in every_form() {
            let cell = Cell::new(&column).unwrap();
            let (mut rest, mut out) = (bytes.as_slice(), Vec::new());
            if cell.write_json(&mut rest, &mut out).is_ok() {
                let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&out);
                prop_assert!(parsed.is_ok(), "{:?}: {:?}", column.kind, String::from_utf8(out));
            }
        }
    }

    #[test]
    fn any_text_round_trips(text in ".{0,60}") {
        let mut json = Vec::new();
        write_json_string(&text, &mut json);
        prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
    }
}
