use super::*;
use crate::position::FilePosition;
use crate::source::sample::{self, Made};
use crate::source::schema::history::Beginning;

fn body() -> Vec<u8> {
    let mut made = Made::new("a");
    made.table_map();
    made.events.pop().unwrap().body
}

fn everything() -> TableFilter {
    TableFilter::parse("*", "*").unwrap()
}

/// A statement that ends at `end`.
fn met(text: &[u8], end: u64, executed: u64) -> Statement<'_> {
    Statement {
        text,
        db: "shop",
        begins: at(end - 1),
        ends: at(end),
        executed,
        in_phases: false,
    }
}

fn at(pos: u64) -> Point<'static> {
    Point {
        file: "a.000001",
        pos,
        gtid_set: None,
    }
}

fn ask(tables: &mut Tables, body: &[u8]) -> bool {
    ask_at(tables, body, 4)
}

fn ask_at(tables: &mut Tables, body: &[u8], pos: u64) -> bool {
    let filter = TableFilter::parse("shop", "*").unwrap();
    match tables.map(body, &filter, at(pos)).unwrap() {
        Need::Nothing | Need::Mention(_) => false,
        Need::Definition(id) => {
            tables.define(sample::definition(&id), 0, at(pos)).unwrap();
            true
        }
    }
}

fn schema(tables: &Tables) -> Arc<TableSchema> {
    Arc::clone(tables.get(9).unwrap().schema.as_ref().unwrap())
}

#[test]
fn a_definition_is_asked_for_once_and_again_after_a_change() {
    let mut tables = Tables::default();
    assert!(ask(&mut tables, &body()));
    let first = schema(&tables);
    assert!(!ask(&mut tables, &body()));
    tables.new_file();
    assert!(!ask(&mut tables, &body()));
    assert!(Arc::ptr_eq(&first, &schema(&tables)));
    tables.changed(&met(b"ALTER TABLE something_else ADD b int", 5, 1), &everything());
    assert!(!ask(&mut tables, &body()));
    tables.changed(&met(b"alter table `MADE` add b int", 6, 1), &everything());
    assert!(ask_at(&mut tables, &body(), 7));
    assert!(Arc::ptr_eq(&first, &schema(&tables)), "nothing changed after all");
}

/// The table `made` under another name of its column.
fn renamed(name: &str) -> TableDefinition {
    let mut definition = sample::definition(&made()).unwrap();
    definition.columns[0].name = name.to_owned();
    definition.primary_key = vec![name.to_owned()];
    definition
}

fn made() -> TableId {
    TableId {
        db: "shop".to_owned(),
        table: "made".to_owned(),
    }
}

/// A run that begins at `pos` with what an earlier one left.
fn resumed(history: &History, pos: u64) -> Tables {
    begun(history, pos, true)
}

fn begun(history: &History, pos: u64, resumed: bool) -> Tables {
    let mut history = history.clone();
    let place = |pos| FilePosition {
        file: "a.000001".to_owned(),
        pos,
    };
    history.begin(Beginning {
        start: &Position {
            gtid_set: None,
            file: place(pos),
            open: None,
            parked: Vec::new(),
        },
        resumed,
        same_server: true,
        oldest: &place(4),
        head: &place(1000),
        executed: None,
    });
    Tables::new(history, TypePolicy::Halt, BTreeSet::new()).left_behind(!resumed)
}

fn learnt(tables: &mut Tables, pos: u64) -> History {
    let read_to = Position {
        gtid_set: None,
        file: FilePosition {
            file: "a.000001".to_owned(),
            pos,
        },
        open: None,
        parked: Vec::new(),
    };
    tables.learnt(|| read_to).expect("something new")
}

