//! What ALTER TABLE makes of a table.
//!
//! As the servers do it: every clause means the columns as they were before the statement; those that are given a
//! place, and new ones, find it among the columns that stay, one after another.

use super::column::{Declared, Key, column, key};
use super::cursor::Cursor;
use super::{Derived, Scene, now, options};
use crate::change::TableId;
use crate::source::schema::{ColumnDefinition, TableDefinition, column_type};

/// First words of clauses that say nothing of columns.
const INDIFFERENT: [&str; 9] = [
    "alter",
    "enable",
    "disable",
    "force",
    "order",
    "partition",
    "remove",
    "discard",
    "import",
];

/// What can be done to partitions. MariaDB's CONVERT is not among them: it makes a table, or takes one.
const OF_PARTITIONS: [&str; 13] = [
    "add",
    "drop",
    "reorganize",
    "coalesce",
    "truncate",
    "discard",
    "import",
    "exchange",
    "analyze",
    "check",
    "optimize",
    "rebuild",
    "repair",
];

/// Where a column goes.
enum Place {
    Last,
    First,
    After(String),
}

/// What is done to the columns.
#[derive(Default)]
struct Changes {
    dropped: Vec<String>,
    /// Old and new name.
    renamed: Vec<(String, String)>,
    /// Old name, new column, and a place if it moves.
    changed: Vec<(String, ColumnDefinition, Option<Place>)>,
    added: Vec<(ColumnDefinition, Place)>,
    /// New columns and moved ones, in the order of the statement: an index into `added`, or into `changed`.
    placed: Vec<Placed>,
    key: Option<Vec<String>>,
    new_name: Option<TableId>,
}

enum Placed {
    Added(usize),
    Moved(usize),
}

pub(super) fn alter(cursor: &mut Cursor<'_>, scene: &Scene<'_>, derived: &mut Derived) -> Option<()> {
    while cursor.take("online") || cursor.take("ignore") {}
    cursor.expect("table")?;
    cursor.take_all(&["if", "exists"]);
    let id = cursor.table(scene.db)?;
    if !cursor.take("nowait") && cursor.take("wait") {
        cursor.word()?;
    }
    let before = now(&id, scene, derived);
    let clauses = cursor.clone().items();
    cursor.skip_rest()?;
    let Some(mut table) = before else {
        // Its new name would be unknown as well, and it is found in the text by whoever asks for it.
        derived.insert(id, None);
        return Some(());
    };
    let charset_before = table.charset.clone();
    for clause in &clauses {
        if let Some(charset) = converted_charset(&mut clause.clone()) {
            for text in table.columns.iter_mut().filter(|column| column.charset.is_some()) {
                text.charset = Some(charset.clone());
            }
            table.charset = Some(charset);
        }
    }
    let mut changes = Changes::default();
    for mut clause in clauses {
        if is_of_partitions(&clause) {
            // What follows are names of partitions; nothing else can.
            break;
        }
        read(&mut clause, scene, &mut table, &mut changes)?;
        clause.is_at_end().then_some(())?;
    }
    // What a text has that is declared beside a change of the character set is not the same everywhere.
    let declares = !changes.added.is_empty() || !changes.changed.is_empty();
    (table.charset == charset_before || !declares).then_some(())?;
    let new_name = changes.new_name.take();
    let table = apply(table, changes)?;
    match new_name {
        Some(to) => {
            derived.insert(id, None);
            derived.insert(to, Some(table));
        }
        None => {
            derived.insert(id, Some(table));
        }
    }
    Some(())
}

/// Whether the clause is about partitions: the columns stay.
fn is_of_partitions(clause: &Cursor<'_>) -> bool {
    let mut clause = clause.clone();
    let verb = clause.word();
    verb.is_some_and(|verb| OF_PARTITIONS.contains(&verb.as_str())) && clause.take("partition")
}

