//! A table as Flink SQL declares it over a BLOB topic: types that hold every value as the envelope writes it.

use std::fmt::Write as _;

use crate::change::{ColumnKind, TableId};
use crate::config::Envelope;

/// Most digits of Flink's DECIMAL.
const DECIMAL_DIGITS: u8 = 38;

/// What a statement is made of.
#[derive(Clone, Copy, Debug)]
pub struct FlinkTable<'a> {
    /// What Flink is to call it.
    pub name: &'a str,
    /// The captured table.
    pub id: &'a TableId,
    /// Its columns in order.
    pub columns: &'a [(&'a str, &'a ColumnKind)],
    /// Indexes into `columns` of the primary key, in key order.
    pub primary_key: &'a [usize],
    /// What its records look like.
    pub envelope: Envelope,
    /// The Kafka topic: `project.topic`.
    pub topic: &'a str,
}

impl FlinkTable<'_> {
    /// The CREATE TABLE statement. What only the reader knows is in angle brackets.
    pub fn statement(&self) -> String {
        let (format, options, database, table) = match self.envelope {
            Envelope::Debezium => (
                "debezium-json",
                &["schema-include' = 'false"][..],
                "value.source.database",
                "value.source.table",
            ),
            Envelope::Canal => ("canal-json", &[][..], "value.database", "value.table"),
            Envelope::Maxwell => ("maxwell-json", &[][..], "value.database", "value.table"),
        };
        let mut columns: Vec<String> = self
            .columns
            .iter()
            .map(|(name, kind)| format!("{} {}", quoted(name), data_type(kind, self.envelope)))
            .collect();
        for (name, key) in [("source_database", database), ("source_table", table)] {
            // The topic may carry other tables; a column of the same name is more important.
            if !self.columns.iter().any(|(column, _)| *column == name) {
                columns.push(format!("{name} STRING METADATA FROM '{key}' VIRTUAL"));
            }
        }
        let key: Vec<String> = self
            .primary_key
            .iter()
            .filter_map(|ordinal| self.columns.get(*ordinal))
            .map(|(name, _)| quoted(name))
            .collect();
        if !key.is_empty() {
            columns.push(format!("PRIMARY KEY ({}) NOT ENFORCED", key.join(", ")));
        }
        let mut properties = vec![
            "connector' = 'kafka".to_owned(),
            format!("topic' = '{}", literal(self.topic)),
            "properties.bootstrap.servers' = '<Kafka endpoint of the region>:9092".to_owned(),
            "properties.group.id' = '<subscription>".to_owned(),
            "properties.security.protocol' = 'SASL_SSL".to_owned(),
            "properties.sasl.mechanism' = 'PLAIN".to_owned(),
            "properties.sasl.jaas.config' = 'org.apache.kafka.common.security.plain.PlainLoginModule required \
             username=\"<AccessKey id>\" password=\"<AccessKey secret>\";"
                .to_owned(),
            "scan.startup.mode' = 'earliest-offset".to_owned(),
            format!("format' = '{format}"),
            format!("{format}.timestamp-format.standard' = 'SQL"),
        ];
        properties.extend(options.iter().map(|option| format!("{format}.{option}")));
        let mut out = String::new();
        let indented = |lines: &[String], quote: &str| {
            let lines: Vec<String> = lines
                .iter()
                .map(|line| format!("  {quote}{line}{quote}"))
                .collect();
            lines.join(",\n")
        };
        let written = write!(
            out,
            "-- {}: its records are those WHERE source_database = '{}' AND source_table = '{}'\nCREATE TABLE {} (\n{}\n) WITH (\n{}\n);\n",
            self.id.to_string().replace(['\n', '\r'], " "),
            literal(&self.id.db).replace(['\n', '\r'], " "),
            literal(&self.id.table).replace(['\n', '\r'], " "),
            quoted(self.name),
            indented(&columns, ""),
            indented(&properties, "'"),
        );
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        out
    }
}

/// The type that Flink reads every value of the column with.
fn data_type(kind: &ColumnKind, envelope: Envelope) -> String {
    match kind {
        ColumnKind::Integer { bytes, unsigned } => match (bytes, unsigned) {
            (1, false) => "TINYINT",
            (1, true) | (2, false) => "SMALLINT",
            (2, true) | (3, _) | (4, false) => "INT",
            (4, true) | (_, false) => "BIGINT",
            (_, true) => "DECIMAL(20, 0)",
        }
        .to_owned(),
        ColumnKind::Float => "FLOAT".to_owned(),
        ColumnKind::Double => "DOUBLE".to_owned(),
        ColumnKind::Decimal { precision, scale } if *precision <= DECIMAL_DIGITS => {
            format!("DECIMAL({precision}, {scale})")
        }
        ColumnKind::Bit { bits: 64 } => "DECIMAL(20, 0)".to_owned(),
        ColumnKind::Bit { .. } => "BIGINT".to_owned(),
        ColumnKind::Date => "DATE".to_owned(),
        ColumnKind::DateTime { digits } => format!("TIMESTAMP({digits})"),
        ColumnKind::Timestamp { digits } => format!("TIMESTAMP_LTZ({digits})"),
        ColumnKind::Year => "INT".to_owned(),
        ColumnKind::FixedBinary { .. } | ColumnKind::Binary => "BYTES".to_owned(),
        ColumnKind::Set { .. } if envelope == Envelope::Maxwell => "ARRAY<STRING>".to_owned(),
        // Canal has texts alone.
        ColumnKind::Geometry if envelope != Envelope::Canal => "ROW<srid BIGINT, wkb BYTES>".to_owned(),
        // MySQL's TIME goes beyond a day and below zero, Flink's does not.
        ColumnKind::Time { .. }
        | ColumnKind::Decimal { .. }
        | ColumnKind::Text { .. }
        | ColumnKind::Enum { .. }
        | ColumnKind::Set { .. }
        | ColumnKind::Json
        | ColumnKind::Geometry
        | ColumnKind::Uuid
        | ColumnKind::Inet4
        | ColumnKind::Inet6 => "STRING".to_owned(),
    }
}

