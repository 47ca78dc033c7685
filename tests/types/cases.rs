//! The cases: every column type at its boundaries. The matrix relays all of them; those with a label are the rows
//! of `docs/TYPES.md`.

use harness::servers::Kind;
use serde_json::Value;

/// How a column is asked for as text, and how that text compares with the JSON that arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// A JSON number with exactly this text.
    Number,
    /// The shortest JSON number that is this value at single precision.
    Single,
    /// A JSON number of the same value.
    Double,
    /// A JSON number of the stored value, which the server would round to show it.
    Unrounded,
    /// A JSON string.
    Text,
    /// A JSON string; UTC with a `Z`. To be selected in UTC.
    Instant,
    /// A JSON string of base64.
    Base64,
    /// An object of SRID and WKB.
    Geometry,
}

impl Form {
    /// The column as text, by the server.
    pub(super) fn select(self, column: &str) -> String {
        match self {
            Self::Number => format!("CAST({column} + 0 AS CHAR)"),
            // Exactly the value: a FLOAT itself is shown with six digits. CAST to CHAR would drop digits as well.
            Self::Single => format!("CAST({column} AS DOUBLE)"),
            Self::Double => column.to_owned(),
            Self::Unrounded => format!("{column} * 1e0"),
            Self::Text => format!("CONVERT(CAST({column} AS CHAR) USING utf8mb4)"),
            Self::Instant => format!("CONCAT(CAST({column} AS CHAR), 'Z')"),
            Self::Base64 => format!("REPLACE(TO_BASE64({column}), '\\n', '')"),
            // The stored bytes: ST_AsBinary would swap the axes where the reference system says so.
            Self::Geometry => format!(
                "CONCAT(ST_SRID({column}), ' ', REPLACE(TO_BASE64(SUBSTR(CAST({column} AS BINARY), 5)), '\\n', ''))"
            ),
        }
    }

    /// Whether what arrived is what was selected.
    pub(super) fn matches(self, selected: &str, arrived: &Value) -> bool {
        match self {
            Self::Number => arrived.is_number() && text_of(arrived) == selected,
            Self::Single => {
                let double: f64 = selected.parse().expect("a number");
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the column holds single precision"
                )]
                let single = double as f32;
                fraction(arrived).is_some_and(|text| {
                    text.parse::<f32>().map(f32::to_bits) == Ok(single.to_bits())
                        && digits(text) <= digits(&format!("{single:e}"))
                })
            }
            Self::Double | Self::Unrounded => {
                let double: f64 = selected.parse().expect("a number");
                fraction(arrived).is_some_and(|text| {
                    text.parse::<f64>().map(f64::to_bits) == Ok(double.to_bits())
                        && digits(text) <= digits(&format!("{double:e}"))
                })
            }
            Self::Text | Self::Instant | Self::Base64 => arrived == selected,
            Self::Geometry => {
                let (srid, wkb) = selected.split_once(' ').expect("two words");
                text_of(&arrived["srid"]) == srid && arrived["wkb"] == wkb
            }
        }
    }
}

/// What stands in front of a number with a fraction or an exponent where the JSON was read: [`keep_fractions`].
const FRACTION: &str = "number: ";

/// JSON in which numbers with a fraction or an exponent are strings, so that no parser rounds them.
pub(super) fn keep_fractions(json: &str) -> String {
    let mut kept = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let (plain, token) = rest.split_at(at);
        kept.push_str(plain);
        let length = if let Some(string) = token.strip_prefix('"') {
            let mut escaped = false;
            let end = string.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.expect("a string's end") + 2
        } else {
            token
                .find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'))
                .unwrap_or(token.len())
        };
        let (token, behind) = token.split_at(length);
        if !token.starts_with('"') && token.contains(['.', 'e', 'E']) {
            kept.push_str(&format!("\"{FRACTION}{token}\""));
        } else {
            kept.push_str(token);
        }
        rest = behind;
    }
    kept + rest
}

/// The text of a number that [`keep_fractions`] kept.
pub(super) fn fraction(arrived: &Value) -> Option<&str> {
    arrived.as_str()?.strip_prefix(FRACTION)
}

fn text_of(number: &Value) -> String {
    number.to_string()
}

/// Significant digits of a number's text.
fn digits(number: &str) -> usize {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').len()
}

