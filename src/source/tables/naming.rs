//! A statement, and which tables its text speaks of. Pure.

use crate::change::{DefinitionObject, TableId};
use crate::source::decode::statement::{Token, Tokens, target};
use crate::source::schema::history::Point;

/// A statement that changed definitions.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// Its text.
    pub text: &'a [u8],
    /// The session's database.
    pub db: &'a str,
    /// Where its event begins.
    pub begins: Point<'a>,
    /// Where its event ends.
    pub ends: Point<'a>,
    /// When it was done, seconds since 1970 by the server's clock.
    pub executed: u64,
    /// Whether it is told twice, where it begins and where it ends: rows of both shapes lie between.
    pub in_phases: bool,
}

/// The database that a statement makes, changes or drops, with all its tables.
pub(super) fn database(statement: &Statement<'_>) -> Option<String> {
    let target = target(std::str::from_utf8(statement.text).ok()?, statement.db)?;
    let is_database = target.object == DefinitionObject::Database;
    target
        .names
        .into_iter()
        .next()
        .filter(|_| is_database)
        .map(|name| name.db)
}

/// The table that a CREATE TABLE creates.
pub(super) fn created(statement: &Statement<'_>) -> Option<TableId> {
    let text = std::str::from_utf8(statement.text).ok()?;
    let creates =
        matches!(Tokens::new(text).next(), Some(Token::Word(verb)) if verb.eq_ignore_ascii_case("create"));
    let target =
        target(text, statement.db).filter(|target| creates && target.object == DefinitionObject::Table)?;
    target.names.into_iter().next()
}

/// Whether the two are the same table where names compare without case.
pub(super) fn is_namesake(one: &TableId, other: &TableId) -> bool {
    one.table.eq_ignore_ascii_case(&other.table) && one.db.eq_ignore_ascii_case(&other.db)
}

/// Whether a lower-case statement may name the table.
pub(super) fn may_name(text: &[u8], table: &str) -> bool {
    // Such names have several spellings: escaped quotes, case beyond ASCII, other character sets.
    if !table.is_ascii() || table.contains('`') || table.contains('"') {
        return true;
    }
    let name = table.to_ascii_lowercase();
    let name = name.as_bytes();
    // A longer name that has this one in it is another table's.
    let goes_on = |byte: Option<&u8>| {
        byte.is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'_' | b'$' | 0x80..))
    };
    let whole = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        !goes_on(before) && !goes_on(text.get(at.saturating_add(name.len())))
    };
    text.windows(name.len().max(1))
        .enumerate()
        .any(|(at, window)| window == name && whole(at))
}