#[test]
fn i6_rows_of_the_past_are_read_with_what_held_then() {
    let filter = TableFilter::parse("shop", "*").unwrap();
    let mut tables = Tables::default();
    tables.map(&body(), &filter, at(10)).unwrap();
    tables.define(Some(renamed("old")), 1, at(10)).unwrap();
    assert!(
        tables
            .changed(
                &met(b"alter table made rename column old to new", 20, 2),
                &everything()
            )
            .is_empty()
    );
    tables.map(&body(), &filter, at(30)).unwrap();
    tables.define(Some(renamed("new")), 3, at(30)).unwrap();
    let history = learnt(&mut tables, 40);
    assert_eq!(tables.learnt(|| unreachable!()), None, "handed on once");

    let mut past = resumed(&history, 10);
    for (pos, name) in [(10, "old"), (15, "old"), (25, "new"), (30, "new"), (50, "new")] {
        if pos == 25 {
            past.changed(
                &met(b"alter table made rename column old to new", 20, 2),
                &everything(),
            );
        }
        assert_eq!(
            past.map(&body(), &filter, at(pos)).unwrap(),
            Need::Nothing,
            "{pos}"
        );
        assert_eq!(schema(&past).columns[0].name, name, "{pos}");
    }
    assert_eq!(past.learnt(|| unreachable!()), None, "it knew all of it");
    past.changed(&met(b"alter table made add x int", 60, 9), &everything());
    assert_eq!(
        past.map(&body(), &filter, at(61)).unwrap(),
        Need::Definition(made()),
        "behind what was read, statements count"
    );
}

#[test]
fn i6_a_statement_met_and_not_followed_by_rows_is_not_forgotten() {
    let filter = TableFilter::parse("shop", "*").unwrap();
    let mut tables = Tables::default();
    tables.map(&body(), &filter, at(10)).unwrap();
    tables.define(Some(renamed("old")), 1, at(10)).unwrap();
    drop(learnt(&mut tables, 15));
    tables.changed(
        &met(b"alter table made rename column old to new", 20, 2),
        &everything(),
    );
    let mut next = resumed(&learnt(&mut tables, 20), 20);
    assert_eq!(
        next.map(&body(), &filter, at(30)).unwrap(),
        Need::Definition(made())
    );
}

#[test]
fn i6_a_contradiction_is_answered_from_before_only_if_no_meaning_can_have_changed() {
    let filter = TableFilter::parse("shop", "*").unwrap();
    let mut wider = renamed("a");
    wider.columns.push(wider.columns[0].clone());
    for (statement, safe) in [("add index (a)", true), ("rename column a to b", false)] {
        let mut tables = Tables::default();
        tables.map(&body(), &filter, at(10)).unwrap();
        tables.define(Some(renamed("a")), 1, at(10)).unwrap();
        tables.changed(
            &met(format!("alter table made {statement}").as_bytes(), 20, 2),
            &everything(),
        );
        tables.map(&body(), &filter, at(30)).unwrap();
        // The server has gone on: another column was added since.
        let failure = tables.define(Some(wider.clone()), 3, at(30)).unwrap_err();
        assert_eq!(looks_worth(&failure), 1);
        assert_eq!(tables.recall(at(30)), safe, "{statement}");
        assert_eq!(tables.get(9).is_some(), safe);
    }
}

#[test]
fn a_definition_that_may_have_come_too_early_is_doubted() {
    let doubted = |statement: &str, read_at: u64| {
        let filter = TableFilter::parse("shop", "*").unwrap();
        let mut tables = Tables::default();
        tables.map(&body(), &filter, at(10)).unwrap();
        tables.define(Some(renamed("a")), read_at, at(10)).unwrap();
        tables
            .changed(&met(statement.as_bytes(), 20, 100), &everything())
            .len()
    };
    assert_eq!(doubted("alter table made rename column b to a", 99), 0);
    assert_eq!(doubted("alter table made rename column b to a", 100), 1);
    assert_eq!(doubted("alter table made add index (a)", 100), 0);
    assert_eq!(doubted("alter table another rename column b to a", 100), 0);
}

#[test]
fn i6_a_map_is_in_force_for_one_statement() {
    let mut tables = Tables::default();
    ask(&mut tables, &body());
    assert!(tables.get(9).is_some());
    tables.end_statement();
    assert!(tables.get(9).is_none());
    ask(&mut tables, &body());
    assert!(tables.get(9).is_some());
}

