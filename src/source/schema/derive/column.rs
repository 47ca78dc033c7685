//! A column as CREATE TABLE and ALTER TABLE declare it.

use super::cursor::Cursor;
use super::options::named_charset;
use crate::position::Flavour;
use crate::source::decode::statement::Token;
use crate::source::schema::{ColumnDefinition, column_type};

/// A declared column.
pub(super) struct Declared {
    pub(super) definition: ColumnDefinition,
    /// Whether the declaration makes it the primary key.
    pub(super) is_key: bool,
}

/// An entry of a table that is no column.
pub(super) enum Key {
    /// The primary key's columns.
    Primary(Vec<String>),
    /// An index or a condition: without consequence for rows.
    Other,
}

/// Types whose values have a character set.
const TEXTS: [&str; 8] = [
    "char",
    "varchar",
    "tinytext",
    "text",
    "mediumtext",
    "longtext",
    "enum",
    "set",
];

/// A key or a condition, if that is next; the outer `None` if it cannot be read.
pub(super) fn key(item: &mut Cursor<'_>) -> Option<Option<Key>> {
    let mut ahead = item.clone();
    if ahead.take("constraint") {
        let unnamed = ["primary", "unique", "foreign", "check"];
        if !ahead
            .peek_word()
            .is_some_and(|word| unnamed.contains(&word.as_str()))
        {
            ahead.name()?;
        }
    }
    if ahead.take_all(&["primary", "key"]) {
        if ahead.take("using") {
            ahead.word()?;
        }
        let mut names = Vec::new();
        for mut part in ahead.parenthesis()?.items() {
            names.push(part.name()?);
            // A part of a column, or an order: the key is still the column's.
            let _length = part.parenthesis();
            let _order = part.take("asc") || part.take("desc");
            part.is_at_end().then_some(())?;
        }
        item.skip_rest()?;
        return Some(Some(Key::Primary(names)));
    }
    let others = [
        "index", "key", "unique", "fulltext", "spatial", "foreign", "check",
    ];
    if ahead
        .peek_word()
        .is_some_and(|word| others.contains(&word.as_str()))
    {
        item.skip_rest()?;
        return Some(Some(Key::Other));
    }
    Some(None)
}

/// Reads a column's name, type and attributes, up to the end or to `FIRST` or `AFTER`.
///
/// `charset` is what a text without one of its own has.
pub(super) fn column(item: &mut Cursor<'_>, charset: Option<&str>, flavour: Flavour) -> Option<Declared> {
    let name = item.name()?;
    let word = item.word()?;
    let mut text = word.clone();
    if word == "double" {
        item.take("precision");
    }
    if let Some(arguments) = arguments(item, &word)? {
        text.push_str(&arguments);
    }
    let mut own = None;
    let mut is_key = false;
    while let Some(next) = item.peek_word() {
        match next.as_str() {
            "first" | "after" => break,
            "unsigned" | "zerofill" => {
                text.push(' ');
                text.push_str(&next);
                item.word()?;
            }
            "signed" | "null" | "auto_increment" | "visible" | "invisible" => {
                item.word()?;
            }
            "not" => {
                item.word()?;
                item.expect("null")?;
            }
            "default" => default_value(item)?,
            "on" => {
                item.take_all(&["on", "update"]).then_some(())?;
                function(item)?;
            }
            "comment" => {
                item.word()?;
                is_text(item.any()?)?;
            }
            "unique" => {
                item.word()?;
                item.take("key");
            }
            "primary" | "key" => {
                item.take("primary");
                item.expect("key")?;
                is_key = true;
            }
            "check" => {
                item.word()?;
                item.parenthesis()?;
            }
            "srid" => {
                item.word()?;
                item.word()?;
            }
            _ => own = Some(named_charset(item)??),
        }
    }
    let (text, charset) = match (word.as_str(), flavour) {
        ("json", Flavour::MariaDb) => ("longtext".to_owned(), Some("utf8mb4".to_owned())),
        (word, _) if TEXTS.contains(&word) => (text, Some(own.or_else(|| charset.map(str::to_owned))?)),
        _ => (text, None),
    };
    column_type::parse(&text, charset.as_deref()).ok()?;
    Some(Declared {
        definition: ColumnDefinition {
            name,
            column_type: text,
            charset,
        },
        is_key,
    })
}

/// The type's arguments as text, if it has some; the outer `None` if they cannot be read or make it another type.
fn arguments(item: &mut Cursor<'_>, word: &str) -> Option<Option<String>> {
    let Some(inside) = item.parenthesis() else {
        return Some(None);
    };
    // These become the smallest type that holds so much, or a DOUBLE.
    if matches!(word, "text" | "blob" | "float") {
        return None;
    }
    let labels = matches!(word, "enum" | "set");
    let mut texts = Vec::new();
    for mut argument in inside.items() {
        texts.push(match argument.any()? {
            Token::Text(label, false) if labels && label.is_ascii() && !label.ends_with(' ') => {
                format!("'{label}'")
            }
            Token::Word(number) if !labels && number.bytes().all(|b| b.is_ascii_digit()) => number.to_owned(),
            Token::Text(..) | Token::Word(_) | Token::Name(_) | Token::Symbol(_) => return None,
        });
        argument.is_at_end().then_some(())?;
    }
    Some(Some(format!("({})", texts.join(","))))
}

fn is_text(token: Token<'_>) -> Option<()> {
    matches!(token, Token::Text(_, false)).then_some(())
}

/// `DEFAULT` and its value: a literal, a function, or an expression in parentheses.
fn default_value(item: &mut Cursor<'_>) -> Option<()> {
    let mut ahead = item.clone();
    ahead.expect("default")?;
    // `DEFAULT CHARACTER SET` is no value.
    if ahead.take("character") || ahead.take("charset") {
        return None;
    }
    if ahead.parenthesis().is_none() {
        let _sign = ahead.take_symbol('-') || ahead.take_symbol('+');
        match ahead.any()? {
            Token::Text(_, false) => {}
            Token::Word(word) => {
                let number = word.bytes().all(|b| b.is_ascii_digit());
                if number && ahead.take_symbol('.') {
                    ahead.word()?;
                }
                // `b'1'`, `x'ff'`, `_utf8mb4'a'`
                if matches!(word, "b" | "B" | "x" | "X") || word.starts_with('_') {
                    is_text(ahead.any()?)?;
                }
                let _arguments = ahead.parenthesis();
            }
            Token::Text(_, true) | Token::Name(_) | Token::Symbol(_) => return None,
        }
    }
    *item = ahead;
    Some(())
}

/// `CURRENT_TIMESTAMP`, with or without arguments.
fn function(item: &mut Cursor<'_>) -> Option<()> {
    item.word()?;
    let _arguments = item.parenthesis();
    Some(())
}
