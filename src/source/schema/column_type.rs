//! `COLUMN_TYPE` of `information_schema` to a column's kind. Pure.

use crate::change::{Charset, ColumnKind};
use crate::source::value::single_byte_charset;

/// A declared type: how its values read, and the type bytes under which a table map may show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// How values read and print.
    pub kind: ColumnKind,
    /// Type bytes, ENUM and SET resolved.
    pub wire: &'static [u8],
}

/// Reads a type such as `bigint(20) unsigned`, `decimal(10,2)` or `enum('a','b')`.
///
/// # Errors
/// One sentence that says what is not understood.
pub fn parse(text: &str, charset: Option<&str>) -> Result<Declared, String> {
    let text = text.trim();
    let word_end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(word_end).unwrap_or((text, ""));
    let word = word.to_ascii_lowercase();
    if rest.starts_with(UNTELLABLE) {
        return Err(format!(
            "OceanBase shows the labels of {word} without escapes, and those with a quote or a backslash cannot be told apart"
        ));
    }
    if matches!(word.as_str(), "enum" | "set") {
        let labels = labels(rest).ok_or_else(|| format!("the labels of {word} cannot be read"))?;
        return Ok(if word == "enum" {
            declared(ColumnKind::Enum { labels }, &[247])
        } else {
            declared(ColumnKind::Set { labels }, &[248])
        });
    }
    if rest.to_ascii_uppercase().contains("COMPRESSED") {
        return Err("compressed columns are not supported".to_owned());
    }
    let (arguments, suffix) = arguments(rest);
    // Its fraction shows in no table map: not even the length of such a value is known.
    if suffix.contains("mariadb-5.3") && arguments.iter().any(|digits| *digits > 0) {
        return Err(format!(
            "{word} with a fraction in MariaDB's format of 5.3 is not supported (ALTER TABLE … FORCE rewrites it)"
        ));
    }
    simple(&word, &arguments, suffix, charset).unwrap_or_else(|| Err(format!("type {word} is not supported")))
}

fn declared(kind: ColumnKind, wire: &'static [u8]) -> Declared {
    Declared { kind, wire }
}

/// `(10,2) unsigned` to its numbers and what follows.
fn arguments(rest: &str) -> (Vec<usize>, &str) {
    let Some((inner, suffix)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
        return (Vec::new(), rest);
    };
    (
        inner.split(',').filter_map(|n| n.trim().parse().ok()).collect(),
        suffix,
    )
}

/// `None` for an unknown word.
fn simple(
    word: &str,
    arguments: &[usize],
    suffix: &str,
    charset: Option<&str>,
) -> Option<Result<Declared, String>> {
    let first = arguments.first().copied();
    let small = |n: Option<usize>| n.and_then(|n| u8::try_from(n).ok());
    let unsigned = suffix.contains("unsigned") || suffix.contains("zerofill");
    let integer = |bytes, wire| declared(ColumnKind::Integer { bytes, unsigned }, wire);
    // Read where it is a number of digits: elsewhere the same place holds a length that has no such bound.
    let digits = || small(Some(first.unwrap_or(0)));
    let text = |wire, binary: ColumnKind| match charset {
        None | Some("binary") => Ok(declared(binary, wire)),
        Some(name) => match charset_of(name) {
            Some(charset) => Ok(declared(ColumnKind::Text { charset }, wire)),
            None => Err(format!("character set {name} is not supported")),
        },
    };
    Some(Ok(match word {
        "tinyint" | "bool" | "boolean" => integer(1, &[1]),
        "smallint" => integer(2, &[2]),
        "mediumint" => integer(3, &[9]),
        "int" | "integer" => integer(4, &[3]),
        "bigint" => integer(8, &[8]),
        "float" => declared(ColumnKind::Float, &[4, 5]),
        "double" | "real" => declared(ColumnKind::Double, &[5]),
        "decimal" | "numeric" | "dec" | "fixed" => {
            let precision = small(Some(first.unwrap_or(10)))?;
            let scale = small(Some(arguments.get(1).copied().unwrap_or(0)))?;
            declared(ColumnKind::Decimal { precision, scale }, &[246])
        }
        "bit" => {
            let bits = small(Some(first.unwrap_or(1)))?;
            declared(ColumnKind::Bit { bits }, &[16])
        }
        "date" => declared(ColumnKind::Date, &[10, 14]),
        "datetime" => declared(ColumnKind::DateTime { digits: digits()? }, &[18, 12]),
        "timestamp" => declared(ColumnKind::Timestamp { digits: digits()? }, &[17, 7]),
        "time" => declared(ColumnKind::Time { digits: digits()? }, &[19, 11]),
        "year" => declared(ColumnKind::Year, &[13]),
        "char" => {
            let length = first.unwrap_or(1);
            return Some(text(&[254], ColumnKind::FixedBinary { length }));
        }
        "varchar" => return Some(text(&[15, 253], ColumnKind::Binary)),
        "tinytext" | "text" | "mediumtext" | "longtext" => {
            return Some(text(&[249, 250, 251, 252], ColumnKind::Binary));
        }
        "binary" => {
            let length = first.unwrap_or(1);
            declared(ColumnKind::FixedBinary { length }, &[254])
        }
        "varbinary" => declared(ColumnKind::Binary, &[15, 253]),
        "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            declared(ColumnKind::Binary, &[249, 250, 251, 252])
        }
        "json" => declared(ColumnKind::Json, &[245]),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => declared(ColumnKind::Geometry, &[255]),
        "uuid" => declared(ColumnKind::Uuid, &[254]),
        "inet4" => declared(ColumnKind::Inet4, &[254]),
        "inet6" => declared(ColumnKind::Inet6, &[254]),
        _ => return None,
    }))
}