#[test]
fn a_table_that_cannot_be_read_is_left_out_once_and_may_come_back() {
    let read = |column_type: &str| {
        let mut definition = sample::definition(&TableId {
            db: "shop".to_owned(),
            table: "made".to_owned(),
        })
        .unwrap();
        definition.columns[0].column_type = column_type.to_owned();
        definition
    };
    let filter = TableFilter::parse("shop", "*").unwrap();
    let mut tables = Tables::new(History::default(), TypePolicy::SkipTable, BTreeSet::new());
    for notices in [1, 0] {
        tables.new_file();
        assert!(matches!(
            tables.map(&body(), &filter, at(4)),
            Ok(Need::Definition(_))
        ));
        tables.define(Some(read("vector(3)")), 0, at(4)).unwrap();
        assert!(tables.get(9).unwrap().schema.is_none());
        assert_eq!(tables.notice().into_iter().count(), notices);
    }
    tables.new_file();
    assert!(ask(&mut tables, &body()));
    assert!(tables.get(9).unwrap().schema.is_some());

    let mut halts = Tables::default();
    halts.map(&body(), &filter, at(4)).unwrap();
    let failure = halts.define(Some(read("vector(3)")), 0, at(4)).unwrap_err();
    assert_eq!(failure.reason.code, "schema_unsupported");
    assert!(failure.reason.message.contains("shop.made"), "{failure}");
}

#[test]
fn maps_do_not_pile_up() {
    let mut tables = Tables::default();
    for id in 0..5000u16 {
        let mut body = body();
        body[..2].copy_from_slice(&id.to_le_bytes());
        ask(&mut tables, &body);
        tables.end_statement();
    }
    assert!(tables.maps.len() <= MAX_MAPS);
}

#[test]
fn a_statement_names_a_table_where_its_name_stands_whole() {
    for (text, table, named) in [
        ("alter table orders add x int", "Orders", true),
        ("alter table `shop`.`orders` add x int", "orders", true),
        ("alter table orders_2 add x int", "orders", false),
        ("alter table old_orders add x int", "orders", false),
        (
            "alter table orders1 add y int, comment 'as orders'",
            "orders",
            true,
        ),
        ("alter table a add x int", "f\u{fc}r", true),
    ] {
        assert_eq!(may_name(text.as_bytes(), table), named, "{text}");
    }
}

#[test]
fn i6_a_statement_that_is_understood_changes_what_it_says_and_nothing_else() {
    let made = TableId {
        db: "shop".to_owned(),
        table: "made".to_owned(),
    };
    let held = |statement: &str| {
        let mut tables = Tables::default().with_charsets(Flavour::MySql, BTreeMap::new());
        ask(&mut tables, &body());
        let doubts = tables.changed(&met(statement.as_bytes(), 20, 2), &everything());
        assert!(doubts.is_empty());
        let columns = tables.in_force(&made, at(20)).map(|now| now.columns.len());
        let other = TableId {
            table: "other".to_owned(),
            ..made.clone()
        };
        (columns, tables.in_force(&other, at(20)).is_some())
    };
    let before = held("CREATE TABLE unrelated (id INT)").0.unwrap();
    for (statement, columns, other) in [
        ("CREATE TABLE other LIKE made", Some(before), true),
        ("ALTER TABLE made ADD extra INT", Some(before + 1), false),
        ("RENAME TABLE made TO other", None, true),
        ("DROP TABLE MADE", None, false),
        ("DROP DATABASE shop", None, false),
        ("DROP DATABASE attic", Some(before), false),
        ("CREATE TABLE IF NOT EXISTS made (x INT)", None, false),
        ("ALTER TABLE made ADD extra INT FROBNICATE", None, false),
        ("CREATE TABLE other SELECT * FROM made", Some(before), false),
    ] {
        assert_eq!(held(statement), (columns, other), "{statement}");
    }
}

#[test]
fn a_restart_behind_what_was_left_out_does_not_trust_what_was_known_before_it() {
    let mut tables = Tables::default();
    assert!(ask_at(&mut tables, &body(), 10));
    let history = learnt(&mut tables, 20);
    assert!(!ask_at(&mut resumed(&history, 100), &body(), 101), "all was read");
    let mut leapt = begun(&history, 100, false);
    let kept = learnt(&mut leapt, 100);
    assert!(
        ask_at(&mut resumed(&kept, 100), &body(), 101),
        "nobody knows what happened between"
    );
}
