//! Tables out of the ordinary: keys, generated columns, partitions, indexes, views.

use cdc_collector::source::preflight::Severity;

use super::{database, engine, loaded, look, of_code, shown};

const TABLES: [(&str, &str, &[&str], &[&str]); 8] = [
    (
        "ordered",
        "(a INT, b VARCHAR(10), c BIGINT, PRIMARY KEY (c, a))",
        &["a", "b", "c"],
        &["c", "a"],
    ),
    ("keyless", "(a INT, b VARCHAR(10))", &["a", "b"], &[]),
    // A unique key is none, whatever the engine itself makes of it.
    (
        "unique_only",
        "(a INT NOT NULL, b INT, UNIQUE KEY (a))",
        &["a", "b"],
        &[],
    ),
    (
        "computed",
        "(id INT PRIMARY KEY, a INT, v INT GENERATED ALWAYS AS (a + 1) VIRTUAL, s INT GENERATED ALWAYS AS (a + 2) STORED)",
        &["id", "a", "v", "s"],
        &["id"],
    ),
    (
        "hashed",
        "(id INT, region VARCHAR(10), PRIMARY KEY (id, region)) PARTITION BY HASH (id) PARTITIONS 4",
        &["id", "region"],
        &["id", "region"],
    ),
    (
        "ranged",
        "(id INT, d DATE) PARTITION BY RANGE COLUMNS (d) (PARTITION p0 VALUES LESS THAN ('2025-01-01'), PARTITION p1 VALUES LESS THAN (MAXVALUE))",
        &["id", "d"],
        &[],
    ),
    (
        "indexed",
        "(id INT PRIMARY KEY, t TEXT, n INT, FULLTEXT INDEX (t), INDEX (n))",
        &["id", "t", "n"],
        &["id"],
    ),
    (
        "heap",
        "(id INT, n INT, PRIMARY KEY (id)) ORGANIZATION = HEAP",
        &["id", "n"],
        &["id"],
    ),
];

/// The engine has hidden keys, hidden index columns and partition columns of its own: none of them is a column here.
#[tokio::test(flavor = "multi_thread")]
async fn i6_columns_and_keys_are_those_that_people_see() {
    let Some(server) = engine().await else { return };
    let mut statements: Vec<String> = TABLES
        .iter()
        .map(|(name, body, ..)| format!("CREATE TABLE {name} {body}"))
        .collect();
    statements.push(String::from("CREATE VIEW a_view AS SELECT * FROM keyless"));
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let config = database(server, "shapes", &statements).await;
    for (name, _, columns, key) in TABLES {
        let definition = loaded(&config, "shapes", name).await.expect("a table");
        let loaded: Vec<&str> = definition
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        let in_statement = shown(server, "shapes", name).await;
        let in_statement: Vec<&str> = in_statement.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            (loaded, definition.primary_key.as_slice()),
            (
                columns.to_vec(),
                &*key.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>()
            ),
            "{name}"
        );
        assert_eq!(in_statement, columns, "{name}");
    }
    let (facts, findings) = look(&config).await;
    assert_eq!(facts.captured_tables, TABLES.len(), "a view has no rows");
    let virtuals = of_code(&findings, "generated_column_virtual");
    assert_eq!(virtuals, [(Severity::Warning, "shapes.computed.v int(11)")]);
    let keyless = findings
        .iter()
        .find(|finding| finding.seen.contains("shapes.keyless"))
        .unwrap_or_else(|| panic!("{findings:#?}"));
    for name in ["shapes.unique_only", "shapes.ranged"] {
        assert!(keyless.seen.contains(name), "{keyless:?}");
    }
    assert!(
        !keyless.seen.contains("shapes.heap") && !keyless.seen.contains("shapes.ordered"),
        "{keyless:?}"
    );
}
