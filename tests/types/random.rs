//! Random tables, random rows, random changes: what was relayed, applied, is what `SELECT` says.
//!
//! Runs `TYPES_SECONDS` (60) on both servers at once, from a seed that it prints; `TYPES_SEED` runs it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;
use harness::servers::{Kind, Options, Server};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::Value;
use tokio::time::Instant;

use super::arrivals::{Relay, differences, selected};
use super::cases::Form;

const CHARSETS: [&str; 22] = [
    "utf8mb4", "utf8mb3", "ascii", "latin1", "latin2", "latin5", "cp1251", "greek", "koi8r", "tis620", "gbk",
    "gb2312", "big5", "sjis", "cp932", "ujis", "eucjpms", "euckr", "utf16", "utf16le", "utf32", "ucs2",
];

/// Letters that some of the sets have, and some have not: those become question marks before they are stored.
const LETTERS: &str = "abcXYZ 019'\"\\%_~é€ñßøžĐЖщяΩλกขשא中文測試简日本語カナﾊ한국어①～〜—‖￠😀𠀀\t\n\u{a0}";

/// A random column: how to declare it, how to compare it, and how to fill it.
#[derive(Clone, Debug)]
struct Column {
    definition: String,
    form: Form,
    fill: Fill,
    nullable: bool,
}

#[derive(Clone, Debug)]
enum Fill {
    Integer { bits: u32, unsigned: bool },
    Decimal { whole: usize, scale: usize },
    Float,
    Double,
    Bit(u32),
    Date,
    DateTime(usize),
    Timestamp(usize),
    Time(usize),
    Year,
    Text(usize),
    Bytes(usize),
    Enum(usize),
    Set(u32),
    Json,
    Geometry,
    Uuid,
    Inet6,
}

fn column(rng: &mut Rng, kind: Kind) -> Column {
    let fraction = rng.usize(0..=6);
    let sized = |name: &str, fraction: usize| match fraction {
        0 => name.to_owned(),
        digits => format!("{name}({digits})"),
    };
    let (definition, form, fill) = match rng.u32(0..19) {
        0..=2 => {
            let types = [
                ("TINYINT", 8),
                ("SMALLINT", 16),
                ("MEDIUMINT", 24),
                ("INT", 32),
                ("BIGINT", 64),
            ];
            let (name, bits) = types[rng.usize(..types.len())];
            let unsigned = rng.bool();
            let sign = if unsigned { " UNSIGNED" } else { "" };
            (
                format!("{name}{sign}"),
                Form::Number,
                Fill::Integer { bits, unsigned },
            )
        }
        3 => {
            let (whole, scale) = (rng.usize(0..=35), rng.usize(0..=30));
            let whole = whole.max(usize::from(scale == 0));
            (
                format!("DECIMAL({},{scale})", whole + scale),
                Form::Text,
                Fill::Decimal { whole, scale },
            )
        }
        4 => ("FLOAT".to_owned(), Form::Single, Fill::Float),
        5 => ("DOUBLE".to_owned(), Form::Double, Fill::Double),
        6 => {
            let bits = rng.u32(1..=64);
            (format!("BIT({bits})"), Form::Number, Fill::Bit(bits))
        }
        7 => ("DATE".to_owned(), Form::Text, Fill::Date),
        8 => (sized("DATETIME", fraction), Form::Text, Fill::DateTime(fraction)),
        9 => (
            sized("TIMESTAMP", fraction) + " NULL",
            Form::Instant,
            Fill::Timestamp(fraction),
        ),
        10 => (sized("TIME", fraction), Form::Text, Fill::Time(fraction)),
        11 => ("YEAR".to_owned(), Form::Number, Fill::Year),
        12 | 13 => {
            let charset = CHARSETS[rng.usize(..CHARSETS.len())];
            let length = rng.usize(1..=90);
            let name = match rng.u32(0..4) {
                0 => format!("CHAR({length})"),
                1 => "TEXT".to_owned(),
                2 => "MEDIUMTEXT".to_owned(),
                _ => format!("VARCHAR({length})"),
            };
            (
                format!("{name} CHARACTER SET {charset}"),
                Form::Text,
                Fill::Text(length),
            )
        }
        14 => {
            let length = rng.usize(1..=255);
            let name = match rng.u32(0..4) {
                0 => format!("BINARY({length})"),
                1 => "BLOB".to_owned(),
                2 => "LONGBLOB".to_owned(),
                _ => format!("VARBINARY({length})"),
            };
            (name, Form::Base64, Fill::Bytes(length))
        }
        15 => {
            let labels = [1, 3, 255, 256, 400][rng.usize(..5)];
            let list: Vec<String> = (0..labels).map(|n| format!("'ß{n},'''")).collect();
            (
                format!("ENUM({})", list.join(",")),
                Form::Text,
                Fill::Enum(labels),
            )
        }
        16 => {
            let members = rng.u32(1..=64);
            let list: Vec<String> = (0..members).map(|n| format!("'中{n}'")).collect();
            (format!("SET({})", list.join(",")), Form::Text, Fill::Set(members))
        }
        17 => ("JSON".to_owned(), Form::Text, Fill::Json),
        _ => match (kind, rng.u32(0..3)) {
            (Kind::MariaDb, 0) => ("UUID".to_owned(), Form::Text, Fill::Uuid),
            (Kind::MariaDb, 1) => ("INET6".to_owned(), Form::Text, Fill::Inet6),
            _ => ("GEOMETRY".to_owned(), Form::Geometry, Fill::Geometry),
        },
    };
    let nullable = definition.ends_with("NULL") || rng.u32(0..3) > 0;
    Column {
        definition: if nullable {
            definition
        } else {
            definition + " NOT NULL"
        },
        form,
        fill,
        nullable,
    }
}

