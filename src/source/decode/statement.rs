//! What a statement that changes definitions names, and whether its text may be shown. Pure.
//!
//! Only tables, their indexes and databases are looked at: users, servers, subscriptions and whatever else can be
//! created hold credentials, and no rows that are relayed. The text is still a hint and no more; what is found here
//! decides over records that announce a change, never over rows.

use crate::change::{DefinitionObject, TableId};

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What kind of thing.
    pub object: DefinitionObject,
    /// Every table that it names as its object, old and new names alike; a database has no table name.
    pub names: Vec<TableId>,
}

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'t> {
    /// A keyword, a name or a number.
    Word(&'t str),
    /// A name in backquotes.
    Name(String),
    /// What is between quotes, and whether they are double ones, which may stand around a name.
    Text(&'t str, bool),
    /// Anything else.
    Symbol(char),
}

/// A statement's pieces, without white space and comments.
#[derive(Clone, Debug)]
pub struct Tokens<'t> {
    rest: &'t str,
}

impl<'t> Tokens<'t> {
    /// All of them.
    pub fn new(text: &'t str) -> Self {
        Self { rest: text }
    }

    /// Splits off what is in front of byte `at`.
    fn split(&mut self, at: usize) -> &'t str {
        let (front, rest) = self.rest.split_at_checked(at).unwrap_or((self.rest, ""));
        self.rest = rest;
        front
    }

    fn skip_comments(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let after = |end: &str, from: usize| {
                let behind = self.rest.get(from..)?;
                behind.find(end).map(|at| from + at + end.len())
            };
            let skipped = if let Some(code) =
                (self.rest.strip_prefix("/*!")).or_else(|| self.rest.strip_prefix("/*M!"))
            {
                // Code for the servers that understand it; its end is passed over below.
                let code = code.trim_start_matches(|c: char| c.is_ascii_digit());
                self.rest.len() - code.len()
            } else if self.rest.starts_with("*/") {
                2
            } else if self.rest.starts_with("/*") {
                after("*/", 2).unwrap_or(self.rest.len())
            } else if self.rest.starts_with('#') || self.rest.starts_with("-- ") {
                after("\n", 1).unwrap_or(self.rest.len())
            } else {
                return;
            };
            self.split(skipped);
        }
    }

    /// The inside of a quoted piece that begins here.
    fn quoted(&mut self, quote: char) -> &'t str {
        self.split(quote.len_utf8());
        let mut chars = self.rest.char_indices().peekable();
        let mut end = None;
        while let Some((at, c)) = chars.next() {
            if c == '\\' && quote != '`' {
                chars.next();
            } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
                end = Some(at);
                break;
            }
        }
        let inside = self.split(end.unwrap_or(self.rest.len()));
        self.split(quote.len_utf8());
        inside
    }

    /// Takes the word if it is next; case does not matter.
    fn word(&mut self, word: &str) -> bool {
        let mut ahead = self.clone();
        let is_it = matches!(ahead.next(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        if is_it {
            *self = ahead;
        }
        is_it
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let mut ahead = self.clone();
        let is_it = ahead.next() == Some(Token::Symbol(symbol));
        if is_it {
            *self = ahead;
        }
        is_it
    }

    fn part(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(word) => Some(word.to_owned()),
            Token::Name(name) => Some(name),
            Token::Text(text, true) => Some(text.to_owned()),
            Token::Text(..) | Token::Symbol(_) => None,
        }
    }

    /// A table's name, with its database or in the session's.
    fn table(&mut self, db: &str) -> Option<TableId> {
        let first = self.part()?;
        Some(if self.symbol('.') {
            TableId {
                db: first,
                table: self.part()?,
            }
        } else {
            TableId {
                db: db.to_owned(),
                table: first,
            }
        })
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        self.skip_comments();
        let first = self.rest.chars().next()?;
        Some(match first {
            '`' => Token::Name(self.quoted('`').replace("``", "`")),
            '\'' | '"' => Token::Text(self.quoted(first), first == '"'),
            c if is_word(c) => {
                let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
                Token::Word(self.split(end))
            }
            c => {
                self.split(c.len_utf8());
                Token::Symbol(c)
            }
        })
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// What the statement is about; `None` if that is no table, index or database, or is gone with its session.
pub fn target(text: &str, session_db: &str) -> Option<Target> {
    let mut tokens = Tokens { rest: text };
    let Token::Word(verb) = tokens.next()? else {
        return None;
    };
    let verb = verb.to_ascii_uppercase();
    let object = object(&mut tokens, verb == "TRUNCATE")?;
    let is_optional = tokens.word("IF");
    if is_optional && !(tokens.word("NOT") && tokens.word("EXISTS") || tokens.word("EXISTS")) {
        return None;
    }
    let mut names = Vec::new();
    match object {
        DefinitionObject::Database => names.push(TableId {
            db: tokens.part()?,
            table: String::new(),
        }),
        DefinitionObject::Index => {
            while !tokens.word("ON") {
                tokens.next()?;
            }
            names.push(tokens.table(session_db)?);
        }
        DefinitionObject::Table => {
            names.push(tokens.table(session_db)?);
            match verb.as_str() {
                "DROP" | "RENAME" => {
                    // `a, b` or `a TO b, c TO d`.
                    while tokens.symbol(',') || tokens.word("TO") {
                        names.push(tokens.table(session_db)?);
                    }
                }
                "ALTER" => names.extend(new_name(tokens, session_db)),
                _ => {}
            }
        }
    }
    Some(Target { object, names })
}

/// The word that says what kind of thing follows, past those that say more about it.
fn object(tokens: &mut Tokens<'_>, is_truncate: bool) -> Option<DefinitionObject> {
    const PASSED: [&str; 9] = [
        "OR", "REPLACE", "ONLINE", "OFFLINE", "IGNORE", "UNIQUE", "FULLTEXT", "SPATIAL", "EXTERNAL",
    ];
    loop {
        if PASSED.iter().any(|word| tokens.word(word)) {
            continue;
        }
        return if tokens.word("TABLE") || tokens.word("TABLES") || is_truncate {
            Some(DefinitionObject::Table)
        } else if tokens.word("INDEX") {
            Some(DefinitionObject::Index)
        } else if tokens.word("DATABASE") || tokens.word("SCHEMA") {
            Some(DefinitionObject::Database)
        } else {
            None
        };
    }
}

/// The name that an ALTER TABLE gives to its table.
fn new_name(mut tokens: Tokens<'_>, session_db: &str) -> Option<TableId> {
    loop {
        if tokens.word("RENAME") {
            let of_a_part = ["COLUMN", "INDEX", "KEY", "CONSTRAINT"];
            if !of_a_part.iter().any(|word| tokens.word(word)) {
                let _optional = tokens.word("TO") || tokens.word("AS") || tokens.symbol('=');
                return tokens.table(session_db);
            }
        }
        tokens.next()?;
    }
}

/// Whether the text may hold a password or a key: a literal that speaks of one, or that stands where one is given.
pub fn may_hold_credentials(text: &str) -> bool {
    const SPEAKING: [&str; 9] = [
        "passw",
        "pwd",
        "secret",
        "access_key",
        "accesskey",
        "access_id",
        "accessid",
        "credential",
        "://",
    ];
    const GIVEN_BEHIND: [&str; 4] = ["by", "connection", "option_list", "location"];
    let speaks = |text: &str| {
        let text = text.to_ascii_lowercase();
        SPEAKING.iter().any(|word| text.contains(word))
    };
    let mut before = "";
    for token in (Tokens { rest: text }) {
        match token {
            Token::Text(literal, _) => {
                let given = GIVEN_BEHIND.iter().any(|word| before.eq_ignore_ascii_case(word));
                if given || speaks(before) || speaks(literal) {
                    return true;
                }
                before = "";
            }
            Token::Word(word) => before = word,
            Token::Symbol('=') => {}
            Token::Symbol(_) | Token::Name(_) => before = "",
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(DefinitionObject, String)> {
        let target = target(text, "s")?;
        let names: Vec<String> = target.names.iter().map(ToString::to_string).collect();
        Some((target.object, names.join(" ")))
    }

    #[test]
    fn the_tables_that_a_statement_is_about_are_found() {
        use DefinitionObject::{Database, Index, Table};
        for (text, object, names) in [
            ("CREATE TABLE t (a int)", Table, "s.t"),
            (
                "create or replace table if not exists `a``b` . t (x int)",
                Table,
                "a`b.t",
            ),
            (
                "/* x */ CREATE /*!50100 EXTERNAL */ TABLE d.t (a int)",
                Table,
                "d.t",
            ),
            (
                "ALTER ONLINE TABLE IF EXISTS t ADD COLUMN rename_to int",
                Table,
                "s.t",
            ),
            (
                "ALTER TABLE t RENAME COLUMN a TO b, RENAME INDEX x TO y",
                Table,
                "s.t",
            ),
            ("ALTER TABLE t RENAME COLUMN a TO b, RENAME d.u", Table, "s.t d.u"),
            ("ALTER TABLE t RENAME TO `u`", Table, "s.t s.u"),
            ("ALTER TABLE t COMMENT 'RENAME TO u'", Table, "s.t"),
            (
                "DROP TABLE IF EXISTS a, d.b /* generated by server */",
                Table,
                "s.a d.b",
            ),
            (
                "RENAME TABLE t TO t_old, d.new TO t",
                Table,
                "s.t s.t_old d.new s.t",
            ),
            ("TRUNCATE t", Table, "s.t"),
            ("TRUNCATE TABLE d.t", Table, "d.t"),
            ("CREATE UNIQUE INDEX i USING BTREE ON d.t (a)", Index, "d.t"),
            ("DROP INDEX i ON t", Index, "s.t"),
            ("CREATE DATABASE IF NOT EXISTS x", Database, "x."),
            ("drop schema `x-y`", Database, "x-y."),
            ("CREATE TABLE \"t\" (a int)", Table, "s.t"),
            ("CREATE TABLE 表 (a int)", Table, "s.表"),
        ] {
            assert_eq!(found(text), Some((object, names.to_owned())), "{text}");
        }
        for text in [
            "CREATE USER u IDENTIFIED BY 'x'",
            "ALTER USER u IDENTIFIED BY 'x'",
            "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (PASSWORD 'x')",
            "CREATE DEFINER=`a`@`b` VIEW v AS SELECT 1",
            "CREATE TEMPORARY TABLE t (a int)",
            "DROP TEMPORARY TABLE t",
            "CREATE TRIGGER t BEFORE INSERT ON u FOR EACH ROW SET @a=1",
            "CREATE TABLE",
            "ALTER",
            "CREATE TABLE IF t",
            "",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn texts_that_may_hold_credentials_are_known() {
        for text in [
            "CREATE TABLE t (a int) ENGINE=FEDERATED CONNECTION='mysql://u:p@h/d/t'",
            "CREATE TABLE t (a int) ENGINE=CONNECT OPTION_LIST='User=u,x=p'",
            "CREATE TABLE t (a int) COMMENT='wrapper \"mysql\", PASSWORD \"p\"'",
            "CREATE EXTERNAL TABLE t (a int) LOCATION = 'oss:x'",
            "CREATE TABLE t (a int) ACCESS_KEY = 'p'",
            "ALTER TABLE t CONNECTION /* = */ = \"p\"",
            "CREATE USER u IDENTIFIED BY 'p'",
            "CREATE TABLE t (a int) comment 'never closed, secret",
        ] {
            assert!(may_hold_credentials(text), "{text}");
        }
        for text in [
            "ALTER TABLE users ADD password varchar(20) NOT NULL DEFAULT '' COMMENT 'x'",
            "ALTER TABLE t ADD `secret` enum('a','b')",
            "CREATE TABLE t (a int) /* secret */ COMMENT 'it''s'",
            "CREATE TABLE t (a int) PARTITION BY HASH(a)",
        ] {
            assert!(!may_hold_credentials(text), "{text}");
        }
    }
}
