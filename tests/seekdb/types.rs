//! A column of every type and character set that the engine has, as it is loaded.

use cdc_collector::change::{Charset, ColumnKind};
use cdc_collector::source::schema::column_type::{self, charset_of};

use super::{database, engine, loaded, look, shown};

fn integer(bytes: u8, unsigned: bool) -> ColumnKind {
    ColumnKind::Integer { bytes, unsigned }
}

fn decimal(precision: u8, scale: u8) -> ColumnKind {
    ColumnKind::Decimal { precision, scale }
}

fn text() -> ColumnKind {
    ColumnKind::Text {
        charset: Charset::Utf8,
    }
}

fn labels(all: &[&str]) -> Vec<String> {
    all.iter().map(|label| (*label).to_owned()).collect()
}

/// How a column is declared, how the engine shows it, and how its values are read.
fn all() -> Vec<(&'static str, &'static str, ColumnKind)> {
    use ColumnKind::{
        Binary, Bit, Date, DateTime, Double, Enum, FixedBinary, Float, Geometry, Json, Set, Time, Timestamp,
        Year,
    };
    vec![
        ("TINYINT", "tinyint(4)", integer(1, false)),
        ("TINYINT UNSIGNED", "tinyint(3) unsigned", integer(1, true)),
        ("SMALLINT", "smallint(6)", integer(2, false)),
        ("SMALLINT UNSIGNED", "smallint(5) unsigned", integer(2, true)),
        ("MEDIUMINT", "mediumint(9)", integer(3, false)),
        ("MEDIUMINT UNSIGNED", "mediumint(8) unsigned", integer(3, true)),
        ("INT", "int(11)", integer(4, false)),
        ("INT(5)", "int(5)", integer(4, false)),
        (
            "INT UNSIGNED ZEROFILL",
            "int(10) unsigned zerofill",
            integer(4, true),
        ),
        ("BIGINT", "bigint(20)", integer(8, false)),
        ("BIGINT UNSIGNED", "bigint(20) unsigned", integer(8, true)),
        ("BOOL", "tinyint(1)", integer(1, false)),
        ("DECIMAL", "decimal(10,0)", decimal(10, 0)),
        ("DECIMAL(65,30)", "decimal(65,30)", decimal(65, 30)),
        ("NUMERIC(10,2) UNSIGNED", "decimal(10,2) unsigned", decimal(10, 2)),
        ("FIXED(6,1)", "decimal(6,1)", decimal(6, 1)),
        ("FLOAT", "float", Float),
        ("FLOAT(10,2)", "float(10,2)", Float),
        ("FLOAT UNSIGNED", "float unsigned", Float),
        // More than 24 bits are a double's.
        ("FLOAT(30)", "double", Double),
        ("DOUBLE", "double", Double),
        ("DOUBLE(20,5)", "double(20,5)", Double),
        ("REAL", "double", Double),
        ("BIT", "bit(1)", Bit { bits: 1 }),
        ("BIT(8)", "bit(8)", Bit { bits: 8 }),
        ("BIT(64)", "bit(64)", Bit { bits: 64 }),
        ("DATE", "date", Date),
        ("DATETIME", "datetime", DateTime { digits: 0 }),
        ("DATETIME(3)", "datetime(3)", DateTime { digits: 3 }),
        ("DATETIME(6)", "datetime(6)", DateTime { digits: 6 }),
        ("TIMESTAMP NULL", "timestamp", Timestamp { digits: 0 }),
        ("TIMESTAMP(1) NULL", "timestamp(1)", Timestamp { digits: 1 }),
        ("TIMESTAMP(6) NULL", "timestamp(6)", Timestamp { digits: 6 }),
        ("TIME", "time", Time { digits: 0 }),
        ("TIME(2)", "time(2)", Time { digits: 2 }),
        ("TIME(6)", "time(6)", Time { digits: 6 }),
        ("YEAR", "year(4)", Year),
        ("CHAR", "char(1)", text()),
        ("CHAR(10)", "char(10)", text()),
        ("NATIONAL CHAR(3)", "char(3)", text()),
        ("NVARCHAR(4)", "varchar(4)", text()),
        ("VARCHAR(5000)", "varchar(5000)", text()),
        ("TINYTEXT", "tinytext", text()),
        ("TEXT", "text", text()),
        ("MEDIUMTEXT", "mediumtext", text()),
        ("LONGTEXT", "longtext", text()),
        ("BINARY", "binary(1)", FixedBinary { length: 1 }),
        ("BINARY(8)", "binary(8)", FixedBinary { length: 8 }),
        ("VARBINARY(300)", "varbinary(300)", Binary),
        ("TINYBLOB", "tinyblob", Binary),
        ("BLOB", "blob", Binary),
        ("MEDIUMBLOB", "mediumblob", Binary),
        ("LONGBLOB", "longblob", Binary),
        // Their bytes are those of a binary set, their name is another.
        (
            "CHAR(4) CHARACTER SET binary",
            "binary(4)",
            FixedBinary { length: 4 },
        ),
        ("VARCHAR(9) CHARACTER SET binary", "varbinary(9)", Binary),
        ("TEXT CHARACTER SET binary", "blob", Binary),
        (
            "ENUM('x', 'a,b', '\u{e9}', '(', '')",
            "enum('x','a,b','\u{e9}','(','')",
            Enum {
                labels: labels(&["x", "a,b", "\u{e9}", "(", ""]),
            },
        ),
        (
            "ENUM('x') CHARACTER SET binary",
            "enum('x')",
            Enum {
                labels: labels(&["x"]),
            },
        ),
        (
            "SET('p', 'r s')",
            "set('p','r s')",
            Set {
                labels: labels(&["p", "r s"]),
            },
        ),
        ("JSON", "json", Json),
        ("GEOMETRY", "geometry", Geometry),
        ("POINT", "point", Geometry),
        ("LINESTRING", "linestring", Geometry),
        ("POLYGON", "polygon", Geometry),
        ("MULTIPOINT", "multipoint", Geometry),
        ("MULTILINESTRING", "multilinestring", Geometry),
        ("MULTIPOLYGON", "multipolygon", Geometry),
        ("GEOMETRYCOLLECTION", "geomcollection", Geometry),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_every_type_is_loaded_as_the_engine_shows_it() {
    let Some(server) = engine().await else { return };
    let all = all();
    let columns: Vec<String> = (all.iter().enumerate())
        .map(|(n, (declared, ..))| format!("c{n} {declared}"))
        .collect();
    // A name that looks like another statement's end, and one that is a keyword.
    let create = format!(
        "CREATE TABLE `odd ``name;` (`select` INT PRIMARY KEY, {})",
        columns.join(", ")
    );
    let config = database(server, "types", &[&create]).await;
    let definition = loaded(&config, "types", "odd `name;").await.expect("a table");
    let in_statement = shown(server, "types", "odd `name;").await;
    assert_eq!(definition.primary_key, ["select"]);
    assert_eq!(definition.columns.len(), all.len() + 1);
    assert_eq!(in_statement.len(), definition.columns.len());
    assert_eq!(definition.charset.as_deref(), Some("utf8mb4"));
    let pairs = definition.columns.iter().zip(in_statement).skip(1);
    for ((n, (declared, expected, kind)), (column, (name, rest))) in all.iter().enumerate().zip(pairs) {
        assert_eq!(
            (column.name.as_str(), name.as_str()),
            (&*format!("c{n}"), &*column.name)
        );
        assert_eq!(column.column_type, *expected, "{declared}");
        assert!(rest.starts_with(expected), "{declared}: {rest}");
        let read = column_type::parse(&column.column_type, column.charset.as_deref());
        assert_eq!(read.as_ref().map(|read| &read.kind), Ok(kind), "{declared}");
    }
    let (_, findings) = look(&config).await;
    assert!(
        !findings
            .iter()
            .any(|finding| finding.code == "column_type_unsupported"),
        "{findings:#?}"
    );
}

/// Which sets there are is the engine's matter; what it has must be read.
#[tokio::test(flavor = "multi_thread")]
async fn every_character_set_it_has_is_known() {
    let Some(server) = engine().await else { return };
    let names: Vec<String> = server
        .query("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS")
        .await
        .expect("an answer");
    assert!(names.iter().any(|name| name == "utf8mb4"), "{names:?}");
    let statements: Vec<String> = names
        .iter()
        .map(|set| {
            format!("CREATE TABLE of_{set} (id INT PRIMARY KEY, c CHAR(9), t TEXT, u CHAR(9) CHARACTER SET utf8mb4) DEFAULT CHARACTER SET {set}")
        })
        .collect();
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let config = database(server, "sets", &statements).await;
    for set in &names {
        let definition = loaded(&config, "sets", &format!("of_{set}"))
            .await
            .expect("a table");
        let kinds: Vec<ColumnKind> = definition
            .columns
            .iter()
            .map(|column| {
                column_type::parse(&column.column_type, column.charset.as_deref())
                    .expect("a kind")
                    .kind
            })
            .collect();
        let expected = match set.as_str() {
            "binary" => [ColumnKind::FixedBinary { length: 9 }, ColumnKind::Binary],
            set => {
                let charset = charset_of(set).unwrap_or_else(|| panic!("{set} is not known"));
                [ColumnKind::Text { charset }, ColumnKind::Text { charset }]
            }
        };
        assert_eq!((&kinds[1..3], &kinds[3]), (expected.as_slice(), &text()), "{set}");
    }
}