impl Column {
    /// A value as SQL has it.
    fn value(&self, rng: &mut Rng) -> String {
        if self.nullable && rng.u32(0..5) == 0 {
            return "NULL".to_owned();
        }
        self.fill.value(rng)
    }

    /// Whether it can be a part of a key as it is.
    fn can_be_key(&self) -> bool {
        let indexable = matches!(
            self.fill,
            Fill::Integer { .. }
                | Fill::Decimal { .. }
                | Fill::Date
                | Fill::DateTime(_)
                | Fill::Time(_)
                | Fill::Enum(_)
                | Fill::Uuid
        );
        let short = matches!(self.fill, Fill::Text(_)) && self.definition.contains("CHAR(");
        !self.nullable && (indexable || short)
    }
}

impl Fill {
    fn value(&self, rng: &mut Rng) -> String {
        match *self {
            Self::Integer { bits, unsigned } => {
                let any = rng.u64(..) >> (64 - bits) >> rng.u32(0..bits);
                let top = u64::MAX >> (64 - bits);
                match (unsigned, rng.u32(0..8)) {
                    (true, 0) => top.to_string(),
                    (false, 0) => (top >> 1).to_string(),
                    (false, 1) => (-i128::from(top >> 1) - 1).to_string(),
                    (true, _) => any.to_string(),
                    (false, n) if n % 2 == 0 => (any >> 1).to_string(),
                    (false, _) => format!("-{}", any >> 1),
                }
            }
            Self::Decimal { whole, scale } => {
                let mut digits = |count: usize| -> String {
                    let zeros = rng.usize(0..=count);
                    (0..count)
                        .map(|n| if n < zeros { '0' } else { rng.digit(10) })
                        .collect()
                };
                let (whole, fraction) = (digits(whole), digits(scale));
                format!("{}{whole}.{fraction}0", if rng.bool() { "-" } else { "" })
            }
            Self::Float => loop {
                let number = f32::from_bits(rng.u32(..));
                if number.is_finite() {
                    break format!("{number:e}");
                }
            },
            Self::Double => loop {
                let number = f64::from_bits(rng.u64(..));
                if number.is_finite() {
                    break format!("{number:e}");
                }
            },
            Self::Bit(bits) => (rng.u64(..) >> (64 - bits)).to_string(),
            Self::Date => format!("'{}'", date(rng)),
            Self::DateTime(digits) => format!("'{} {}{}'", date(rng), clock(rng, 24), fraction(rng, digits)),
            Self::Timestamp(digits) => {
                let moment = format!(
                    "FROM_UNIXTIME({}{})",
                    rng.u32(1..2_147_483_647),
                    fraction(rng, digits)
                );
                if rng.u32(0..10) == 0 {
                    "'0000-00-00 00:00:00'".to_owned()
                } else {
                    moment
                }
            }
            Self::Time(digits) => {
                let sign = if rng.bool() { "-" } else { "" };
                format!("'{sign}{}{}'", clock(rng, 838), fraction(rng, digits))
            }
            Self::Year => if rng.u32(0..6) == 0 {
                0
            } else {
                rng.u32(1901..=2155)
            }
            .to_string(),
            Self::Text(length) => {
                let letters: Vec<char> = LETTERS.chars().collect();
                let text: String = (0..rng.usize(0..=length))
                    .map(|_| letters[rng.usize(..letters.len())])
                    .collect();
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
            }
            Self::Bytes(length) => {
                let mut hex = String::from("x'");
                for _ in 0..rng.usize(0..=length) {
                    let byte = if rng.u32(0..3) == 0 { 0 } else { rng.u8(..) };
                    write!(hex, "{byte:02x}").expect("a string");
                }
                hex + "'"
            }
            Self::Enum(labels) => rng.usize(1..=labels).to_string(),
            Self::Set(members) => (rng.u64(..) & rng.u64(..) & (u64::MAX >> (64 - members))).to_string(),
            Self::Json => {
                let text = json(rng, 4);
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
            }
            Self::Geometry => {
                let srid = [0, 4326, 3857][rng.usize(0..3)];
                format!(
                    "ST_GeomFromText('POINT({} {})', {srid})",
                    rng.i32(-80..80),
                    rng.f64()
                )
            }
            Self::Uuid => {
                let bits = rng.u128(..);
                // Versions that are stored in two different orders, and what is none at all.
                let bits = match rng.u128(0..9) {
                    0 => bits,
                    version => bits & !(0xf << 76) & !(3 << 62) | version << 76 | 2 << 62,
                };
                // The server reads it without its dashes as well.
                format!("'{bits:032x}'")
            }
            Self::Inet6 => {
                let words: Vec<String> = (0..8)
                    .map(|_| {
                        if rng.bool() {
                            "0".to_owned()
                        } else {
                            format!("{:x}", rng.u16(..))
                        }
                    })
                    .collect();
                format!("'{}'", words.join(":"))
            }
        }
    }
}