/// The character set that all columns are converted to.
fn converted_charset(clause: &mut Cursor<'_>) -> Option<String> {
    clause.take_all(&["convert", "to"]).then_some(())?;
    options::named_charset(clause)?
}

/// Reads one clause.
fn read(
    clause: &mut Cursor<'_>,
    scene: &Scene<'_>,
    table: &mut TableDefinition,
    changes: &mut Changes,
) -> Option<()> {
    let Some(word) = clause.peek_word() else {
        return clause.is_at_end().then_some(());
    };
    match word.as_str() {
        "add" => add(clause, scene, table, changes),
        "drop" => drop(clause, table, changes),
        "modify" | "change" => {
            clause.word()?;
            clause.take("column");
            if clause.take_all(&["if", "exists"]) {
                return None;
            }
            let old = if word == "change" {
                clause.name()?
            } else {
                clause.clone().name()?
            };
            let new = column(clause, table.charset.as_deref(), scene.flavour)?;
            let place = place(clause)?;
            if new.is_key {
                changes.key = Some(vec![new.definition.name.clone()]);
            }
            if place.is_some() {
                changes.placed.push(Placed::Moved(changes.changed.len()));
            }
            changes.changed.push((old, new.definition, place));
            Some(())
        }
        "rename" => {
            clause.word()?;
            if clause.take("column") {
                let old = clause.name()?;
                clause.expect("to")?;
                changes.renamed.push((old, clause.name()?));
                return Some(());
            }
            if clause.take("index") || clause.take("key") {
                return clause.skip_rest();
            }
            let _optional = clause.take("to") || clause.take("as") || clause.take_symbol('=');
            changes.new_name = Some(clause.table(scene.db)?);
            Some(())
        }
        "convert" => {
            converted_charset(clause)?;
            if clause.take("collate") {
                clause.name()?;
            }
            Some(())
        }
        word if INDIFFERENT.contains(&word) => clause.skip_rest(),
        _ => {
            if let Some(charset) = options::charset(clause)? {
                table.charset = Some(charset);
            }
            Some(())
        }
    }
}

fn add(
    clause: &mut Cursor<'_>,
    scene: &Scene<'_>,
    table: &TableDefinition,
    changes: &mut Changes,
) -> Option<()> {
    clause.expect("add")?;
    let says_column = clause.take("column");
    if !says_column {
        match key(clause)? {
            Some(Key::Primary(names)) => {
                changes.key = Some(names);
                return Some(());
            }
            Some(Key::Other) => return Some(()),
            None => {}
        }
    }
    let optional = clause.take_all(&["if", "not", "exists"]);
    let mut added = |new: Declared, place: Place| {
        if optional && position(table, &new.definition.name).is_some() {
            return;
        }
        if new.is_key {
            changes.key = Some(vec![new.definition.name.clone()]);
        }
        changes.placed.push(Placed::Added(changes.added.len()));
        changes.added.push((new.definition, place));
    };
    let charset = table.charset.as_deref();
    if let Some(several) = clause.parenthesis() {
        for mut item in several.items() {
            let new = column(&mut item, charset, scene.flavour)?;
            item.is_at_end().then_some(())?;
            added(new, Place::Last);
        }
        return Some(());
    }
    let new = column(clause, charset, scene.flavour)?;
    let place = place(clause)?.unwrap_or(Place::Last);
    added(new, place);
    Some(())
}

