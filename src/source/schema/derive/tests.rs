//! Statements, and what they make of tables: `name type[ charset], … ! key, …`.

use super::*;
use crate::source::schema::ColumnDefinition;

fn id(table: &str) -> TableId {
    let (db, table) = table.split_once('.').unwrap_or(("shop", table));
    TableId {
        db: db.to_owned(),
        table: table.to_owned(),
    }
}

fn table(columns: &[(&str, &str, Option<&str>)], key: &[&str]) -> TableDefinition {
    let column = |(name, kind, charset): &(&str, &str, Option<&str>)| ColumnDefinition {
        name: (*name).to_owned(),
        column_type: (*kind).to_owned(),
        charset: charset.map(str::to_owned),
    };
    TableDefinition {
        columns: columns.iter().map(column).collect(),
        primary_key: key.iter().map(|name| (*name).to_owned()).collect(),
        charset: Some("latin1".to_owned()),
    }
}

/// What the statements find: `shop.t` and `shop.u`.
fn before(id: &TableId) -> Option<Arc<TableDefinition>> {
    let latin1 = Some("latin1");
    match id.to_string().as_str() {
        "shop.t" => Some(Arc::new(table(
            &[
                ("id", "int", None),
                ("a", "varchar(9)", latin1),
                ("b", "varchar(9)", latin1),
            ],
            &["id"],
        ))),
        "shop.u" => Some(Arc::new(table(&[("x", "bigint", None)], &[]))),
        _ => None,
    }
}

fn made_by(flavour: Flavour, text: &str) -> Option<Derived> {
    derive(
        text.as_bytes(),
        &Scene {
            flavour,
            db: "shop",
            before: &before,
            database_charset: &|db| (db == "shop").then(|| "utf8mb4".to_owned()),
        },
    )
}

fn shown(definition: &TableDefinition) -> String {
    let column = |c: &ColumnDefinition| {
        let charset = c
            .charset
            .as_ref()
            .map(|set| format!(" {set}"))
            .unwrap_or_default();
        format!("{} {}{charset}", c.name, c.column_type)
    };
    let columns: Vec<String> = definition.columns.iter().map(column).collect();
    format!("{} ! {}", columns.join(", "), definition.primary_key.join(", "))
}

/// What the statement makes of `shop.t`, or of the one table that it makes anything of.
fn result(text: &str) -> String {
    match made_by(Flavour::MySql, text) {
        None => "not understood".to_owned(),
        Some(derived) => match derived.get(&id("t")).or_else(|| derived.values().next()) {
            None => "nothing".to_owned(),
            Some(None) => "gone".to_owned(),
            Some(Some(definition)) => shown(definition),
        },
    }
}