fn date(rng: &mut Rng) -> String {
    match rng.u32(0..10) {
        0 => "0000-00-00".to_owned(),
        1 => format!("{:04}-{:02}-00", rng.u32(0..=9999), rng.u32(0..=12)),
        _ => format!(
            "{:04}-{:02}-{:02}",
            rng.u32(1..=9999),
            rng.u32(1..=12),
            rng.u32(1..=31)
        ),
    }
}

fn clock(rng: &mut Rng, hours: u32) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        rng.u32(0..hours),
        rng.u32(0..60),
        rng.u32(0..60)
    )
}

fn fraction(rng: &mut Rng, digits: usize) -> String {
    match digits {
        0 => String::new(),
        digits => (0..digits).fold(".".to_owned(), |text, _| text + &rng.u32(0..10).to_string()),
    }
}

/// A document that is written as both servers would show it is not needed: `SELECT` says how it looks.
fn json(rng: &mut Rng, depth: u32) -> String {
    match rng.u32(0..if depth == 0 { 7 } else { 9 }) {
        0 => "null".to_owned(),
        1 => rng.bool().to_string(),
        2 => rng.i64(..).to_string(),
        3 => (rng.u64(..) >> rng.u32(0..64)).to_string(),
        4 => loop {
            let number = f64::from_bits(rng.u64(..));
            if number.is_finite() {
                break format!("{number:e}");
            }
        },
        // Around the exponents at which the server changes to another form.
        5 if rng.bool() => {
            let digits = rng.u64(1..99_999_999_999_999_999) >> rng.u32(0..50);
            format!("{digits}.{}e{}", rng.u32(0..9), rng.i32(-40..10))
        }
        5 => format!("{}.{}", rng.i32(-9999..9999), rng.u32(0..9999)),
        6 => serde_json::to_string(
            &LETTERS
                .chars()
                .skip(rng.usize(0..50))
                .take(rng.usize(0..9))
                .collect::<String>(),
        )
        .expect("a string"),
        7 => {
            let all: Vec<String> = (0..rng.usize(0..6)).map(|_| json(rng, depth - 1)).collect();
            format!("[{}]", all.join(", "))
        }
        _ => {
            let all: Vec<String> = (0..rng.usize(0..6))
                .map(|n| format!("\"k{}{n}\": {}", "é".repeat(n % 3), json(rng, depth - 1)))
                .collect();
            format!("{{{}}}", all.join(", "))
        }
    }
}

