use super::*;
use crate::source::sample::{self, Made};

fn body() -> Vec<u8> {
    let mut made = Made::new("a");
    made.table_map();
    made.events.pop().unwrap().body
}

fn ask(tables: &mut Tables, body: &[u8]) -> bool {
    let filter = TableFilter::parse("shop", "*").unwrap();
    match tables.map(body, &filter).unwrap() {
        Need::Nothing => false,
        Need::Definition(id) => {
            tables.define(sample::definition(&id), "a:4").unwrap();
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
    tables.changed(b"ALTER TABLE something_else ADD b int");
    assert!(!ask(&mut tables, &body()));
    tables.changed(b"alter table `MADE` add b int");
    assert!(ask(&mut tables, &body()));
    assert!(Arc::ptr_eq(&first, &schema(&tables)), "nothing changed after all");
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
    let mut tables = Tables::new(TypePolicy::SkipTable, BTreeSet::new());
    for notices in [1, 0] {
        tables.new_file();
        assert!(matches!(tables.map(&body(), &filter), Ok(Need::Definition(_))));
        tables.define(Some(read("vector(3)")), "a:4").unwrap();
        assert!(tables.get(9).unwrap().schema.is_none());
        assert_eq!(tables.notice().into_iter().count(), notices);
    }
    tables.new_file();
    assert!(ask(&mut tables, &body()));
    assert!(tables.get(9).unwrap().schema.is_some());

    let mut halts = Tables::default();
    halts.map(&body(), &filter).unwrap();
    let failure = halts.define(Some(read("vector(3)")), "a:4").unwrap_err();
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