#[test]
fn alterations_are_applied_as_the_servers_do() {
    let plain = "id int, a varchar(9) latin1, b varchar(9) latin1 ! id";
    for (clauses, expected) in [
        (
            "ADD c INT",
            "id int, a varchar(9) latin1, b varchar(9) latin1, c int ! id",
        ),
        (
            "ADD COLUMN `c` int unsigned NOT NULL DEFAULT '0' COMMENT 'wie, auch' FIRST",
            "c int unsigned, id int, a varchar(9) latin1, b varchar(9) latin1 ! id",
        ),
        (
            "add c tinytext after A, add d datetime(3) default current_timestamp(3) on update current_timestamp(3) after c",
            "id int, a varchar(9) latin1, c tinytext latin1, d datetime(3), b varchar(9) latin1 ! id",
        ),
        (
            "ADD (c INT, d CHAR(3) CHARACTER SET gbk)",
            "id int, a varchar(9) latin1, b varchar(9) latin1, c int, d char(3) gbk ! id",
        ),
        (
            "REORGANIZE PARTITION p1, p2 INTO (PARTITION p3 VALUES LESS THAN (9))",
            plain,
        ),
        ("DROP PARTITION p1, p2", plain),
        ("TRUNCATE PARTITION p1, p2", plain),
        (
            "ADD PARTITION (PARTITION p4 VALUES IN (1, 2), PARTITION p5 VALUES IN (3))",
            plain,
        ),
        ("EXCHANGE PARTITION p1 WITH TABLE u", plain),
        ("CONVERT PARTITION p1 TO TABLE w", "not understood"),
        ("ADD c INT PARTITION BY HASH (id) PARTITIONS 3", "not understood"),
        ("DROP a", "id int, b varchar(9) latin1 ! id"),
        (
            "DROP COLUMN a, ADD a INT AFTER id",
            "id int, a int, b varchar(9) latin1 ! id",
        ),
        ("MODIFY a TEXT", "id int, a text latin1, b varchar(9) latin1 ! id"),
        (
            "MODIFY b varchar(9) FIRST",
            "b varchar(9) latin1, id int, a varchar(9) latin1 ! id",
        ),
        (
            "CHANGE a z enum('x','it''s') COLLATE utf8mb4_bin AFTER b",
            "id int, b varchar(9) latin1, z enum('x','it''s') utf8mb4 ! id",
        ),
        (
            "CHANGE id key_ bigint auto_increment",
            "key_ bigint, a varchar(9) latin1, b varchar(9) latin1 ! key_",
        ),
        (
            "RENAME COLUMN a TO b, RENAME COLUMN b TO a",
            "id int, b varchar(9) latin1, a varchar(9) latin1 ! id",
        ),
        (
            "CHANGE a b varchar(9), CHANGE b a varchar(9)",
            "id int, b varchar(9) latin1, a varchar(9) latin1 ! id",
        ),
        (
            "CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "id int, a varchar(9) utf8mb4, b varchar(9) utf8mb4 ! id",
        ),
        ("CONVERT TO CHARSET gbk, ADD c char(2)", "not understood"),
        (
            "ENGINE=InnoDB DEFAULT CHARSET=gbk, ADD c char(2)",
            "not understood",
        ),
        (
            "DROP PRIMARY KEY, ADD PRIMARY KEY (b, a(3) DESC)",
            "id int, a varchar(9) latin1, b varchar(9) latin1 ! b, a",
        ),
        (
            "ADD INDEX (a), ADD UNIQUE KEY `u` (a, b), ADD CONSTRAINT c CHECK (a <> b), DROP INDEX i",
            plain,
        ),
        (
            "ALTER COLUMN a SET DEFAULT 'x', ALGORITHM=INSTANT, LOCK=NONE",
            plain,
        ),
        ("ADD PARTITION (PARTITION p3 VALUES LESS THAN (9, 7))", plain),
        ("PARTITION BY HASH (id) PARTITIONS 4", plain),
        ("COMMENT = 'a, b'", plain),
        ("RENAME TO v", "gone"),
        ("FORCE", plain),
        // Not understood: what is not certain is asked of the server.
        ("DROP id", "not understood"),
        ("ADD c INT GENERATED ALWAYS AS (id + 1)", "not understood"),
        ("ADD c FLOAT(30)", "not understood"),
        ("ADD c TEXT(300)", "not understood"),
        ("ADD c INT AFTER nothing", "not understood"),
        ("ADD a INT", "not understood"),
        ("ADD c ENUM('\u{e9}')", "not understood"),
        ("ADD c INT COMMENT \"x\"", "not understood"),
        ("ADD c VARCHAR(3) CHARACTER SET binary", "not understood"),
        ("ADD c NATIONAL CHAR(3)", "not understood"),
        ("CONVERT TO CHARACTER SET DEFAULT", "not understood"),
        ("DROP INDEX `PRIMARY`", "not understood"),
        ("ADD c ENUM('x ')", "not understood"),
        ("FROBNICATE", "not understood"),
        ("ADD c INT FROBNICATE", "not understood"),
    ] {
        assert_eq!(result(&format!("ALTER TABLE t {clauses}")), expected, "{clauses}");
    }
}

