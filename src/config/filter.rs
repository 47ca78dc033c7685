//! Which tables are captured: `DATABASE_SCHEMA` and `DATABASE_TABLES`. Pure.
//!
//! Both are lists separated by commas. An entry is a name or a glob (`*` any characters, `?` one character); `!`
//! in front of it excludes. In the table list an entry may name its database: `db.table`, with globs in either
//! half. A table is captured if
//!
//! * an entry without a database matches its name and its database is in the schema list, or
//! * an entry with a database matches both, whatever the schema list says, and
//! * no exclusion of either list matches. A list of exclusions alone means "everything but".
//!
//! Names are compared as the binlog spells them, case-sensitively, as MySQL does on Linux; a server with
//! `lower_case_table_names=1` spells them in lower case. A name with a comma, a dot, `!`, `*` or `?` in it is
//! written in backquotes. Databases of the server itself (`mysql`, `information_schema`, …) are captured only
//! where an entry spells their name out. So are the tables that a tool for changes of large tables makes beside a
//! captured one, see [`TableFilter::is_ghost`].

pub mod columns;

/// The tables to relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFilter {
    schemas: Vec<Pattern>,
    tables: Vec<TablePattern>,
    excluded_schemas: Vec<Pattern>,
    excluded_tables: Vec<TablePattern>,
    /// Whether ghost tables are tables like any other.
    ghosts: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TablePattern {
    /// `None`: any database of the schema list (or, for an exclusion, any at all).
    db: Option<Pattern>,
    table: Pattern,
}

/// One compiled name or glob.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    Exact(String),
    Glob(Vec<Piece>),
}

/// One character of a glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// `*`
    Many,
    /// `?`
    One,
    Char(char),
}

/// Databases that belong to the server, in lower case.
const SYSTEM_SCHEMAS: [&str; 9] = [
    "mysql",
    "information_schema",
    "performance_schema",
    "sys",
    "oceanbase",
    "__recyclebin",
    "__public",
    "lbacsys",
    "oraauditor",
];