/// A column and the values to put into it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// As `CREATE TABLE` has it.
    pub(super) definition: String,
    pub(super) form: Form,
    /// SQL expressions; NULL comes by itself.
    pub(super) values: Vec<String>,
    /// The type's name in the documentation, where the first value is the example.
    pub(super) label: Option<&'static str>,
}

impl Case {
    pub(super) fn new(definition: impl Into<String>, form: Form, values: &[&str]) -> Self {
        Self {
            definition: definition.into(),
            form,
            values: values.iter().map(|&value| value.to_owned()).collect(),
            label: None,
        }
    }

    fn shown(mut self, label: &'static str) -> Self {
        self.label = Some(label);
        self
    }

    /// Whether the server computes it, so that nothing can be inserted.
    pub(super) fn is_generated(&self) -> bool {
        self.definition.contains(" AS (")
    }
}

/// The cases of a server.
pub(super) fn of(kind: Kind) -> Vec<Case> {
    let mut cases = numbers();
    cases.extend(decimals(kind));
    cases.extend(bits());
    cases.extend(times());
    cases.extend(texts());
    cases.extend(bytes());
    cases.extend(labels());
    cases.extend(geometries());
    cases.extend(computed());
    cases.extend(match kind {
        Kind::MySql => mysql(),
        Kind::MariaDb => mariadb(),
        Kind::Seekdb => Vec::new(),
    });
    cases
}

fn numbers() -> Vec<Case> {
    use Form::{Double, Number, Single, Unrounded};
    let case = Case::new;
    vec![
        case("TINYINT", Number, &["-128", "127", "0", "-1"]).shown("TINYINT"),
        case("BOOL", Number, &["TRUE", "FALSE", "2"]).shown("BOOL (TINYINT(1))"),
        case("TINYINT UNSIGNED", Number, &["255", "0", "128"]),
        case("SMALLINT", Number, &["-32768", "32767", "-1"]).shown("SMALLINT"),
        case("SMALLINT UNSIGNED ZEROFILL", Number, &["65535", "0", "7"]),
        case("MEDIUMINT", Number, &["-8388608", "8388607", "-1", "0"]).shown("MEDIUMINT"),
        case("MEDIUMINT UNSIGNED", Number, &["16777215", "0", "8388608"]),
        case("INT", Number, &["-2147483648", "2147483647", "-1"]).shown("INT"),
        case("INT UNSIGNED", Number, &["4294967295", "0", "2147483648"]).shown("INT UNSIGNED"),
        case(
            "BIGINT",
            Number,
            &["9223372036854775807", "-9223372036854775808", "-1"],
        )
        .shown("BIGINT"),
        case(
            "BIGINT UNSIGNED",
            Number,
            &["18446744073709551615", "0", "9223372036854775808"],
        )
        .shown("BIGINT UNSIGNED"),
        case(
            "FLOAT",
            Single,
            &[
                "0.1",
                "-3.4028234e38",
                "1.17549435e-38",
                "1e-45",
                "16777217",
                "-0e0",
                "3.3333333",
                "1e10",
                "123456.7",
            ],
        )
        .shown("FLOAT"),
        case("FLOAT UNSIGNED", Single, &["3.4028234e38", "0"]),
        case("FLOAT(30)", Double, &["0.1"]),
        case(
            "DOUBLE",
            Double,
            &[
                "0.1",
                "-1.7976931348623157e308",
                "2.2250738585072014e-308",
                "4.9406564584124654e-324",
                "1.2345678901234567e-310",
                "-0e0",
                "1e15",
                "1e16",
                "9007199254740993",
                "0.30000000000000004",
                "123456789.12345679",
            ],
        )
        .shown("DOUBLE"),
        case("DOUBLE(20,3)", Unrounded, &["1234.5678", "-0.001"]),
    ]
}

/// Every number of digits in the ragged group on either side of the point, and the widest.
fn decimals(kind: Kind) -> Vec<Case> {
    let mut widths: Vec<(usize, usize)> = (0..=18)
        .flat_map(|whole| (0..=18).map(move |scale| (whole, scale)))
        .filter(|(whole, scale)| whole + scale > 0)
        .collect();
    widths.extend([(65, 0), (35, 30), (0, 30), (27, 27), (64, 1)]);
    if kind == Kind::MariaDb {
        widths.extend([(27, 38), (0, 38)]);
    }
    let mut cases: Vec<Case> = widths
        .into_iter()
        .map(|(whole, scale)| decimal(whole, scale))
        .collect();
    let shown = ["-12.50", "99999999.99", "0", "-0.01"];
    cases.push(Case::new("DECIMAL(10,2)", Form::Text, &shown).shown("DECIMAL(p,s), NUMERIC"));
    cases
}