/// `('a','it''s')` to its labels: quotes are doubled, the server escapes a few bytes with a backslash.
fn labels(rest: &str) -> Option<Vec<String>> {
    let mut rest = rest.strip_prefix('(')?.chars().peekable();
    let mut labels = Vec::new();
    loop {
        if rest.next()? != '\'' {
            return None;
        }
        let mut label = String::new();
        loop {
            match rest.next()? {
                '\'' if rest.peek() == Some(&'\'') => {
                    rest.next();
                    label.push('\'');
                }
                '\'' => break,
                '\\' => label.push(match rest.next()? {
                    '0' => '\0',
                    'n' => '\n',
                    'r' => '\r',
                    other => other,
                }),
                other => label.push(other),
            }
        }
        labels.push(label);
        match rest.next()? {
            ',' => {}
            ')' => return Some(labels),
            _ => return None,
        }
    }
}

/// Behind the word ENUM or SET: its labels cannot be told from what the server shows.
const UNTELLABLE: &str = " untellable";

/// A type as OceanBase shows it, in the spelling that [`parse`] reads.
///
/// MySQL and MariaDB double a quote in a label and put a backslash before a few bytes. OceanBase's engine shows labels as
/// they are, in `information_schema` and in SHOW CREATE TABLE alike: what looks like an escape may be one, or two
/// characters. Only a label that is itself `','` looks like two.
pub fn shown_by_oceanbase(text: &str) -> String {
    let of_labels = |word: &str| {
        let begin = text.get(..word.len())?;
        let rest = text.get(word.len()..)?;
        let inner = rest.strip_prefix("('")?.strip_suffix("')")?;
        (begin.eq_ignore_ascii_case(word) && inner.split("','").any(|label| label.contains(['\'', '\\'])))
            .then(|| format!("{word}{UNTELLABLE}{rest}"))
    };
    of_labels("enum")
        .or_else(|| of_labels("set"))
        .unwrap_or_else(|| text.to_owned())
}