fn drop(clause: &mut Cursor<'_>, table: &TableDefinition, changes: &mut Changes) -> Option<()> {
    clause.expect("drop")?;
    if !clause.take("column") {
        if clause.take_all(&["primary", "key"]) {
            changes.key = Some(Vec::new());
            return Some(());
        }
        let others = ["index", "key", "foreign", "check"];
        if clause
            .peek_word()
            .is_some_and(|word| others.contains(&word.as_str()))
        {
            clause.word()?;
            clause.take("key");
            clause.take_all(&["if", "exists"]);
            // The primary key has a name as well.
            if clause.name().is_some_and(|name| same(&name, "primary")) {
                return None;
            }
            return clause.skip_rest();
        }
    }
    let optional = clause.take_all(&["if", "exists"]);
    let name = clause.name()?;
    let _no_effect = clause.take("restrict") || clause.take("cascade");
    // What becomes of a key that loses a column is not the same everywhere.
    if table.primary_key.iter().any(|key| same(key, &name)) {
        return None;
    }
    if position(table, &name).is_none() {
        return optional.then_some(());
    }
    changes.dropped.push(name);
    Some(())
}

/// `FIRST` or `AFTER name`, if that is next; the outer `None` if it cannot be read.
fn place(clause: &mut Cursor<'_>) -> Option<Option<Place>> {
    if clause.take("first") {
        return Some(Some(Place::First));
    }
    if clause.take("after") {
        return Some(Some(Place::After(clause.name()?)));
    }
    Some(None)
}

/// Column names compare without case.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn position(table: &TableDefinition, name: &str) -> Option<usize> {
    table.columns.iter().position(|column| same(&column.name, name))
}

fn apply(table: TableDefinition, changes: Changes) -> Option<TableDefinition> {
    let known = |name: &String| position(&table, name).is_some();
    let all_known = changes.renamed.iter().all(|(old, _)| known(old))
        && changes.changed.iter().all(|(old, ..)| known(old));
    all_known.then_some(())?;
    let new_name = |old: &String| -> String {
        let renamed = changes.renamed.iter().find(|(from, _)| same(from, old));
        let changed = changes.changed.iter().find(|(from, ..)| same(from, old));
        match (renamed, changed) {
            (Some((_, to)), _) => to.clone(),
            (None, Some((_, to, _))) => to.name.clone(),
            (None, None) => old.clone(),
        }
    };
    let primary_key = match &changes.key {
        Some(names) => names.clone(),
        None => table.primary_key.iter().map(new_name).collect(),
    };
    let mut columns: Vec<ColumnDefinition> = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        if changes.dropped.iter().any(|name| same(name, &column.name)) {
            continue;
        }
        match changes.changed.iter().find(|(old, ..)| same(old, &column.name)) {
            Some((_, new, None)) => columns.push(new.clone()),
            Some((_, _, Some(_))) => {}
            None => columns.push(ColumnDefinition {
                name: new_name(&column.name),
                ..column.clone()
            }),
        }
    }
    for placed in &changes.placed {
        let (column, place) = match placed {
            Placed::Added(at) => changes.added.get(*at).map(|(column, place)| (column, place))?,
            Placed::Moved(at) => {
                let (_, column, place) = changes.changed.get(*at)?;
                (column, place.as_ref()?)
            }
        };
        let at = match place {
            Place::Last => columns.len(),
            Place::First => 0,
            Place::After(name) => {
                let after = columns.iter().position(|column| same(&column.name, name))?;
                after.saturating_add(1)
            }
        };
        columns.insert(at, column.clone());
    }
    let mut table = TableDefinition {
        columns,
        primary_key,
        charset: table.charset,
    };
    settle_key(&mut table)?;
    // Converted texts have to be readable in what they were converted to.
    let readable = |c: &ColumnDefinition| column_type::parse(&c.column_type, c.charset.as_deref()).is_ok();
    table.columns.iter().all(readable).then_some(table)
}

/// Gives the key's columns the names by which the table knows them, and makes sure that no name occurs twice.
pub(super) fn settle_key(table: &mut TableDefinition) -> Option<()> {
    let names = std::mem::take(&mut table.primary_key);
    for name in names {
        let at = position(table, &name)?;
        table.primary_key.push(table.columns.get(at)?.name.clone());
    }
    let unique = |(at, column): (usize, &ColumnDefinition)| position(table, &column.name) == Some(at);
    table.columns.iter().enumerate().all(unique).then_some(())
}