impl TableFilter {
    /// Parses `DATABASE_SCHEMA` and `DATABASE_TABLES`.
    ///
    /// # Errors
    /// One sentence per pattern that cannot be read.
    pub fn parse(schemas: &str, tables: &str) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let mut filter = Self {
            schemas: Vec::new(),
            tables: Vec::new(),
            excluded_schemas: Vec::new(),
            excluded_tables: Vec::new(),
            ghosts: false,
        };
        for entry in entries(schemas, &mut errors) {
            let excludes = entry.excludes;
            match entry.only_part() {
                Ok(pattern) if excludes => filter.excluded_schemas.push(pattern),
                Ok(pattern) => filter.schemas.push(pattern),
                Err(error) => errors.push(error),
            }
        }
        for entry in entries(tables, &mut errors) {
            let excludes = entry.excludes;
            match entry.table() {
                Ok(pattern) if excludes => filter.excluded_tables.push(pattern),
                Ok(pattern) => filter.tables.push(pattern),
                Err(error) => errors.push(error),
            }
        }
        if filter.schemas.is_empty() {
            filter.schemas.push(Pattern::Any);
        }
        if filter.tables.is_empty() {
            filter.tables.push(TablePattern {
                db: None,
                table: Pattern::Any,
            });
        }
        if errors.is_empty() {
            Ok(filter)
        } else {
            Err(errors)
        }
    }

    /// Every table of every database that is not the server's own.
    pub fn everything() -> Self {
        Self {
            schemas: vec![Pattern::Any],
            tables: vec![TablePattern {
                db: None,
                table: Pattern::Any,
            }],
            excluded_schemas: Vec::new(),
            excluded_tables: Vec::new(),
            ghosts: false,
        }
    }

    /// Whether ghost tables are captured as other tables are; by default they are not.
    #[must_use]
    pub fn with_ghosts(self, ghosts: bool) -> Self {
        Self { ghosts, ..self }
    }

    /// Whether rows of this table are relayed.
    pub fn captures(&self, db: &str, table: &str) -> bool {
        self.lists(db, table) && !self.is_ghost(db, table)
    }

    /// Whether a table is left out only because its name is that of a copy which gh-ost (`_x_gho`, `_x_ghc`, `_x_del`)
    /// or pt-online-schema-change (`_x_new`, `_x_old`, with more underscores where that was taken) makes of a
    /// captured table. Their rows are those of the table itself, once more. An entry without wildcards that names
    /// the table captures it all the same.
    pub fn is_ghost(&self, db: &str, table: &str) -> bool {
        !self.ghosts
            && originals(table).any(|original| self.lists(db, original))
            && self.lists(db, table)
            && !self
                .tables
                .iter()
                .any(|p| matches!(p.table, Pattern::Exact(_)) && self.applies(p, db, table))
    }

    fn lists(&self, db: &str, table: &str) -> bool {
        let excluded = self.excluded_schemas.iter().any(|p| p.matches(db))
            || self
                .excluded_tables
                .iter()
                .any(|p| p.db.as_ref().is_none_or(|p| p.matches(db)) && p.table.matches(table));
        !excluded && self.tables.iter().any(|p| self.applies(p, db, table))
    }

    fn applies(&self, pattern: &TablePattern, db: &str, table: &str) -> bool {
        pattern.table.matches(table) && self.admits(pattern.db.as_ref(), db)
    }

    /// Whether any table of this database can be captured.
    pub fn touches(&self, db: &str) -> bool {
        let excluded = self.excluded_schemas.iter().any(|p| p.matches(db))
            || self
                .excluded_tables
                .iter()
                .any(|p| p.table == Pattern::Any && p.db.as_ref().is_none_or(|p| p.matches(db)));
        !excluded && self.tables.iter().any(|p| self.admits(p.db.as_ref(), db))
    }

    /// Databases that are spelled out and not excluded again: each of them has to exist.
    pub fn named_schemas(&self) -> impl Iterator<Item = &str> {
        let of_tables = self.tables.iter().filter_map(|p| p.db.as_ref());
        self.schemas
            .iter()
            .chain(of_tables)
            .filter_map(|pattern| match pattern {
                Pattern::Exact(name) => Some(name.as_str()),
                Pattern::Any | Pattern::Glob(_) => None,
            })
            .filter(|name| self.touches(name))
    }

    /// Whether a table entry with this database half can apply to the database.
    fn admits(&self, pattern: Option<&Pattern>, db: &str) -> bool {
        match pattern {
            Some(pattern) => pattern.names(db),
            None => self.schemas.iter().any(|p| p.names(db)),
        }
    }
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exact(exact) => exact == name,
            Pattern::Glob(pieces) => glob(pieces, name),
        }
    }

    /// As `matches`, but a glob never stands for a database of the server itself.
    fn names(&self, db: &str) -> bool {
        match self {
            Pattern::Exact(exact) => exact == db,
            Pattern::Any | Pattern::Glob(_) => self.matches(db) && !is_system(db),
        }
    }
}

/// The tables that a ghost table's name can stand for; none for any other name.
fn originals(table: &str) -> impl Iterator<Item = &str> {
    let ghost = ["_gho", "_ghc", "_del", "_new", "_old"]
        .into_iter()
        .find_map(|suffix| table.strip_suffix(suffix));
    // A table's own name may begin with underscores as well.
    std::iter::successors(ghost, |name| name.strip_prefix('_'))
        .skip(1)
        .filter(|name| !name.is_empty())
}

fn is_system(db: &str) -> bool {
    SYSTEM_SCHEMAS.iter().any(|name| name.eq_ignore_ascii_case(db))
}

