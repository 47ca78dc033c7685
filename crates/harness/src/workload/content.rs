//! The tables of the workload, and what every version of every row holds.
//!
//! A row's content is a function of (seed, table, key, version): nobody has to remember it, and the oracle can
//! say what a record should have held. The first columns are the primary key, the next one is `version`.

use std::fmt::Write as _;

use fastrand::Rng;

/// A table of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One integer as key, every kind of column that has only one sensible text form.
    Accounts,
    /// Two columns as key, one of them text.
    Stock,
    /// Narrow rows, also used by huge transactions.
    Journal,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 3] = [Table::Accounts, Table::Stock, Table::Journal];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Table::Accounts => "accounts",
            Table::Stock => "stock",
            Table::Journal => "journal",
        }
    }

    /// The table of that name.
    pub fn named(name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The columns of its primary key.
    pub fn key_columns(self) -> &'static [&'static str] {
        match self {
            Table::Accounts | Table::Journal => &["id"],
            Table::Stock => &["warehouse", "sku"],
        }
    }

    pub(super) fn create(self) -> &'static str {
        match self {
            Table::Accounts => {
                "CREATE TABLE IF NOT EXISTS accounts (id BIGINT NOT NULL, version BIGINT UNSIGNED NOT NULL, \
                 owner VARCHAR(80) NOT NULL, balance DECIMAL(20,4) NOT NULL, points BIGINT UNSIGNED NOT NULL, \
                 delta INT NULL, rate DOUBLE NOT NULL, opened DATETIME(6) NOT NULL, note TEXT NULL, \
                 PRIMARY KEY (id)) DEFAULT CHARSET=utf8mb4"
            }
            Table::Stock => {
                "CREATE TABLE IF NOT EXISTS stock (warehouse INT UNSIGNED NOT NULL, sku VARCHAR(20) NOT NULL, \
                 version BIGINT UNSIGNED NOT NULL, amount INT NOT NULL, label VARCHAR(60) NULL, \
                 PRIMARY KEY (warehouse, sku)) DEFAULT CHARSET=utf8mb4"
            }
            Table::Journal => {
                "CREATE TABLE IF NOT EXISTS journal (id INT NOT NULL, version BIGINT UNSIGNED NOT NULL, \
                 text VARCHAR(120) NOT NULL, PRIMARY KEY (id)) DEFAULT CHARSET=utf8mb4"
            }
        }
    }
}

/// A row's identity: its table and the number that its primary key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its table.
    pub table: Table,
    /// From 0.
    pub number: u32,
}

/// How many warehouses share the stock keys.
const WAREHOUSES: u32 = 7;

impl Key {
    /// The primary key's values.
    pub fn values(self) -> Vec<Cell> {
        match self.table {
            Table::Accounts => vec![Cell::Integer(i128::from(self.number) - 100)],
            Table::Journal => vec![Cell::Integer(i128::from(self.number))],
            Table::Stock => vec![
                Cell::Integer(i128::from(self.number % WAREHOUSES)),
                Cell::Text(format!("sku-{:06}", self.number / WAREHOUSES)),
            ],
        }
    }

    /// Finds the key whose primary key has these values, given as text.
    pub fn parse(table: Table, values: &[String]) -> Option<Key> {
        let number = match (table, values) {
            (Table::Accounts, [id]) => u32::try_from(id.parse::<i64>().ok()?.checked_add(100)?).ok()?,
            (Table::Journal, [id]) => id.parse().ok()?,
            (Table::Stock, [warehouse, sku]) => {
                let warehouse: u32 = warehouse.parse().ok().filter(|n| *n < WAREHOUSES)?;
                let group: u32 = sku.strip_prefix("sku-")?.parse().ok()?;
                group.checked_mul(WAREHOUSES)?.checked_add(warehouse)?
            }
            _ => return None,
        };
        Some(Key { table, number })
    }

    /// `(id = 1)`, for a WHERE clause.
    pub(super) fn condition(self) -> String {
        let pairs: Vec<String> = self
            .table
            .key_columns()
            .iter()
            .zip(self.values())
            .map(|(column, value)| format!("{column} = {}", value.sql()))
            .collect();
        pairs.join(" AND ")
    }
}

/// One column's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// Any integer type.
    Integer(i128),
    /// DECIMAL, with all its decimals.
    Decimal(String),
    /// DOUBLE; always a multiple of 1/8, which every text form keeps.
    Double(f64),
    /// Text and times; never empty fractions.
    Text(String),
}

impl Cell {
    /// As an SQL literal.
    pub fn sql(&self) -> String {
        match self {
            Cell::Null => "NULL".to_owned(),
            Cell::Integer(number) => number.to_string(),
            Cell::Decimal(text) => text.clone(),
            Cell::Double(number) => format!("{number:?}"),
            Cell::Text(text) => {
                let mut sql = String::with_capacity(text.len() + 2);
                sql.push('\'');
                for c in text.chars() {
                    if matches!(c, '\'' | '\\') {
                        sql.push('\\');
                    }
                    sql.push(c);
                }
                sql.push('\'');
                sql
            }
        }
    }