/// A character set by MySQL's name; `None` for those that are not decoded: swe7, in which not even ASCII is ASCII.
pub fn charset_of(name: &str) -> Option<Charset> {
    let name = name.to_ascii_lowercase();
    Some(match name.as_str() {
        "utf8mb4" | "utf8mb3" | "utf8" => Charset::Utf8,
        "ascii" => Charset::Ascii,
        "gbk" => Charset::Gbk,
        "gb18030" => Charset::Gb18030,
        "gb18030_2022" => Charset::Gb18030Of2022,
        "gb2312" => Charset::Gb2312,
        "big5" => Charset::Big5,
        "sjis" => Charset::Sjis,
        "cp932" => Charset::Cp932,
        "ujis" => Charset::Ujis,
        "eucjpms" => Charset::EucJpMs,
        "euckr" => Charset::EucKr,
        "utf16" => Charset::Utf16,
        "utf16le" => Charset::Utf16Le,
        "ucs2" => Charset::Ucs2,
        "utf32" => Charset::Utf32,
        name => Charset::SingleByte(single_byte_charset(name)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str, charset: Option<&str>) -> ColumnKind {
        parse(text, charset).unwrap().kind
    }

    /// As the engine of OceanBase 4.3.5 shows them.
    #[test]
    fn i6_labels_that_oceanbase_shows_without_escapes_are_read_or_refused() {
        for text in [
            "enum('x','a,b','é','','(')",
            "set('p','r s')",
            "ENUM('')",
            "int(11)",
            "varchar(3)",
        ] {
            assert_eq!(shown_by_oceanbase(text), text);
            assert!(parse(text, Some("utf8mb4")).is_ok(), "{text}");
        }
        for text in [
            "enum('it's')",
            // One label more than it seems, or a quote.
            "enum('z'',''z')",
            // Read by the other servers' rules these would be other labels, silently.
            r"enum('back\slash')",
            r"set('a','\\')",
            "SET(''')",
        ] {
            let shown = shown_by_oceanbase(text);
            let refusal = parse(&shown, Some("utf8mb4")).unwrap_err();
            assert!(refusal.contains("cannot be told apart"), "{text}: {refusal}");
        }
        assert!(
            parse("enum('z'',''z')", None).is_ok(),
            "the bug where nobody looks"
        );
    }

    #[test]
    fn numbers_keep_width_and_sign() {
        let cases = [
            ("tinyint(4)", 1, false),
            ("tinyint unsigned", 1, true),
            ("smallint(5) unsigned zerofill", 2, true),
            ("mediumint(8)", 3, false),
            ("int", 4, false),
            ("INT(10) unsigned", 4, true),
            ("bigint(20) unsigned", 8, true),
        ];
        for (text, bytes, unsigned) in cases {
            assert_eq!(
                kind(text, None),
                ColumnKind::Integer { bytes, unsigned },
                "{text}"
            );
        }
        assert_eq!(
            kind("decimal(65,30)", None),
            ColumnKind::Decimal {
                precision: 65,
                scale: 30
            }
        );
        assert_eq!(
            kind("decimal(5)", None),
            ColumnKind::Decimal {
                precision: 5,
                scale: 0
            }
        );
        assert_eq!(kind("float(7,3)", None), ColumnKind::Float);
        assert_eq!(kind("double unsigned", None), ColumnKind::Double);
        assert_eq!(kind("bit(64)", None), ColumnKind::Bit { bits: 64 });
    }

    #[test]
    fn times_keep_their_fraction() {
        assert_eq!(kind("datetime", None), ColumnKind::DateTime { digits: 0 });
        assert_eq!(kind("timestamp(6)", None), ColumnKind::Timestamp { digits: 6 });
        assert_eq!(kind("time(2)", None), ColumnKind::Time { digits: 2 });
        assert_eq!(kind("year(4)", None), ColumnKind::Year);
    }

    #[test]
    fn labels_may_hold_anything() {
        let cases: [(&str, &[&str]); 6] = [
            ("enum('a','b')", &["a", "b"]),
            ("enum('')", &[""]),
            ("set('it''s','a,b','(x)')", &["it's", "a,b", "(x)"]),
            (r"enum('a\\b','c\n','\0')", &["a\\b", "c\n", "\0"]),
            ("ENUM('é','中文')", &["é", "中文"]),
            ("enum('x) unsigned')", &["x) unsigned"]),
        ];
        for (text, expected) in cases {
            let (ColumnKind::Enum { labels: found } | ColumnKind::Set { labels: found }) =
                kind(text, Some("utf8mb4"))
            else {
                panic!("{text} has no labels");
            };
            assert_eq!(found, expected, "{text}");
        }
        for text in ["enum(", "enum('a", "enum('a'", "enum(a)", "enum('a';'b')", "enum"] {
            assert!(parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn text_is_told_from_bytes_by_its_charset() {
        assert_eq!(
            kind("varchar(10)", Some("gbk")),
            ColumnKind::Text {
                charset: Charset::Gbk
            }
        );
        assert_eq!(
            kind("longtext", Some("utf8mb4")),
            ColumnKind::Text {
                charset: Charset::Utf8
            }
        );
        assert_eq!(kind("varchar(10)", None), ColumnKind::Binary);
        assert_eq!(kind("varbinary(65000)", None), ColumnKind::Binary);
        assert_eq!(kind("binary(3)", None), ColumnKind::FixedBinary { length: 3 });
        assert_eq!(kind("json", None), ColumnKind::Json);
        assert_eq!(kind("inet6", None), ColumnKind::Inet6);
        assert_eq!(
            kind("time /* mariadb-5.3 */", None),
            ColumnKind::Time { digits: 0 }
        );
        for (text, charset) in [
            ("vector(3)", None),
            ("varchar(10)", Some("swe7")),
            ("", None),
            ("varchar(10) /*M!100301 COMPRESSED*/", Some("utf8mb4")),
            ("datetime(3) /* mariadb-5.3 */", None),
        ] {
            assert!(parse(text, charset).is_err(), "{text}");
        }
    }
}
