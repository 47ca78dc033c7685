//! The files that a run begins with: the checkpoint and the tables' definitions.

use std::fs;
use std::path::Path;

use cdc_collector::source::History;
use cdc_collector::store::Store;

/// The group that the files are written for.
pub const GROUP: &str = "g";

/// A file as it is, and as what follows a header line whose checksum is right, read both as a checkpoint and as the
/// tables' definitions. `dir` is the directory of `store`.
///
/// # Panics
/// If the files cannot be written; and where a document that was read is not the same after it was written.
pub fn files(store: &Store, dir: &Path, input: &[u8]) -> bool {
    let mut understood = false;
    for (name, magic) in [
        ("checkpoint", "cdc-collector checkpoint"),
        ("schemas", "cdc-collector schemas"),
    ] {
        let path = dir.join(format!("{GROUP}.{name}"));
        for file in [input, &with_header(magic, input)] {
            fs::write(&path, file).expect("a file");
            understood |= if name == "checkpoint" {
                checkpoint(store)
            } else {
                schemas(store)
            };
        }
        fs::remove_file(&path).expect("a file that was written");
    }
    understood
}

fn checkpoint(store: &Store) -> bool {
    let Ok(Some(checkpoint)) = store.read_checkpoint() else {
        return false;
    };
    let (position, shown) = (&checkpoint.position, checkpoint.position.to_string());
    position.order(position);
    position.covers(&shown, Some(0));
    if let Some(open) = &position.open {
        position.covers(&open.id, None);
    }
    true
}

fn schemas(store: &Store) -> bool {
    matches!(store.read_schemas::<History>(), Ok(Some(_)))
}

fn with_header(magic: &str, body: &[u8]) -> Vec<u8> {
    let mut file = format!("{magic} 1 {:08x}\n", crc32fast::hash(body)).into_bytes();
    file.extend_from_slice(body);
    file.push(b'\n');
    file
}