    /// Whether a JSON value, as the relay writes it, is this value.
    pub fn is_json(&self, json: &serde_json::Value) -> bool {
        use serde_json::Value;
        match (self, json) {
            (Cell::Null, Value::Null) => true,
            (Cell::Integer(number), Value::Number(json)) => json.to_string() == number.to_string(),
            (Cell::Double(number), Value::Number(json)) => json.as_f64() == Some(*number),
            (Cell::Decimal(text) | Cell::Text(text), Value::String(json)) => text == json,
            _ => false,
        }
    }

    /// Whether a value, as the server sends it in text form, is this value.
    pub fn is_sql(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Cell::Null, None) => true,
            (Cell::Integer(number), Some(value)) => value == number.to_string(),
            (Cell::Double(number), Some(value)) => value.parse() == Ok(*number),
            (Cell::Decimal(text) | Cell::Text(text), Some(value)) => text == value,
            _ => false,
        }
    }
}

/// What a row holds at a version: column names and values in table order.
pub fn row(seed: u64, key: Key, version: u64) -> Vec<(&'static str, Cell)> {
    let mut rng = Rng::with_seed(
        seed ^ u64::from(key.number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ version.wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
            ^ ((key.table as u64) << 61),
    );
    let mut row: Vec<(&'static str, Cell)> = key.table.key_columns().iter().copied().zip(key.values()).collect();
    row.push(("version", Cell::Integer(i128::from(version))));
    match key.table {
        Table::Accounts => {
            row.push(("owner", Cell::Text(text(&mut rng, 20))));
            let units = rng.i64(-1_000_000_000..1_000_000_000);
            let sign = if units < 0 { "-" } else { "" };
            row.push(("balance", Cell::Decimal(format!("{sign}{}.{:04}", units.abs(), rng.u16(1..10_000)))));
            row.push(("points", Cell::Integer(i128::from(rng.u64(..)))));
            row.push(("delta", nullable(&mut rng, |rng| Cell::Integer(i128::from(rng.i32(..))))));
            row.push(("rate", Cell::Double(f64::from(rng.i32(-80_000..80_000)) / 8.0)));
            row.push(("opened", Cell::Text(datetime(&mut rng))));
            let length = if rng.u8(..) < 8 { 4_000 } else { 60 };
            row.push(("note", nullable(&mut rng, |rng| Cell::Text(text(rng, length)))));
        }
        Table::Stock => {
            row.push(("amount", Cell::Integer(i128::from(rng.i32(..)))));
            row.push(("label", nullable(&mut rng, |rng| Cell::Text(text(rng, 12)))));
        }
        Table::Journal => row.push(("text", Cell::Text(text(&mut rng, 24)))),
    }
    row
}

fn nullable(rng: &mut Rng, value: impl FnOnce(&mut Rng) -> Cell) -> Cell {
    if rng.u8(..) < 48 { Cell::Null } else { value(rng) }
}

fn datetime(rng: &mut Rng) -> String {
    let mut text = String::new();
    // The last digit is never 0: there is one way to write it.
    let micros = rng.u32(0..100_000) * 10 + rng.u32(1..10);
    let (year, month, day) = (rng.u16(1971..2100), rng.u8(1..13), rng.u8(1..29));
    let (hour, minute, second) = (rng.u8(0..24), rng.u8(0..60), rng.u8(0..60));
    write!(text, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}").ok();
    text
}

/// Up to `limit` characters with what JSON and SQL must escape, and of every UTF-8 length.
fn text(rng: &mut Rng, limit: usize) -> String {
    const ODD: [char; 12] = ['\'', '"', '\\', '\n', '\t', '\u{1}', '/', 'ö', '漢', '字', '🦀', '\u{2028}'];
    let length = rng.usize(0..=limit);
    (0..length)
        .map(|_| if rng.u8(..) < 24 { ODD[rng.usize(..ODD.len())] } else { rng.alphanumeric() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_again_by_its_values() {
        for table in Table::ALL {
            for number in [0, 1, 6, 7, 99, 100, 101, 123_456] {
                let key = Key { table, number };
                let values: Vec<String> =
                    key.values().iter().map(|cell| cell.sql().trim_matches('\'').to_owned()).collect();
                assert_eq!(Key::parse(table, &values), Some(key));
            }
        }
        assert_eq!(Key::parse(Table::Stock, &["9".to_owned(), "sku-000000".to_owned()]), None);
        assert_eq!(Key::parse(Table::Journal, &["-1".to_owned()]), None);
    }

    #[test]
    fn content_depends_on_seed_key_and_version_alone() {
        let key = Key { table: Table::Accounts, number: 5 };
        assert_eq!(row(1, key, 2), row(1, key, 2));
        assert_ne!(row(1, key, 2), row(2, key, 2));
        assert_ne!(row(1, key, 2)[2..], row(1, key, 3)[2..]);
        assert_ne!(row(1, key, 2)[2..], row(1, Key { number: 6, ..key }, 2)[2..]);
    }

    #[test]
    fn literals_are_escaped() {
        assert_eq!(Cell::Text("a'b\\c".to_owned()).sql(), r"'a\'b\\c'");
        assert_eq!(Cell::Double(-0.125).sql(), "-0.125");
    }
}