/// A table, what was relayed of it, and how many changes that were.
struct Table {
    name: String,
    columns: Vec<Column>,
    relayed: BTreeMap<u64, Value>,
    changes: usize,
}

impl Table {
    async fn create(conn: &mut Conn, rng: &mut Rng, kind: Kind, name: String) -> Self {
        let columns: Vec<Column> = (0..rng.usize(1..25)).map(|_| column(rng, kind)).collect();
        let list: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(n, column)| format!("c{n} {}", column.definition))
            .collect();
        let parts: Vec<String> = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.can_be_key())
            .map(|(n, _)| format!("c{n}"))
            .collect();
        let key = match rng.u32(0..4) {
            0 => ", UNIQUE (id)".to_owned(),
            1 if !parts.is_empty() => format!(
                ", UNIQUE (id), PRIMARY KEY ({}, id)",
                parts[..parts.len().min(3)].join(", ")
            ),
            _ => ", PRIMARY KEY (id)".to_owned(),
        };
        let create = format!(
            "CREATE TABLE {name} ({}, id INT{key}) CHARACTER SET utf8mb4",
            list.join(", ")
        );
        conn.query_drop(&create)
            .await
            .unwrap_or_else(|error| panic!("{error}: {create}"));
        Self {
            name,
            columns,
            relayed: BTreeMap::new(),
            changes: 0,
        }
    }

    /// Inserts, updates and deletes; a statement that the server refuses (a key that is there) changes nothing.
    async fn change(&self, conn: &mut Conn, rng: &mut Rng, ids: &mut u64) {
        let there = rng.u64(0..=*ids);
        let statement = match rng.u32(0..10) {
            0..=5 => {
                let rows: Vec<String> = (0..rng.usize(1..6))
                    .map(|_| {
                        *ids += 1;
                        let values: Vec<String> =
                            self.columns.iter().map(|column| column.value(rng)).collect();
                        format!("({}, {ids})", values.join(", "))
                    })
                    .collect();
                format!("INSERT IGNORE INTO {} VALUES {}", self.name, rows.join(", "))
            }
            6 | 7 => {
                let mut sets = Vec::new();
                for (n, column) in self.columns.iter().enumerate() {
                    if rng.u32(0..3) == 0 {
                        sets.push(format!("c{n} = {}", column.value(rng)));
                    }
                }
                if sets.is_empty() {
                    sets.push("id = id".to_owned());
                }
                format!(
                    "UPDATE IGNORE {} SET {} WHERE id BETWEEN {there} AND {}",
                    self.name,
                    sets.join(", "),
                    there + 3
                )
            }
            8 => {
                *ids += 1;
                format!("UPDATE IGNORE {} SET id = {ids} WHERE id = {there}", self.name)
            }
            _ => format!("DELETE FROM {} WHERE id = {there}", self.name),
        };
        conn.query_drop(&statement)
            .await
            .unwrap_or_else(|error| panic!("{error}: {statement:.2000}"));
    }

    /// Applies one envelope; what it says was there has to be there.
    fn apply(&mut self, envelope: &Value) {
        let id = |image: &str| envelope[image]["id"].as_u64();
        if let Some(id) = id("before") {
            assert_eq!(
                self.relayed.remove(&id).as_ref(),
                Some(&envelope["before"]),
                "{} before {id}",
                self.name
            );
        }
        if let Some(id) = id("after") {
            let replaced = self.relayed.insert(id, envelope["after"].clone());
            assert_eq!(replaced, None, "{} after {id}", self.name);
        }
        self.changes += 1;
    }
}