#[test]
fn tables_are_created_renamed_and_dropped() {
    for (text, expected) in [
        (
            "CREATE TABLE `n` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `a` varchar(9) COLLATE gbk_bin DEFAULT NULL,\n  d decimal(10,2) unsigned DEFAULT '-1.5',\n  PRIMARY KEY (`id`),\n  KEY `k` (`a`)\n) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci COMMENT='x'",
            "id int(11), a varchar(9) gbk, d decimal(10,2) unsigned ! id",
        ),
        (
            "CREATE TABLE n (id INT PRIMARY KEY, a TEXT)",
            "id int, a text utf8mb4 ! id",
        ),
        ("create table other.n (id int, a text)", "not understood"),
        (
            "create table other.n (id int, a text) charset latin1",
            "id int, a text latin1 ! ",
        ),
        (
            "CREATE TABLE n (id INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (3))",
            "id int ! ",
        ),
        ("CREATE TABLE `n` (`id` int) START TRANSACTION", "id int ! "),
        ("CREATE TABLE n LIKE shop.u", "x bigint ! "),
        ("CREATE TABLE n (LIKE u)", "x bigint ! "),
        ("CREATE TABLE n LIKE nobody", "gone"),
        ("CREATE TABLE n SELECT * FROM t", "not understood"),
        ("CREATE TABLE IF NOT EXISTS n (id INT)", "not understood"),
        ("CREATE TABLE IF NOT EXISTS t (id INT)", "not understood"),
        ("CREATE OR REPLACE TABLE t (z INT)", "z int ! "),
        ("CREATE TEMPORARY TABLE t (z INT)", "nothing"),
        ("CREATE VIEW v AS SELECT 1", "not understood"),
        ("CREATE INDEX i ON t (a)", "not understood"),
        ("DROP TABLE IF EXISTS `t`, u /* generated by server */", "gone"),
        ("RENAME TABLE t TO old, u TO t", "x bigint ! "),
        ("RENAME TABLE t TO tmp, u TO t, tmp TO u", "x bigint ! "),
        ("RENAME TABLE t TO archive.t", "gone"),
        ("ALTER TABLE nobody ADD c INT", "gone"),
        ("/*!50000 ALTER TABLE t DROP a */", "not understood"),
        (
            "-- why\nALTER TABLE t # not\n DROP a",
            "id int, b varchar(9) latin1 ! id",
        ),
        ("GRANT ALL ON t TO u", "not understood"),
        ("", "not understood"),
    ] {
        assert_eq!(result(text), expected, "{text}");
    }
    let swapped = made_by(Flavour::MySql, "RENAME TABLE t TO tmp, u TO t, tmp TO u").unwrap();
    assert_eq!(swapped[&id("u")].as_ref(), before(&id("t")).as_deref());
    assert_eq!(swapped[&id("tmp")], None);
    let renamed = made_by(Flavour::MySql, "ALTER TABLE u ADD y INT, RENAME archive.u").unwrap();
    assert_eq!(
        shown(renamed[&id("archive.u")].as_ref().unwrap()),
        "x bigint, y int ! "
    );
}

#[test]
fn json_is_a_text_on_mariadb() {
    let json = |flavour| {
        made_by(flavour, "CREATE TABLE n (j JSON)")
            .unwrap()
            .remove(&id("n"))
            .flatten()
    };
    assert_eq!(shown(&json(Flavour::MySql).unwrap()), "j json ! ");
    assert_eq!(shown(&json(Flavour::MariaDb).unwrap()), "j longtext utf8mb4 ! ");
}

#[test]
fn databases_say_what_new_tables_have() {
    for (text, expected) in [
        ("CREATE DATABASE d CHARACTER SET gbk", Some(("d", "gbk"))),
        (
            "create schema if not exists `d` default collate = latin1_bin",
            Some(("d", "latin1")),
        ),
        ("ALTER DATABASE d CHARSET utf8mb4", Some(("d", "utf8mb4"))),
        ("CREATE DATABASE d", None),
        ("CREATE TABLE d (a INT) CHARACTER SET gbk", None),
    ] {
        let named = database_charset(text.as_bytes());
        let named = named
            .as_ref()
            .map(|(db, charset)| (db.as_str(), charset.as_str()));
        assert_eq!(named, expected, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_understood_or_not_and_no_more(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "ALTER", "TABLE", "t", "ADD", "COLUMN", "(", ")", ",", "'", "`", "INT", "AFTER", "a", "PRIMARY", "KEY",
            "CREATE", "RENAME", "TO", "DROP", "CHANGE", "DEFAULT", "CHARACTER", "SET", "utf8mb4", ".", "=", "-- ", "/*",
        ]), 0..24)) {
        let _ = made_by(Flavour::MariaDb, &words.join(" "));
    }
}
