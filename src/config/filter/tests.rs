//! Which tables patterns choose, and what is refused as a pattern.

use super::*;

fn filter(schemas: &str, tables: &str) -> TableFilter {
    TableFilter::parse(schemas, tables).unwrap()
}

#[test]
fn names_that_are_spelled_out_are_known() {
    let named = |schemas, tables| -> Vec<String> {
        filter(schemas, tables)
            .named_schemas()
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(named("shop,t*,!crm,crm", "*"), ["shop"]);
    assert_eq!(named("shop", "erp.orders,*"), ["shop", "erp"]);
    // No table of it is wanted, so it need not exist.
    assert_eq!(named("shop", "erp.orders"), ["erp"]);
}

#[test]
fn the_default_takes_one_database_whole() {
    let f = filter("test", "*");
    assert!(f.captures("test", "orders"));
    assert!(!f.captures("Test", "orders"), "names are case-sensitive");
    assert!(!f.captures("test2", "orders"));
    assert!(f.touches("test") && !f.touches("mysql"));
}

#[test]
fn globs_names_and_qualified_names_mix() {
    let f = filter("shop, crm_?", "orders, item*, audit.log_*");
    for (db, table, captured) in [
        ("shop", "orders", true),
        ("shop", "items", true),
        ("shop", "item", true),
        ("shop", "order", false),
        ("crm_1", "orders", true),
        ("crm_12", "orders", false),
        ("audit", "log_1", true),
        ("audit", "orders", false),
        ("shop", "log_1", false),
    ] {
        assert_eq!(f.captures(db, table), captured, "{db}.{table}");
    }
    assert!(f.touches("audit") && f.touches("crm_x") && !f.touches("other"));
}

#[test]
fn exclusions_always_win() {
    let f = filter("*,!tmp", "!*_bak, !shop.secret, tmp.kept");
    assert!(!f.captures("shop", "secret"));
    assert!(!f.captures("shop", "orders_bak"));
    assert!(!f.captures("tmp", "kept"), "the database is excluded");
    let f = filter("*", "!*_bak,!shop.secret");
    assert!(
        f.captures("shop", "orders"),
        "exclusions alone mean everything else"
    );
    assert!(!f.captures("shop", "secret") && f.captures("crm", "secret"));
    let f = filter("!logs", "*");
    assert!(f.captures("shop", "x") && !f.captures("logs", "x"));
    assert!(!filter("*", "*,!logs.*").touches("logs"));
}

#[test]
fn system_schemas_need_their_name() {
    let f = filter("*", "*");
    for db in [
        "mysql",
        "information_schema",
        "SYS",
        "oceanbase",
        "__recyclebin",
        "performance_schema",
    ] {
        assert!(!f.captures(db, "user") && !f.touches(db), "{db}");
    }
    assert!(!filter("my*", "*").captures("mysql", "user"));
    assert!(filter("mysql", "*").captures("mysql", "user"));
    assert!(filter("test", "mysql.user").captures("mysql", "user"));
    assert!(!filter("test", "*.user").captures("mysql", "user"));
}

#[test]
fn copies_that_tools_make_of_captured_tables_are_left_out() {
    let f = filter("shop", "*");
    for name in [
        "_orders_gho",
        "_orders_ghc",
        "_orders_del",
        "_orders_new",
        "_orders_old",
        "__orders_new",
        "___orders_old",
    ] {
        assert!(!f.captures("shop", name) && f.is_ghost("shop", name), "{name}");
        assert!(!f.is_ghost("other", name), "not listed anyway");
        assert!(f.clone().with_ghosts(true).captures("shop", name), "{name}");
    }
    for name in [
        "orders_new",
        "_orders",
        "__new",
        "_new",
        "_orders_newer",
        "orders_gho",
    ] {
        assert!(f.captures("shop", name) && !f.is_ghost("shop", name), "{name}");
    }
    let f = filter("shop", "_orders_new, _items_*, users");
    assert!(
        f.captures("shop", "_orders_new"),
        "the table is asked for by name"
    );
    assert!(
        f.captures("shop", "_items_old"),
        "no table of that kind is captured"
    );
    assert!(!f.is_ghost("shop", "_users_gho") && !f.captures("shop", "_users_gho"));
    let f = filter("shop", "_*");
    assert!(f.is_ghost("shop", "__a_gho") && !f.is_ghost("shop", "_a_gho"));
}

#[test]
fn backquotes_take_names_literally() {
    let f = filter("`a.b`", "`x,y`, `st*r`, `tick``s`, `db.1`.`t?`");
    assert!(f.captures("a.b", "x,y") && f.captures("a.b", "st*r") && f.captures("a.b", "tick`s"));
    assert!(!f.captures("a.b", "star"));
    assert!(f.captures("db.1", "t?") && !f.captures("db.1", "tt"));
    assert!(filter("s", "`!x`").captures("s", "!x"));
}

#[test]
fn what_cannot_be_read_is_told_one_by_one() {
    let errors = TableFilter::parse("a.b", "a.b.c,`open,.x,!").unwrap_err();
    assert_eq!(errors.len(), 3, "{errors:#?}");
    let errors = TableFilter::parse("ok", "a.,!,b.c").unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(
        TableFilter::parse("", ",, ,").is_ok(),
        "empty entries mean nothing"
    );
}

#[test]
fn globs_backtrack_without_exploding() {
    let f = filter("s", "*a*b*c");
    assert!(f.captures("s", "xaxxbxbc") && !f.captures("s", "xaxxbxbcx"));
    let long = "a".repeat(64);
    assert!(!filter("s", "a*a*a*a*a*a*a*a*a*a*b").captures("s", &long));
    assert!(filter("s", "表?_*").captures("s", "表一_x"));
}