/// Tables come and go until the time is over; returns how many changes were compared.
async fn relay_at_random(kind: Kind, seed: u64, time: Duration) -> (usize, usize) {
    let mut rng = Rng::with_seed(seed);
    let level = match kind {
        Kind::MySql => ["MINIMAL", "FULL"][rng.usize(0..2)],
        Kind::MariaDb | Kind::Seekdb => ["NO_LOG", "MINIMAL", "FULL"][rng.usize(0..3)],
    };
    let options = Options::default().arg(format!("--binlog-row-metadata={level}"));
    let mut relay = Relay::start(
        Server::start(kind, options).await.expect("a server"),
        |settings| settings,
    )
    .await;
    let mut conn = relay.connect().await;
    let (begun, mut made, mut changes) = (Instant::now(), 0, 0);
    while begun.elapsed() < time {
        let mut tables = Vec::new();
        for _ in 0..3 {
            made += 1;
            tables.push(Table::create(&mut conn, &mut rng, kind, format!("test.t{made}")).await);
        }
        let mut ids = 0;
        for _ in 0..rng.usize(20..60) {
            let table = &tables[rng.usize(..tables.len())];
            table.change(&mut conn, &mut rng, &mut ids).await;
        }
        relay.caught_up().await;
        for envelope in relay.news() {
            let name = format!("test.{}", envelope["source"]["table"].as_str().expect("a table"));
            let table = tables
                .iter_mut()
                .find(|table| table.name == name)
                .expect("a table of this round");
            table.apply(&envelope);
        }
        for table in tables {
            let columns: Vec<(String, Form)> = table
                .columns
                .iter()
                .enumerate()
                .map(|(n, column)| (format!("c{n}"), column.form))
                .collect();
            let definitions: Vec<String> = table
                .columns
                .iter()
                .map(|column| column.definition.clone())
                .collect();
            let rows = selected(&mut conn, &table.name, &columns).await;
            assert!(
                rows.keys().eq(table.relayed.keys()),
                "{kind} {}: other rows",
                table.name
            );
            for (id, row) in &rows {
                let wrong = differences(&columns, &definitions, row, &table.relayed[id]);
                assert!(
                    wrong.is_empty(),
                    "{kind} {} {id}:\n{}",
                    table.name,
                    wrong.join("\n")
                );
            }
            changes += table.changes;
            conn.query_drop(format!("DROP TABLE {}", table.name))
                .await
                .expect("an end");
        }
    }
    (made, changes)
}

fn number(variable: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own settings, not the collector's"
    )]
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn random_tables_arrive_as_select_shows_them() {
    let seed = number("TYPES_SEED").unwrap_or_else(|| fastrand::u64(..));
    let time = Duration::from_secs(number("TYPES_SECONDS").unwrap_or(60));
    // Past the test runner's capture: the seed has to be in the log of a run that passed as well.
    std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!(
            "random tables: TYPES_SEED={seed} TYPES_SECONDS={}\n",
            time.as_secs()
        ),
    )
    .expect("standard error");
    let (mysql, mariadb) = tokio::join!(
        relay_at_random(Kind::MySql, seed, time),
        relay_at_random(Kind::MariaDb, seed, time),
    );
    for (kind, (tables, changes)) in [(Kind::MySql, mysql), (Kind::MariaDb, mariadb)] {
        println!("{kind}: {changes} changes of {tables} tables");
        assert!(changes > 0, "{kind}: nothing was compared");
    }
}
