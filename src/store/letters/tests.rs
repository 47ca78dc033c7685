use std::sync::Arc;

use bytes::Bytes;

use super::super::document::temporary;
use super::*;
use crate::change::TableId;
use crate::position::Flavour;
use crate::record::{Layout, Origin, Part, Turn};

const TIME: &str = "2026-11-29T05:46:47Z";

fn identity() -> ServerIdentity {
    ServerIdentity {
        flavour: Flavour::MySql,
        server_uuid: "u".to_owned(),
        server_id: 1,
    }
}

fn table(name: &str) -> Arc<TableId> {
    Arc::new(TableId {
        db: "shop".to_owned(),
        table: name.to_owned(),
    })
}

/// Row `row` of a transaction, of this table and key.
fn record(row: u64, name: &str, hash_key: u128) -> Record {
    Record {
        seq: row,
        id: RecordId {
            transaction: Arc::from("u:5"),
            part: Part::Row(row),
        },
        hash_key,
        layout: Layout::Blob,
        payload: Bytes::from(format!("{{\"row\":{row}}}")),
        origin: Origin {
            table: Some(table(name)),
            gtid: Some(Arc::from("u:5")),
            file: Arc::from("b.000007"),
            pos: 1187,
        }
        .into(),
        turn: Turn::InOrder,
    }
}

fn reason(code: &'static str) -> Reason {
    Reason {
        code,
        message: "no".to_owned(),
    }
}

fn append(store: &Store, records: &[Record]) -> Result<(), Failure> {
    store.append_dead_letters(&identity(), records, &reason("malformed"), TIME)
}

/// A store whose file has the rows 0 to 5: of keys 7, 8, 7, 8, 7 of one table, and of key 7 of another.
fn filled(dir: &Path) -> Store {
    let store = Store::open(dir, "g").unwrap();
    let mut rows: Vec<Record> = (0..5)
        .map(|row| record(row, "items", 7 + u128::from(row % 2)))
        .collect();
    rows.push(record(5, "notes", 7));
    append(&store, &rows).unwrap();
    store
}

fn ids(store: &Store) -> Vec<String> {
    let mut ids = Vec::new();
    let read = store.letters().each(|letter| {
        ids.push(letter.id);
        Ok(ControlFlow::Continue(()))
    });
    read.unwrap();
    ids
}

fn named(rows: &[u64]) -> Vec<String> {
    rows.iter().map(|row| format!("u:5:{row}")).collect()
}

fn key(name: &str, hash: u128) -> Key {
    Key {
        table: Some(table(name)),
        hash,
    }
}

#[test]
fn a_letter_is_the_whole_record_and_where_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "g").unwrap();
    append(&store, &[record(3, "items", 255)]).unwrap();
    let mut letters = Vec::new();
    let read = store.letters().each(|letter| {
        letters.push(letter);
        Ok(ControlFlow::Continue(()))
    });
    read.unwrap();
    let [letter] = letters.as_slice() else {
        panic!("{letters:?}");
    };
    assert_eq!(letter.written.as_deref(), Some(TIME));
    assert_eq!(letter.table.as_ref(), Some(&*table("items")));
    assert_eq!(letter.hash_key, format!("{:032x}", 255));
    assert_eq!(
        (letter.reason_code.as_str(), letter.reason.as_str()),
        ("malformed", "no")
    );
    assert_eq!(letter.attributes["cdc.id"], "u:5:3");
    assert_eq!(letter.attributes["cdc.group"], "g");
    let position = letter.position.as_ref().unwrap();
    assert_eq!(
        (position.gtid.as_deref(), &*position.file, position.pos),
        (Some("u:5"), "b.000007", 1187)
    );
    let (read, written) = (letter.record().unwrap(), record(3, "items", 255));
    assert_eq!(
        (read.id, read.payload, read.layout),
        (written.id.clone(), written.payload.clone(), written.layout)
    );
    assert_eq!(read.origin.get(), written.origin.get());
    assert_eq!((read.hash_key, read.turn), (255, Turn::Letter));
}

#[test]
fn letters_of_older_versions_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "g").unwrap();
    let body = r#"{"id":"u:5:3","identity":{"flavour":"mysql","server_uuid":"u","server_id":1},"hash_key":"000000000000000000000000000000ff","reason_code":"x","reason":"no","payload":"e30="}"#;
    let line = format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes()));
    fs::write(&store.letters.path, line).unwrap();
    let unknown = Key {
        table: None,
        hash: 255,
    };
    assert_eq!(
        store.letter_keys(|_| {}).unwrap(),
        HashMap::from([(unknown.clone(), 1)])
    );
    let wanted = Wanted::Keys(Arc::new(HashSet::from([unknown])));
    let [record]: [Record; 1] = store.read_letters(&wanted, 1).unwrap().try_into().unwrap();
    assert_eq!(
        (record.payload.as_ref(), record.origin.get()),
        (b"{}".as_slice(), None)
    );
}

#[test]
fn letters_survive_a_torn_append() {
    let dir = tempfile::tempdir().unwrap();
    let path = {
        let store = Store::open(dir.path(), "g").unwrap();
        append(&store, &[record(3, "items", 255)]).unwrap();
        store.letters.path.clone()
    };
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        let mut torn = whole.clone();
        torn.extend_from_slice(&whole[..length]);
        fs::write(&path, &torn).unwrap();
        let file = LettersFile::of(dir.path(), "g");
        let mut seen = 0;
        let read = file.each(|_| {
            seen += 1;
            Ok(ControlFlow::Continue(()))
        });
        read.unwrap();
        assert_eq!(seen, 1, "read beside a writer after {length} bytes");
        let store = Store::open(dir.path(), "g").unwrap();
        append(&store, &[record(4, "items", 255)]).unwrap();
        assert_eq!(ids(&store), named(&[3, 4]), "torn after {length} bytes");
    }
    fs::write(&path, "00000000 {}\n").unwrap();
    let damaged = Store::open(dir.path(), "g")
        .unwrap()
        .letter_keys(|_| {})
        .unwrap_err();
    assert_eq!(damaged.reason.code, "dead_letters_unreadable");
    assert!(damaged.reason.message.contains("line 1"), "{damaged}");
}

