//! What kind of statement a QUERY event holds. Pure.
//!
//! The text is a hint, never the source of truth: it decides where a transaction ends and which schemas are
//! read again, nothing else. It can hold credentials and is never logged.

pub use crate::change::Definition;

/// A statement, as far as rows and schemas are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Rows follow, up to a commit.
    Begin,
    /// `XA START`: rows follow that a later, separate statement commits or rolls back.
    BeginXa,
    /// The transaction ends.
    Commit,
    /// The transaction ends and did not happen.
    Rollback,
    /// `XA COMMIT`, `XA ROLLBACK`: the transaction ends, its rows came when it was prepared.
    Finish,
    /// Savepoints, a server's filler comments, `XA END`.
    Nothing,
    /// Rows were changed by the statement itself.
    Dml,
    /// Columns or tables may have changed.
    Definition(Definition),
    /// Anything else that stands alone: `GRANT`, `ANALYZE` …
    Other,
}

/// The text without leading white space and comments. `/*!` and `/*M!` open code, not comments.
fn skip_comments(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        if let Some(code) = text.strip_prefix(b"/*!").or_else(|| text.strip_prefix(b"/*M!")) {
            let digits = code.iter().take_while(|b| b.is_ascii_digit()).count();
            text = code.get(digits..).unwrap_or_default();
        } else if text.starts_with(b"/*") {
            let end = text.windows(2).skip(2).position(|w| w == b"*/");
            text = end
                .and_then(|at| text.get(at.saturating_add(4)..))
                .unwrap_or_default();
        } else if is_line_comment(text) {
            let end = text.iter().position(|b| *b == b'\n');
            text = end.and_then(|at| text.get(at..)).unwrap_or_default();
        } else {
            return text;
        }
    }
}

/// Whether the rest of the line is a comment: `#`, or `--` and a space or the line's end behind it.
fn is_line_comment(text: &[u8]) -> bool {
    match text.strip_prefix(b"--") {
        Some(rest) => rest
            .first()
            .is_none_or(|b| b.is_ascii_whitespace() || b.is_ascii_control()),
        None => text.starts_with(b"#"),
    }
}

/// What follows on `SET STATEMENT variable = value, … FOR` (MariaDB); `None` for any other `SET`.
fn behind_settings(mut text: &[u8]) -> Option<&[u8]> {
    if !next_word(&mut text).eq_ignore_ascii_case(b"STATEMENT") {
        return None;
    }
    let mut quote = None;
    let mut previous = b' ';
    while let Some((&byte, rest)) = text.split_first() {
        match quote {
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if matches!(byte, b'\'' | b'"' | b'`') => quote = Some(byte),
            None if !is_name(previous) => {
                let mut ahead = text;
                if next_word(&mut ahead).eq_ignore_ascii_case(b"FOR") {
                    return Some(ahead);
                }
            }
            None => {}
        }
        previous = byte;
        text = rest;
    }
    None
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn next_word<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    *text = skip_comments(text);
    let len = text.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let (word, rest) = text.split_at_checked(len).unwrap_or((text, &[]));
    *text = rest;
    word
}

impl Query {
    /// Looks at the first words of a statement.
    pub fn of(text: &[u8]) -> Self {
        let mut rest = text;
        let first = next_word(&mut rest);
        // Longest keyword here is TRUNCATE; anything longer is none of them.
        let mut upper = [0u8; 12];
        let Some(word) = upper.get_mut(..first.len()) else {
            return Self::Other;
        };
        word.copy_from_slice(first);
        word.make_ascii_uppercase();
        match &*word {
            // No word at all: MariaDB fills up what an old replica must not see with `#` comments.
            b"" if rest.is_empty() => Self::Nothing,
            b"BEGIN" => Self::Begin,
            b"START" => Self::Begin,
            b"COMMIT" => Self::Commit,
            b"ROLLBACK" => {
                if next_word(&mut rest).is_empty() {
                    Self::Rollback
                } else {
                    // `ROLLBACK TO SAVEPOINT`: only in transactions that mix in tables that cannot roll back.
                    Self::Nothing
                }
            }
            b"SAVEPOINT" | b"RELEASE" => Self::Nothing,
            b"XA" => match next_word(&mut rest).to_ascii_uppercase().as_slice() {
                b"START" | b"BEGIN" => Self::BeginXa,
                b"END" => Self::Nothing,
                _ => Self::Finish,
            },
            b"INSERT" | b"UPDATE" | b"DELETE" | b"REPLACE" | b"LOAD" | b"WITH" => Self::Dml,
            b"ALTER" => Self::Definition(Definition::Alter),
            b"CREATE" => Self::Definition(Definition::Create),
            b"DROP" => Self::Definition(Definition::Drop),
            b"RENAME" => Self::Definition(Definition::Rename),
            b"TRUNCATE" => Self::Definition(Definition::Truncate),
            b"SET" => behind_settings(rest).map_or(Self::Other, Self::of),
            _ => Self::Other,
        }
    }
}