fn decimal(whole: usize, scale: usize) -> Case {
    let digits: String = "1029384756".chars().cycle().take(whole + scale).collect();
    let sparse: String = (0..whole + scale)
        .map(|n| if n % 10 == 9 { '5' } else { '0' })
        .collect();
    let number = |digits: &str| {
        let (whole, fraction) = digits.split_at(whole);
        match fraction {
            "" => whole.to_owned(),
            fraction => format!("{}.{fraction}", if whole.is_empty() { "0" } else { whole }),
        }
    };
    let nines = number(&"9".repeat(whole + scale));
    let last = number(&format!("{}1", "0".repeat(whole + scale - 1)));
    let (digits, sparse) = (number(&digits), number(&sparse));
    let values = [
        nines.clone(),
        format!("-{nines}"),
        digits.clone(),
        format!("-{digits}"),
        sparse.clone(),
        format!("-{sparse}"),
        last.clone(),
        format!("-{last}"),
        "0".to_owned(),
        "-0.0".to_owned(),
    ];
    Case {
        definition: format!("DECIMAL({},{scale})", whole + scale),
        form: Form::Text,
        values: values.into(),
        label: None,
    }
}

fn bits() -> Vec<Case> {
    let bit = |bits: u32| {
        let all = u64::MAX >> (64 - bits);
        let values = [all, 0, 1, all & 0x5555_5555_5555_5555, 1 << (bits - 1)].map(|value| value.to_string());
        Case {
            definition: format!("BIT({bits})"),
            form: Form::Number,
            values: values.into(),
            label: (bits == 64).then_some("BIT(n)"),
        }
    };
    (1..=64).map(bit).collect()
}

fn times() -> Vec<Case> {
    use Form::{Instant, Number, Text};
    let mut cases = vec![
        Case::new(
            "DATE",
            Text,
            &[
                "'2024-02-29'",
                "'0000-00-00'",
                "'9999-12-31'",
                "'1000-01-01'",
                "'2024-00-00'",
                "'2024-02-31'",
                "'0001-01-01'",
            ],
        )
        .shown("DATE"),
        Case::new("YEAR", Number, &["2155", "0", "1901", "1970", "2000", "'00'"]).shown("YEAR"),
    ];
    for digits in 0..=6 {
        let fraction = |text: &str| match digits {
            0 => String::new(),
            digits => format!(".{}", text.get(..digits).expect("enough digits")),
        };
        let most = fraction("999999");
        let one = fraction(&format!("{}1", "0".repeat(digits.saturating_sub(1))));
        let half = fraction("500000");
        let some = fraction("123456");
        let with = |name: &str| match digits {
            0 => name.to_owned(),
            digits => format!("{name}({digits})"),
        };
        cases.push(Case {
            definition: with("DATETIME"),
            form: Text,
            values: vec![
                format!("'2024-02-29 13:14:15{some}'"),
                format!("'9999-12-31 23:59:59{most}'"),
                "'0000-00-00 00:00:00'".to_owned(),
                format!("'1000-01-01 00:00:00{one}'"),
                format!("'2024-02-31 02:30:00{half}'"),
                "'2024-00-00 00:00:00'".to_owned(),
            ],
            label: match digits {
                0 => Some("DATETIME"),
                3 => Some("DATETIME(3)"),
                _ => None,
            },
        });
        cases.push(Case {
            definition: with("TIMESTAMP") + " NULL",
            form: Instant,
            values: vec![
                format!("'2024-02-29 13:14:15{some}'"),
                format!("'2038-01-19 03:14:07{most}'"),
                "'0000-00-00 00:00:00'".to_owned(),
                format!("'1970-01-01 00:00:01{one}'"),
                format!("'2000-02-29 23:59:59{half}'"),
            ],
            label: match digits {
                0 => Some("TIMESTAMP"),
                6 => Some("TIMESTAMP(6)"),
                _ => None,
            },
        });
        let mut values = vec![format!("'-12:34:56{some}'")];
        for text in [
            format!("12:34:56{some}"),
            format!("00:00:00{one}"),
            format!("00:00:00{most}"),
            format!("838:59:58{most}"),
            "838:59:59".to_owned(),
            format!("01:00:00{half}"),
            format!("100:00:00{one}"),
            "00:00:01".to_owned(),
            "00:00:00".to_owned(),
        ] {
            values.push(format!("'{text}'"));
            values.push(format!("'-{text}'"));
        }
        cases.push(Case {
            definition: with("TIME"),
            form: Text,
            values,
            label: match digits {
                0 => Some("TIME"),
                2 => Some("TIME(2)"),
                _ => None,
            },
        });
    }
    cases
}