#[test]
fn a_full_file_takes_nothing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let size = store.letters.len().unwrap();
    let store = store.with_letter_limit(size + 10);
    let full = append(&store, &[record(6, "items", 9)]).unwrap_err();
    assert_eq!(full.reason.code, "dead_letters_full");
    assert_eq!(ids(&store), named(&[0, 1, 2, 3, 4, 5]));
    store
        .remove_letters(&HashSet::from(["u:5:1".to_owned()]))
        .unwrap();
    append(&store, &[record(6, "items", 9)]).unwrap();
    assert_eq!(ids(&store), named(&[0, 2, 3, 4, 5, 6]));
}

#[test]
fn letters_of_one_append_are_all_there_or_none_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).with_letter_limit(1 << 20);
    let mut many: Vec<Record> = (6..9).map(|row| record(row, "items", 9)).collect();
    many.push(Record {
        payload: Bytes::from(vec![b'x'; 1 << 20]),
        ..record(9, "items", 9)
    });
    assert!(append(&store, &many).is_err());
    assert_eq!(ids(&store), named(&[0, 1, 2, 3, 4, 5]));
}

#[test]
fn letters_are_read_by_key_in_order_and_in_rounds() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let mut keys = HashMap::new();
    keys.extend([(key("items", 7), 3), (key("items", 8), 2), (key("notes", 7), 1)]);
    assert_eq!(store.letter_keys(|_| {}).unwrap(), keys);
    let read = |wanted: &Wanted, bytes| -> Vec<String> {
        let letters = store.read_letters(wanted, bytes).unwrap();
        letters.iter().map(|letter| letter.id.to_string()).collect()
    };
    let of = |keys: &[Key]| Wanted::Keys(Arc::new(keys.iter().cloned().collect()));
    assert_eq!(read(&of(&[key("items", 7)]), usize::MAX), named(&[0, 2, 4]));
    assert_eq!(
        read(&of(&[key("items", 7), key("items", 8)]), 1),
        named(&[0]),
        "one at least"
    );
    let two = 2 * record(0, "items", 7).cost();
    assert_eq!(
        read(&of(&[key("items", 7), key("items", 8)]), two),
        named(&[0, 1])
    );
    assert_eq!(
        read(&Wanted::UpTo("u:5:2".to_owned()), usize::MAX),
        named(&[0, 2])
    );
    assert_eq!(read(&Wanted::UpTo("u:5:5".to_owned()), usize::MAX), named(&[5]));
    assert_eq!(read(&Wanted::UpTo("u:5:9".to_owned()), usize::MAX), named(&[]));
}

#[test]
fn a_crash_while_letters_leave_has_the_file_before_or_the_file_after() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let before = fs::read(&store.letters.path).unwrap();
    store
        .remove_letters(&named(&[0, 2]).into_iter().collect())
        .unwrap();
    let after = fs::read(&store.letters.path).unwrap();
    assert_eq!(ids(&store), named(&[1, 3, 4, 5]));
    drop(store);
    // Before the rename a crash can leave any prefix of the new file beside the old one.
    for length in 0..=after.len() {
        let file = LettersFile::of(dir.path(), "g");
        fs::write(&file.path, &before).unwrap();
        fs::write(temporary(&file.path), &after[..length]).unwrap();
        let store = Store::open(dir.path(), "g").unwrap();
        assert_eq!(ids(&store), named(&[0, 1, 2, 3, 4, 5]), "{length} bytes");
        store
            .remove_letters(&named(&[0, 2]).into_iter().collect())
            .unwrap();
        assert_eq!(fs::read(&file.path).unwrap(), after, "{length} bytes");
    }
}

#[test]
fn what_is_given_up_stands_in_the_audit_file_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let selection = Selection::Key(format!("{:032x}", 7));
    let gone = store.discard_letters(&selection, "known bad", TIME).unwrap();
    assert_eq!(gone, (4, HashMap::from([(key("items", 8), 2)])));
    assert_eq!(ids(&store), named(&[1, 3]));
    let audit = fs::read_to_string(&store.letters.audit).unwrap();
    let lines: Vec<Discarded> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seen: Vec<String> = lines.iter().map(|line| line.id.clone()).collect();
    assert_eq!(seen, named(&[0, 2, 4, 5]));
    assert!(
        lines
            .iter()
            .all(|line| line.reason == "known bad" && line.time == TIME)
    );
    let mut ids_given_up = Vec::new();
    store.discarded(|id| ids_given_up.push(id.to_string())).unwrap();
    assert_eq!(ids_given_up, named(&[0, 2, 4, 5]));
    // The audit file cannot be written: nothing leaves.
    fs::remove_file(&store.letters.audit).unwrap();
    fs::create_dir(&store.letters.audit).unwrap();
    let failure = store
        .discard_letters(&Selection::All, "known bad", TIME)
        .unwrap_err();
    assert_eq!(failure.reason.code, "dead_letter_write");
    assert_eq!(ids(&store), named(&[1, 3]));
}