/// An identifier.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The inside of a string literal.
fn literal(text: &str) -> String {
    text.replace('\'', "''")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Charset;

    #[test]
    fn a_statement_holds_every_value() {
        let charset = Charset::Utf8;
        let integer = |bytes, unsigned| ColumnKind::Integer { bytes, unsigned };
        let kinds = [
            ("id", integer(8, true)),
            ("na`me", ColumnKind::Text { charset }),
            ("small", integer(2, true)),
            (
                "price",
                ColumnKind::Decimal {
                    precision: 10,
                    scale: 2,
                },
            ),
            (
                "huge",
                ColumnKind::Decimal {
                    precision: 65,
                    scale: 30,
                },
            ),
            ("at", ColumnKind::DateTime { digits: 3 }),
            ("seen", ColumnKind::Timestamp { digits: 6 }),
            ("took", ColumnKind::Time { digits: 0 }),
            ("bits", ColumnKind::Bit { bits: 64 }),
            ("source_table", ColumnKind::Binary),
        ];
        let columns: Vec<_> = kinds.iter().map(|(name, kind)| (*name, kind)).collect();
        let statement = FlinkTable {
            name: "orders",
            id: &TableId {
                db: "shop".to_owned(),
                table: "orders".to_owned(),
            },
            columns: &columns,
            primary_key: &[0, 1],
            envelope: Envelope::Debezium,
            topic: "project.topic",
        }
        .statement();
        let expected = "-- shop.orders: its records are those WHERE source_database = 'shop' AND source_table = 'orders'
CREATE TABLE `orders` (
  `id` DECIMAL(20, 0),
  `na``me` STRING,
  `small` INT,
  `price` DECIMAL(10, 2),
  `huge` STRING,
  `at` TIMESTAMP(3),
  `seen` TIMESTAMP_LTZ(6),
  `took` STRING,
  `bits` DECIMAL(20, 0),
  `source_table` BYTES,
  source_database STRING METADATA FROM 'value.source.database' VIRTUAL,
  PRIMARY KEY (`id`, `na``me`) NOT ENFORCED
) WITH (
  'connector' = 'kafka',
  'topic' = 'project.topic',
  'properties.bootstrap.servers' = '<Kafka endpoint of the region>:9092',
  'properties.group.id' = '<subscription>',
  'properties.security.protocol' = 'SASL_SSL',
  'properties.sasl.mechanism' = 'PLAIN',
  'properties.sasl.jaas.config' = 'org.apache.kafka.common.security.plain.PlainLoginModule required username=\"<AccessKey id>\" password=\"<AccessKey secret>\";',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'debezium-json',
  'debezium-json.timestamp-format.standard' = 'SQL',
  'debezium-json.schema-include' = 'false'
);
";
        assert_eq!(statement, expected);
    }

    #[test]
    fn each_envelope_has_its_format_and_its_spelling() {
        let labels = vec!["a".to_owned()];
        let (set, geometry) = (ColumnKind::Set { labels }, ColumnKind::Geometry);
        let id = TableId {
            db: "d".to_owned(),
            table: "it's".to_owned(),
        };
        for (envelope, parts) in [
            (
                Envelope::Debezium,
                [
                    "`s` STRING",
                    "`g` ROW<",
                    "'value.source.table'",
                    "'debezium-json'",
                ],
            ),
            (
                Envelope::Canal,
                ["`s` STRING", "`g` STRING", "'value.table'", "'canal-json'"],
            ),
            (
                Envelope::Maxwell,
                ["`s` ARRAY<STRING>", "`g` ROW<", "'value.table'", "'maxwell-json'"],
            ),
        ] {
            let statement = FlinkTable {
                name: "t",
                id: &id,
                columns: &[("s", &set), ("g", &geometry)],
                primary_key: &[],
                envelope,
                topic: "p.t",
            }
            .statement();
            for part in parts {
                assert!(statement.contains(part), "{part} in {statement}");
            }
            assert!(statement.contains("source_table = 'it''s'"), "{statement}");
            assert!(!statement.contains("PRIMARY KEY"), "{statement}");
        }
    }
}