fn texts() -> Vec<Case> {
    use Form::Text;
    let case = Case::new;
    vec![
        case(
            "CHAR(10)",
            Text,
            &[
                "'héllo'",
                "''",
                "'😀\"\\\\\\n\\t'",
                "'a\\0b'",
                "'trailing  '",
                "'  leading'",
            ],
        )
        .shown("CHAR(n)"),
        case(
            "CHAR(255)",
            Text,
            &["REPEAT('长', 255)", "REPEAT('😀', 255)", "' '"],
        ),
        case(
            "VARCHAR(300)",
            Text,
            &[
                "'it is \"ok\" 中文'",
                "REPEAT('长', 300)",
                "''",
                "' pad '",
                "REPEAT('a', 255)",
                "REPEAT('a', 256)",
            ],
        )
        .shown("VARCHAR(n)"),
        case("VARCHAR(63)", Text, &["REPEAT('😀', 63)", "''"]),
        case("VARCHAR(64)", Text, &["REPEAT('😀', 64)", "'x'"]),
        case("TINYTEXT", Text, &["REPEAT('a', 255)", "''"]),
        case(
            "TEXT",
            Text,
            &[
                "'long text'",
                "REPEAT('a', 255)",
                "REPEAT('a', 256)",
                "REPEAT('\\\\', 65535)",
                "''",
            ],
        )
        .shown("TINYTEXT … LONGTEXT"),
        case(
            "MEDIUMTEXT",
            Text,
            &["REPEAT('é', 32768)", "REPEAT('a', 65536)", "''"],
        ),
        case(
            "LONGTEXT",
            Text,
            &["REPEAT('\\n', 70000)", "''", "REPEAT('b', 65535)"],
        ),
        case("CHAR(0)", Text, &["''"]),
    ]
}

fn bytes() -> Vec<Case> {
    use Form::Base64;
    let case = Case::new;
    vec![
        case(
            "BINARY(5)",
            Base64,
            &[
                "x'0100'",
                "x'0000000000'",
                "'abcde'",
                "''",
                "x'FFFFFFFFFF'",
                "x'0000000001'",
            ],
        )
        .shown("BINARY(n)"),
        case("BINARY(255)", Base64, &["x'FF'", "REPEAT(x'00FF', 127)", "''"]),
        case(
            "VARBINARY(300)",
            Base64,
            &[
                "x'00FF00'",
                "''",
                "REPEAT(x'00', 255)",
                "REPEAT(x'01', 256)",
                "'a  '",
            ],
        )
        .shown("VARBINARY(n)"),
        case("TINYBLOB", Base64, &["REPEAT(x'00FE', 127)", "''"]),
        case(
            "BLOB",
            Base64,
            &[
                "x'DEADBEEF'",
                "REPEAT(x'00FE', 500)",
                "''",
                "REPEAT(x'FF', 255)",
                "REPEAT(x'FF', 256)",
                "REPEAT(x'00', 65535)",
            ],
        )
        .shown("TINYBLOB … LONGBLOB"),
        case("MEDIUMBLOB", Base64, &["REPEAT(x'A5', 65536)", "''"]),
        case("LONGBLOB", Base64, &["REPEAT(x'01', 70000)", "''"]),
        case("CHAR(4) CHARACTER SET binary", Base64, &["x'0100'", "'ab'"]),
        case("VARCHAR(9) CHARACTER SET binary", Base64, &["x'0100'", "'ab '"]),
    ]
}