/// Matches without recursion: on a mismatch the last `*` takes one more character. At worst pieces × characters.
fn glob(pieces: &[Piece], name: &str) -> bool {
    let (mut rest, mut text) = (pieces, name.chars());
    let mut retry: Option<(&[Piece], std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = text.clone();
        match (rest.split_first(), ahead.next()) {
            (None, None) => return true,
            (Some((Piece::Many, after)), _) => {
                retry = Some((after, text.clone()));
                rest = after;
                continue;
            }
            (Some((Piece::One, after)), Some(_)) => {
                (rest, text) = (after, ahead);
                continue;
            }
            (Some((Piece::Char(wanted), after)), Some(found)) if *wanted == found => {
                (rest, text) = (after, ahead);
                continue;
            }
            (Some((Piece::One | Piece::Char(_), _)), _) | (None, Some(_)) => {}
        }
        let Some((after, mut from)) = retry else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        retry = Some((after, from.clone()));
        (rest, text) = (after, from);
    }
}

/// One entry of a list: its halves, already free of quotes.
struct Entry {
    /// As it was written, for messages.
    written: String,
    excludes: bool,
    parts: Vec<Vec<Piece>>,
}

/// Splits a list at its commas and each entry at its dots; backquoted text is taken as it is.
fn entries(list: &str, errors: &mut Vec<String>) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut chars = list.chars().peekable();
    while chars.peek().is_some() {
        let mut entry = Entry {
            written: String::new(),
            excludes: false,
            parts: Vec::new(),
        };
        let mut part = Vec::new();
        let mut quoted = false;
        let mut blank = true;
        while let Some(c) = chars.next() {
            if c == ',' && !quoted {
                break;
            }
            entry.written.push(c);
            match c {
                '`' if quoted && chars.next_if_eq(&'`').is_some() => part.push(Piece::Char('`')),
                '`' => {
                    quoted = !quoted;
                    blank = false;
                }
                c if quoted => part.push(Piece::Char(c)),
                c if c.is_whitespace() => {}
                '!' if blank && !entry.excludes => entry.excludes = true,
                '.' => entry.parts.push(std::mem::take(&mut part)),
                '*' if part.last() == Some(&Piece::Many) => {}
                '*' => part.push(Piece::Many),
                '?' => part.push(Piece::One),
                c => part.push(Piece::Char(c)),
            }
            blank &= c.is_whitespace() || c == '!';
        }
        entry.parts.push(part);
        if quoted {
            errors.push(format!(
                "{:?} has a backquote without its partner",
                entry.written.trim()
            ));
        } else if !entry.written.trim().is_empty() {
            found.push(entry);
        }
    }
    found
}

impl Entry {
    fn error(&self, message: &str) -> String {
        format!("{:?} {message}", self.written.trim())
    }

    fn only_part(&self) -> Result<Pattern, String> {
        match self.parts.as_slice() {
            [part] => self.pattern(part),
            _ => {
                Err(self
                    .error("has a dot, but a database has one name; write it in backquotes if it has a dot"))
            }
        }
    }

    fn table(&self) -> Result<TablePattern, String> {
        match self.parts.as_slice() {
            [table] => Ok(TablePattern {
                db: None,
                table: self.pattern(table)?,
            }),
            [db, table] => Ok(TablePattern {
                db: Some(self.pattern(db)?),
                table: self.pattern(table)?,
            }),
            _ => Err(self.error("has more than one dot; write names that contain dots in backquotes")),
        }
    }

    fn pattern(&self, pieces: &[Piece]) -> Result<Pattern, String> {
        if pieces.is_empty() {
            return Err(self.error("has an empty name"));
        }
        if pieces == [Piece::Many] {
            return Ok(Pattern::Any);
        }
        let exact: Option<String> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Char(c) => Some(*c),
                Piece::Many | Piece::One => None,
            })
            .collect();
        Ok(exact.map_or_else(|| Pattern::Glob(pieces.to_vec()), Pattern::Exact))
    }
}

#[cfg(test)]
mod tests;
