//! What a statement makes of the tables that it names: definitions carried forward by its text. Pure.
//!
//! The server only tells what a table is now. A collector that is behind needs what it was, and a statement in the
//! binlog says what became of it. Its text is a hint all the same: the next table map decides whether the derived
//! definition is the row's, and the periodic comparison with the server whether its names are. So a statement is
//! either understood wholly or not at all: any word that is not known here leaves the question to the server.

mod alter;
mod column;
mod cursor;
mod options;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::TableDefinition;
use crate::change::TableId;
use crate::position::Flavour;
use cursor::Cursor;
pub use options::charset_of_collation;

/// What is known where a statement stands.
pub struct Scene<'a> {
    /// Whose dialect it is.
    pub flavour: Flavour,
    /// The session's database.
    pub db: &'a str,
    /// The definition of a table in front of the statement.
    pub before: &'a dyn Fn(&TableId) -> Option<Arc<TableDefinition>>,
    /// The character set that a database gives to its new tables.
    pub database_charset: &'a dyn Fn(&str) -> Option<String>,
}

/// Every table that a statement changes, with what it is behind it; `None` for one that is gone, or of which nothing
/// was known.
pub type Derived = BTreeMap<TableId, Option<TableDefinition>>;

/// What the statement makes of its tables; `None` if it is not understood wholly.
pub fn derive(text: &[u8], scene: &Scene<'_>) -> Option<Derived> {
    let text = std::str::from_utf8(text).ok()?;
    // What these mean depends on the session or on the server's version.
    if text.contains(['"', '\\']) || text.contains("/*!") || text.contains("/*M!") {
        return None;
    }
    let mut cursor = Cursor::new(text);
    let mut derived = Derived::new();
    match cursor.word()?.as_str() {
        "create" => create(&mut cursor, scene, &mut derived)?,
        "alter" => alter::alter(&mut cursor, scene, &mut derived)?,
        "rename" => rename(&mut cursor, scene, &mut derived)?,
        "drop" => drop_tables(&mut cursor, scene, &mut derived)?,
        _ => return None,
    }
    cursor.is_at_end().then_some(derived)
}

/// The database whose character set the statement gives, and that; `None` for any other statement.
pub fn database_charset(text: &[u8]) -> Option<(String, String)> {
    let mut cursor = Cursor::new(std::str::from_utf8(text).ok()?);
    let _verb = cursor.take("create") || cursor.take("alter");
    let _replaces = cursor.take_all(&["or", "replace"]);
    if !cursor.take("database") {
        cursor.expect("schema")?;
    }
    cursor.take_all(&["if", "not", "exists"]);
    let db = cursor.name()?;
    Some((db, options::charset(&mut cursor)??))
}

/// What a table is at this point of the statement.
fn now(id: &TableId, scene: &Scene<'_>, derived: &Derived) -> Option<TableDefinition> {
    match derived.get(id) {
        Some(changed) => changed.clone(),
        None => (scene.before)(id).map(|definition| TableDefinition::clone(&definition)),
    }
}

fn create(cursor: &mut Cursor<'_>, scene: &Scene<'_>, derived: &mut Derived) -> Option<()> {
    let _replaces = cursor.take_all(&["or", "replace"]);
    if cursor.take("temporary") {
        return cursor.skip_rest();
    }
    cursor.expect("table")?;
    // Whether there was a table already decides what `IF NOT EXISTS` did: it is not understood.
    let id = cursor.table(scene.db)?;
    if cursor.take("like") {
        let like = cursor.table(scene.db)?;
        derived.insert(id, now(&like, scene, derived));
        return Some(());
    }
    let mut items = cursor.parenthesis()?;
    if items.take("like") {
        let like = items.table(scene.db)?;
        derived.insert(id, now(&like, scene, derived));
        return items.is_at_end().then_some(());
    }
    let charset = match options::charset(cursor)? {
        Some(charset) => Some(charset),
        None => (scene.database_charset)(&id.db),
    };
    let mut definition = TableDefinition {
        columns: Vec::new(),
        primary_key: Vec::new(),
        charset,
    };
    for mut item in items.items() {
        match column::key(&mut item)? {
            Some(column::Key::Primary(names)) => definition.primary_key = names,
            Some(column::Key::Other) => {}
            None => {
                let column = column::column(&mut item, definition.charset.as_deref(), scene.flavour)?;
                item.is_at_end().then_some(())?;
                if column.is_key {
                    definition.primary_key = vec![column.definition.name.clone()];
                }
                definition.columns.push(column.definition);
            }
        }
    }
    (!definition.columns.is_empty()).then_some(())?;
    alter::settle_key(&mut definition)?;
    derived.insert(id, Some(definition));
    Some(())
}

fn rename(cursor: &mut Cursor<'_>, scene: &Scene<'_>, derived: &mut Derived) -> Option<()> {
    if !cursor.take("table") {
        cursor.expect("tables")?;
    }
    loop {
        let from = cursor.table(scene.db)?;
        cursor.expect("to")?;
        let to = cursor.table(scene.db)?;
        let definition = now(&from, scene, derived);
        derived.insert(from, None);
        derived.insert(to, definition);
        if !cursor.take_symbol(',') {
            return Some(());
        }
    }
}

fn drop_tables(cursor: &mut Cursor<'_>, scene: &Scene<'_>, derived: &mut Derived) -> Option<()> {
    if cursor.take("temporary") {
        return cursor.skip_rest();
    }
    if !cursor.take("table") {
        cursor.expect("tables")?;
    }
    cursor.take_all(&["if", "exists"]);
    loop {
        derived.insert(cursor.table(scene.db)?, None);
        if !cursor.take_symbol(',') {
            break;
        }
    }
    let _no_effect = cursor.take("restrict") || cursor.take("cascade");
    Some(())
}