fn labels() -> Vec<Case> {
    use Form::Text;
    let numbered = |prefix: &str, count: usize| {
        let labels: Vec<String> = (0..count).map(|n| format!("'{prefix}{n}'")).collect();
        labels.join(",")
    };
    let enumeration =
        |count: usize, values: &[&str]| Case::new(format!("ENUM({})", numbered("e", count)), Text, values);
    let mut cases = vec![
        Case::new(
            "ENUM('small','b,c','it''s','\u{e9}中','back\\\\slash','\"q\"','')",
            Text,
            &[
                "'small'",
                "'b,c'",
                "'it''s'",
                "'\u{e9}中'",
                "'back\\\\slash'",
                "'\"q\"'",
                "7",
                "0",
                "'no such label'",
            ],
        )
        .shown("ENUM"),
        enumeration(255, &["'e0'", "'e254'", "0"]),
        enumeration(256, &["'e0'", "'e255'", "0"]),
        enumeration(3000, &["'e0'", "'e2999'", "'e256'"]),
        Case::new(
            "ENUM('中','文\u{4e5e}','it''s') CHARACTER SET gbk",
            Text,
            &["'中'", "2", "3", "0"],
        ),
        Case::new(
            "SET('x','y','z w','it''s','\u{e9}')",
            Text,
            &["'x,z w'", "''", "'y'", "'it''s,\u{e9}'", "31"],
        )
        .shown("SET"),
        Case::new("SET('中','文') CHARACTER SET gbk", Text, &["3", "''"]),
    ];
    for members in [1, 7, 8, 9, 16, 17, 24, 25, 32, 33, 40, 48, 56, 63, 64] {
        let all = u64::MAX >> (64 - members);
        let values =
            [all, 0, 1, all & 0xaaaa_aaaa_aaaa_aaaa, 1 << (members - 1)].map(|bits| bits.to_string());
        cases.push(Case {
            definition: format!("SET({})", numbered("m", members)),
            form: Text,
            values: values.into(),
            label: None,
        });
    }
    cases
}

fn geometries() -> Vec<Case> {
    use Form::Geometry;
    let shapes = [
        ("POINT", "POINT(1 2)"),
        ("LINESTRING", "LINESTRING(0 0,1 1,2 -2)"),
        ("POLYGON", "POLYGON((0 0,4 0,4 4,0 4,0 0),(1 1,2 1,2 2,1 1))"),
        ("MULTIPOINT", "MULTIPOINT(1 2,3 4)"),
        ("MULTILINESTRING", "MULTILINESTRING((0 0,1 1),(2 2,3 3))"),
        (
            "MULTIPOLYGON",
            "MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))",
        ),
        (
            "GEOMETRYCOLLECTION",
            "GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))",
        ),
    ];
    let value = |(_, text): &(&str, &str), srid: u32| format!("ST_GeomFromText('{text}', {srid})");
    let mut cases: Vec<Case> = shapes
        .iter()
        .map(|shape| Case {
            definition: shape.0.to_owned(),
            form: Geometry,
            values: vec![value(shape, 0), value(shape, 4326)],
            label: None,
        })
        .collect();
    cases.push(Case {
        definition: "GEOMETRY".to_owned(),
        form: Geometry,
        values: shapes
            .iter()
            .flat_map(|shape| [0, 4326, 3857].map(|srid| value(shape, srid)))
            .collect(),
        label: Some("GEOMETRY, POINT …"),
    });
    cases
}

fn computed() -> Vec<Case> {
    vec![
        Case::new("INT GENERATED ALWAYS AS (id * 2) VIRTUAL", Form::Number, &[]),
        Case::new(
            "VARCHAR(40) GENERATED ALWAYS AS (CONCAT('row ', id, ' é')) STORED",
            Form::Text,
            &[],
        ),
        Case::new(
            "DECIMAL(12,2) GENERATED ALWAYS AS (id / 7) VIRTUAL",
            Form::Text,
            &[],
        ),
        Case::new("INT INVISIBLE", Form::Number, &["-1", "42"]),
    ]
}

