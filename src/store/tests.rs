use super::document::temporary;
use super::*;
use crate::position::{FilePosition, Flavour, OpenTransaction};

fn identity(uuid: &str) -> ServerIdentity {
    ServerIdentity {
        flavour: Flavour::MySql,
        server_uuid: uuid.to_owned(),
        server_id: 1,
    }
}

fn position(gno: u64) -> Position {
    Position {
        gtid_set: Some(
            format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-{gno}")
                .parse()
                .unwrap(),
        ),
        file: FilePosition {
            file: "binlog.000007".to_owned(),
            pos: 4 + gno,
        },
        open: gno.is_multiple_of(2).then(|| OpenTransaction {
            id: format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{}", gno + 1),
            rows: gno,
            fingerprint: 0xfeed,
        }),
        parked: Vec::new(),
    }
}

fn code(failure: &Failure) -> &'static str {
    failure.reason.code
}

#[test]
fn i9_a_checkpoint_reads_back_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("made/on/demand"), "g").unwrap();
    assert_eq!(store.read_checkpoint().unwrap(), None);
    for gno in 1..5 {
        store
            .write_checkpoint(&identity("u"), &position(gno), Some(7), 4)
            .unwrap();
        let read = store.read_checkpoint().unwrap().unwrap();
        assert_eq!((read.identity, read.position), (identity("u"), position(gno)));
        assert_eq!((read.topic_created_s, read.epoch), (Some(7), 4));
    }
}

#[test]
fn a_checkpoint_from_before_there_were_epochs_is_read() {
    let checkpoint = Checkpoint {
        group: "g".to_owned(),
        identity: identity("u"),
        position: position(3),
        topic_created_s: None,
        epoch: 9,
    };
    let mut value = serde_json::to_value(&checkpoint).unwrap();
    value.as_object_mut().unwrap().remove("epoch");
    let read: Checkpoint = serde_json::from_value(value).unwrap();
    assert_eq!(
        read,
        Checkpoint {
            epoch: 0,
            ..checkpoint
        }
    );
}

#[test]
fn definitions_are_forgotten_once_and_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "g").unwrap();
    store.write_schemas(&identity("u"), &vec![1u8]).unwrap();
    for _ in 0..2 {
        store.remove_schemas().unwrap();
        assert_eq!(store.read_schemas::<Vec<u8>>().unwrap(), None);
    }
}

#[test]
fn i9_a_crash_at_any_step_leaves_the_old_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "g").unwrap();
    store
        .write_checkpoint(&identity("u"), &position(1), Some(7), 4)
        .unwrap();
    let next = CHECKPOINT
        .format(&Checkpoint {
            topic_created_s: None,
            epoch: 0,
            group: "g".to_owned(),
            identity: identity("u"),
            position: position(2),
        })
        .unwrap();
    // Before the rename a crash can leave any prefix of the new file beside the old one.
    for length in 0..=next.len() {
        fs::write(temporary(&store.checkpoint), &next[..length]).unwrap();
        assert_eq!(
            store.read_checkpoint().unwrap().unwrap().position,
            position(1),
            "{length} bytes"
        );
    }
    store
        .write_checkpoint(&identity("u"), &position(3), Some(7), 4)
        .unwrap();
    assert_eq!(store.read_checkpoint().unwrap().unwrap().position, position(3));
}

#[test]
fn i9_damage_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "g").unwrap();
    store
        .write_checkpoint(&identity("u"), &position(8), Some(7), 4)
        .unwrap();
    let good = fs::read(&store.checkpoint).unwrap();
    for length in 0..good.len() {
        fs::write(&store.checkpoint, &good[..length]).unwrap();
        let failure = store.read_checkpoint().unwrap_err();
        assert_eq!(code(&failure), "checkpoint_corrupt", "cut to {length} bytes");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x01;
        fs::write(&store.checkpoint, &bad).unwrap();
        assert!(store.read_checkpoint().is_err(), "bit flipped in byte {at}");
    }
}

#[test]
fn i9_a_newer_format_and_another_group_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "g").unwrap();
    fs::write(&store.checkpoint, "cdc-collector checkpoint 2 00000000\nwhatever").unwrap();
    assert_eq!(
        code(&store.read_checkpoint().unwrap_err()),
        "checkpoint_newer_format"
    );
    let other = Checkpoint {
        topic_created_s: None,
        epoch: 0,
        group: "h".to_owned(),
        identity: identity("u"),
        position: position(1),
    };
    fs::write(&store.checkpoint, CHECKPOINT.format(&other).unwrap()).unwrap();
    assert_eq!(
        code(&store.read_checkpoint().unwrap_err()),
        "checkpoint_other_group"
    );
}

#[test]
fn i9_damaged_newer_and_foreign_definitions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "g").unwrap();
    assert_eq!(store.read_schemas::<Vec<u8>>().unwrap(), None);
    let tables = vec![1u8, 2, 3];
    store.write_schemas(&identity("u"), &tables).unwrap();
    let read = store.read_schemas::<Vec<u8>>().unwrap().unwrap();
    assert_eq!((read.identity, read.tables), (identity("u"), tables));
    let good = fs::read(&store.schemas).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&store.schemas, bytes).unwrap();
        code(&store.read_schemas::<Vec<u8>>().unwrap_err())
    };
    for length in 0..good.len() {
        assert_eq!(
            refused(&good[..length]),
            "schema_history_corrupt",
            "{length} bytes"
        );
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x01;
        let code = refused(&bad);
        assert!(code.starts_with("schema_history_"), "bit flipped in byte {at}");
    }
    assert_eq!(
        refused(b"cdc-collector schemas 2 00000000\nwhatever"),
        "schema_history_newer_format"
    );
    assert_eq!(
        refused(
            &fs::read({
                store
                    .write_checkpoint(&identity("u"), &position(1), Some(7), 4)
                    .unwrap();
                &store.checkpoint
            })
            .unwrap()
        ),
        "schema_history_corrupt"
    );
    let other = Schemas {
        group: "h".to_owned(),
        identity: identity("u"),
        tables: vec![1u8],
    };
    assert_eq!(
        refused(&SCHEMAS.format(&other).unwrap()),
        "schema_history_other_group"
    );
    // A crash in the middle of a write leaves what was there.
    fs::write(&store.schemas, &good).unwrap();
    fs::write(temporary(&store.schemas), &good[..9]).unwrap();
    assert!(store.read_schemas::<Vec<u8>>().unwrap().is_some());
}

#[test]
fn one_collector_per_directory_and_group() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path(), "g").unwrap();
    assert_eq!(
        code(&Store::open(dir.path(), "g").unwrap_err()),
        "data_dir_in_use"
    );
    Store::open(dir.path(), "another").unwrap();
    drop(first);
    Store::open(dir.path(), "g").unwrap();
    assert_ne!(file_name("a/b"), file_name("a_b"));
}
