use super::*;
use crate::source::schema::ColumnDefinition;

fn id() -> TableId {
    TableId {
        db: "shop".to_owned(),
        table: "t".to_owned(),
    }
}

fn definition(name: &str, column_type: &str) -> TableDefinition {
    TableDefinition {
        charset: None,
        columns: vec![ColumnDefinition {
            name: name.to_owned(),
            column_type: column_type.to_owned(),
            charset: None,
        }],
        primary_key: vec![name.to_owned()],
    }
}

fn place(pos: u64) -> FilePosition {
    FilePosition {
        file: "bin.000001".to_owned(),
        pos,
    }
}

fn look(audit: &mut Audit, used: &str, seen: &str, read_to: u64) -> Finding {
    let used = Arc::new(definition(used, "int(11)"));
    audit.judge(&id(), Some(used), Some(definition(seen, "int")), &place(read_to))
}

#[test]
fn a_difference_counts_once_what_the_server_had_written_was_read() {
    let mut audit = Audit::default();
    assert_eq!(look(&mut audit, "a", "a", 10), Finding::Fine);
    assert_eq!(look(&mut audit, "a", "b", 20), Finding::Suspicious);
    assert_eq!(
        look(&mut audit, "a", "b", 30),
        Finding::Suspicious,
        "the end is not known"
    );
    audit.head(&place(90));
    audit.head(&place(190));
    assert_eq!(look(&mut audit, "a", "b", 89), Finding::Fine, "still behind");
    let Finding::Unannounced { agreed, differences } = look(&mut audit, "a", "b", 90) else {
        panic!("not found");
    };
    assert_eq!(agreed, Some(place(10)));
    assert_eq!(
        differences,
        ["column 1 was a and is b", "its primary key is another one"]
    );
}

#[test]
fn a_statement_in_between_explains_it() {
    let mut audit = Audit::default();
    assert_eq!(look(&mut audit, "a", "b", 20), Finding::Suspicious);
    audit.head(&place(30));
    assert_eq!(
        audit.judge(&id(), None, Some(definition("b", "int")), &place(40)),
        Finding::Fine
    );
    assert_eq!(look(&mut audit, "b", "b", 50), Finding::Fine);
    // Another difference starts from the beginning.
    assert_eq!(look(&mut audit, "b", "c", 60), Finding::Suspicious);
    audit.head(&place(60));
    assert_eq!(look(&mut audit, "b", "d", 70), Finding::Suspicious);
}

#[test]
fn another_spelling_is_no_difference() {
    let before = definition("a", "bigint(20) unsigned");
    assert!(definition("a", "bigint unsigned").differences(&before).is_empty());
    assert_eq!(
        definition("a", "bigint").differences(&before),
        ["column a was bigint(20) unsigned and is bigint"]
    );
    let mut wider = definition("a", "bigint unsigned");
    wider.columns.extend(definition("b", "int").columns);
    assert_eq!(wider.differences(&before), ["it had 1 columns and has 2"]);
}

#[test]
fn many_tables_do_not_keep_the_server_busy() {
    let minute = Duration::from_secs(60);
    assert_eq!(pause(minute, 0), minute);
    assert_eq!(pause(minute, 60), Duration::from_secs(1));
    assert_eq!(pause(minute, 1_000_000), LEAST_PAUSE);
}