fn mysql() -> Vec<Case> {
    let members: Vec<String> = (0..9000)
        .map(|n| format!("\"key{n}\": \"value number {n}\""))
        .collect();
    let large = format!("{{{}}}", members.join(", "));
    let numbers: Vec<String> = (0..20_000).map(|n| (n * 7919 - 5_000_000).to_string()).collect();
    let mut json = Case::new(
        "JSON",
        Form::Text,
        &[
            r#"'{"id": 7, "tags": ["a", null]}'"#,
            r#"'{"b": [1, -2, 3.5, true, false, null, "x\\"y"], "a": {}, "aa": 18446744073709551615, "": 0}'"#,
            "'null'",
            "'true'",
            "'\"text\"'",
            "'[]'",
            "'{}'",
            "'0'",
            "'-32768'",
            "'32768'",
            "'65535'",
            "'65536'",
            "'-2147483649'",
            "'2147483648'",
            "'4294967295'",
            "'9223372036854775807'",
            "'-9223372036854775808'",
            "'18446744073709551615'",
            "'[0, -1, 1, 32767, -32768, 65535, 2147483647, -2147483648, 4294967295]'",
            "'[1e15, 1e16, 1e17, 1.5e300, 5e-324, -0.0, 1e22, 123456789012345678, 0.1, 1e-5, 1e-15, 1.25e-7, 100.0, -2122671550523651.5, 1234567890123456.0]'",
            "'[12345678901234567890123, -12345678901234567890123, 0.30000000000000004]'",
            "CAST(1.10 AS JSON)",
            "JSON_OBJECT('d', CAST('2024-01-02' AS DATE), 't', CAST('-01:02:03.5' AS TIME(1)), 'dt', \
             CAST('2024-01-02 03:04:05.678' AS DATETIME(3)), 'y', CAST(2024 AS YEAR))",
            "JSON_ARRAY(CAST('-838:59:59' AS TIME), CAST('9999-12-31' AS DATE), TIMESTAMP'2024-01-02 03:04:05.000001')",
            "JSON_ARRAY(CAST(12345678901234567890.123 AS DECIMAL(30,3)), CAST(-0.05 AS DECIMAL(5,2)), 1e100, 0.1, '')",
            "JSON_ARRAY(x'00FF', b'101', CAST(REPEAT('blob', 50) AS BINARY))",
            "JSON_ARRAY(ST_GeomFromText('POINT(1 2)'))",
            r#"'{"\\u4e2d\\u6587": "\\ud83d\\ude00 \\u0000\\u001f \\b\\f\\n\\r\\t \\/"}'"#,
            "JSON_ARRAY(REPEAT('s', 127), REPEAT('s', 128), REPEAT('s', 16384), REPEAT('é', 40000))",
        ],
    )
    .shown("JSON (MySQL)");
    json.values
        .push(format!("'{}1{}'", "[".repeat(99), "]".repeat(99)));
    json.values
        .push(format!("'{}1{}'", "{\"k\": ".repeat(99), "}".repeat(99)));
    json.values.push(format!("'{large}'"));
    json.values.push(format!("'[{}]'", numbers.join(",")));
    json.values
        .push(format!("'{{\"inner\": {large}, \"after\": [1, {{\"x\": []}}]}}'"));
    vec![json]
}

fn mariadb() -> Vec<Case> {
    use Form::Text;
    let case = Case::new;
    vec![
        case(
            "JSON",
            Text,
            &[r#"'{"b": 1,   "a": [true]}'"#, "'[]'", "'  1e5 '"],
        )
        .shown("JSON (MariaDB)"),
        case(
            "UUID",
            Text,
            &[
                "'123e4567-e89b-12d3-a456-426655440000'",
                "'00000000-0000-0000-0000-000000000000'",
                "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
                "'00000000-0000-0000-0000-000000000001'",
                "'6ccd780c-baba-1026-9564-5b8c656024db'",
                "'01900000-0000-7000-8000-000000000000'",
                "'f81d4fae-7dec-4d0e-a765-00a0c91e6b00'",
                "'00000000-0000-1000-8000-000000000000'",
            ],
        )
        .shown("UUID (MariaDB)"),
        case(
            "INET4",
            Text,
            &["'192.168.0.255'", "'0.0.0.0'", "'255.255.255.255'", "'10.0.0.0'"],
        )
        .shown("INET4 (MariaDB)"),
        case(
            "INET6",
            Text,
            &[
                "'2001:db8::ff00:42:8329'",
                "'::1'",
                "'::'",
                "'::ffff:192.0.2.1'",
                "'::192.0.2.1'",
                "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'",
                "'1:0:0:2:0:0:0:3'",
                "'fe80::'",
                "'1:0:2:3:4:5:6:7'",
            ],
        )
        .shown("INET6 (MariaDB)"),
    ]
}