/// The names in front of a dot in a statement: databases it may reach besides the session's own.
///
/// Generous: dots in literals and in `table.column` count too. A name too many costs a schema read, or a
/// second look; a name too few would hide a change.
pub fn qualifiers(text: &[u8]) -> impl Iterator<Item = String> + '_ {
    let dots = text.iter().enumerate().filter(|(_, b)| **b == b'.');
    dots.filter_map(|(at, _)| {
        let before = text.get(..at)?.trim_ascii_end();
        let name = if let Some(quoted) = before.strip_suffix(b"`") {
            let open = quoted.iter().rposition(|b| *b == b'`')?;
            quoted.get(open.saturating_add(1)..)?
        } else {
            let start = before
                .iter()
                .rposition(|b| !is_name(*b))
                .map_or(0, |i| i.saturating_add(1));
            before.get(start..)?
        };
        (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart_by_their_first_words() {
        let cases: [(&str, Query); 33] = [
            ("BEGIN", Query::Begin),
            ("begin", Query::Begin),
            ("XA START X'61',X'',1", Query::BeginXa),
            ("XA END X'61',X'',1", Query::Nothing),
            ("XA COMMIT X'61',X'',1", Query::Finish),
            ("COMMIT", Query::Commit),
            ("ROLLBACK", Query::Rollback),
            ("ROLLBACK /* generated by server */", Query::Rollback),
            ("ROLLBACK TO `a`", Query::Nothing),
            ("SAVEPOINT `a`", Query::Nothing),
            ("#", Query::Nothing),
            ("# Dummy event replacing", Query::Nothing),
            ("", Query::Nothing),
            ("insert into t values (1)", Query::Dml),
            ("/* a */ UPDATE t SET a=1", Query::Dml),
            (
                "/*!40000 ALTER TABLE t DISABLE KEYS */",
                Query::Definition(Definition::Alter),
            ),
            (
                "-- x\nALTER TABLE t ADD b int",
                Query::Definition(Definition::Alter),
            ),
            (
                "/**/ create table t (a int)",
                Query::Definition(Definition::Create),
            ),
            (
                "DROP TABLE `t` /* generated by server */",
                Query::Definition(Definition::Drop),
            ),
            ("RENAME TABLE a TO b", Query::Definition(Definition::Rename)),
            ("TRUNCATE t", Query::Definition(Definition::Truncate)),
            ("GRANT ALL ON *.* TO a", Query::Other),
            ("SUPERLONGKEYWORDTHATISNONE x", Query::Other),
            ("/* never closed", Query::Nothing),
            (
                "# why\nALTER TABLE t ADD b int",
                Query::Definition(Definition::Alter),
            ),
            (
                "--\n\t# a\n--\tb\n drop table t",
                Query::Definition(Definition::Drop),
            ),
            ("# a\n# b", Query::Nothing),
            (
                "SET STATEMENT max_statement_time=60 FOR ALTER TABLE t ADD b int",
                Query::Definition(Definition::Alter),
            ),
            (
                "set statement sql_mode=' for drop', lock_wait_timeout = 1 for/**/RENAME TABLE a TO b",
                Query::Definition(Definition::Rename),
            ),
            ("SET STATEMENT a=1 FOR INSERT INTO t VALUES (1)", Query::Dml),
            ("SET STATEMENT a=1 FORALTER", Query::Other),
            ("SET PASSWORD FOR a = 'ALTER'", Query::Other),
            ("SET", Query::Other),
        ];
        for (text, expected) in cases {
            assert_eq!(Query::of(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn names_before_dots_are_found() {
        let names: Vec<_> = qualifiers(b"ALTER TABLE `a b`.`c`, d.e , x . y, 'q.r' WHERE 1.5 = .6").collect();
        assert_eq!(names, ["a b", "d", "x", "q", "1"]);
    }
}
