//! Which columns are left out or masked: `COLUMN_EXCLUDE` and `COLUMN_MASK`. Pure.
//!
//! An entry names columns as `table.column` or `db.table.column`, with globs in every part; a mask goes on with
//! `=constant:<text>` or `=hmac`. Unlike a table filter, case never matters here: where a server would tell two
//! names apart by it, a rule too many does less harm than one too few. Where several entries cover a column,
//! leaving out wins, then the first mask.

use super::{Entry, Pattern, Piece, entries};

/// What is to be done with columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnRules {
    entries: Vec<ColumnRule>,
}

/// One entry of the lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnRule {
    /// The columns as they were written.
    pub written: String,
    /// What is done with them.
    pub treatment: Treatment,
    db: Option<Pattern>,
    table: Pattern,
    column: Pattern,
}

/// What is done with a column's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// The column is not there.
    Exclude,
    /// This text instead of every value but NULL.
    Constant(String),
    /// HMAC-SHA256 of the value's text instead of it, in hexadecimal; NULL stays NULL.
    Hmac,
}

impl ColumnRules {
    /// Parses `COLUMN_EXCLUDE` and `COLUMN_MASK`.
    ///
    /// # Errors
    /// One sentence per entry that cannot be read, in the order of the lists.
    pub fn parse(exclude: &str, mask: &str) -> Result<Self, [Vec<String>; 2]> {
        let (mut rules, mut wrong) = (Vec::new(), [Vec::new(), Vec::new()]);
        let [of_exclude, of_mask] = &mut wrong;
        for entry in entries(exclude, of_exclude) {
            match entry.column(Treatment::Exclude) {
                Ok(rule) => rules.push(rule),
                Err(error) => of_exclude.push(error),
            }
        }
        for text in split(mask, ',') {
            match masked(text) {
                Ok(rule) => rules.push(rule),
                Err(error) => of_mask.push(error),
            }
        }
        if wrong.iter().all(Vec::is_empty) {
            Ok(Self { entries: rules })
        } else {
            Err(wrong)
        }
    }

    /// Whether a value is hashed, for which a key is needed.
    pub fn hashes(&self) -> bool {
        self.entries.iter().any(|rule| rule.treatment == Treatment::Hmac)
    }

    /// What is to be done with a column; `None` if it is shown as it is.
    pub fn of(&self, db: &str, table: &str, column: &str) -> Option<&Treatment> {
        let covers =
            |rule: &&ColumnRule| rule.concerns(db, table) && rule.column.matches(&column.to_lowercase());
        self.entries.iter().find(covers).map(|rule| &rule.treatment)
    }

    /// The entries that spell out this table and a column that it does not have.
    pub fn idle<'r>(
        &'r self,
        db: &'r str,
        table: &'r str,
        columns: &'r [&'r str],
    ) -> impl Iterator<Item = &'r ColumnRule> + 'r {
        self.entries.iter().filter(move |rule| {
            matches!(rule.table, Pattern::Exact(_))
                && rule.concerns(db, table)
                && !columns
                    .iter()
                    .any(|column| rule.column.matches(&column.to_lowercase()))
        })
    }
}

impl ColumnRule {
    fn concerns(&self, db: &str, table: &str) -> bool {
        self.table.matches(&table.to_lowercase())
            && self
                .db
                .as_ref()
                .is_none_or(|pattern| pattern.matches(&db.to_lowercase()))
    }
}

impl Entry {
    fn column(mut self, treatment: Treatment) -> Result<ColumnRule, String> {
        if self.excludes {
            return Err(self.error("begins with `!`, but nothing can be taken back here"));
        }
        for piece in self.parts.iter_mut().flatten() {
            if let Piece::Char(c) = piece {
                // The few letters that become two are compared as they are.
                let mut lower = c.to_lowercase();
                if let (Some(only), None) = (lower.next(), lower.next()) {
                    *c = only;
                }
            }
        }
        let (db, table, column) = match self.parts.as_slice() {
            [table, column] => (None, table, column),
            [db, table, column] => (Some(self.pattern(db)?), table, column),
            _ => return Err(self.error("names no column of a table; write table.column or db.table.column")),
        };
        Ok(ColumnRule {
            db,
            table: self.pattern(table)?,
            column: self.pattern(column)?,
            written: self.written.trim().to_owned(),
            treatment,
        })
    }
}

/// `table.column=hmac` or `table.column=constant:<text>`.
fn masked(text: &str) -> Result<ColumnRule, String> {
    let text = text.trim();
    let mut halves = split(text, '=');
    let columns = halves.next().unwrap_or_default();
    // Never the text behind it: a constant may be in the wrong place and say something.
    let error = |message: &str| format!("{:?} {message}", columns.trim());
    let how = text
        .get(columns.len()..)
        .and_then(|rest| rest.trim_start().strip_prefix('='));
    let treatment = match how.map(str::trim) {
        Some("hmac") => Treatment::Hmac,
        Some(how) => match how.strip_prefix("constant:") {
            Some(constant) => Treatment::Constant(constant.to_owned()),
            None => {
                return Err(error(
                    "is masked in a way that is not known; write =hmac or =constant:<text>",
                ));
            }
        },
        None => {
            return Err(error(
                "does not say how it is masked; add =hmac or =constant:<text>",
            ));
        }
    };
    let mut errors = Vec::new();
    let mut found = entries(columns, &mut errors).into_iter();
    match (found.next(), errors.pop()) {
        (Some(entry), None) => entry.column(treatment),
        (_, Some(wrong)) => Err(wrong),
        (None, None) => Err(error("names no column")),
    }
}

/// The parts between separators that are not in backquotes; empty ones are left out.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '`';
        c == separator && !quoted
    })
    .filter(|part| !part.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(exclude: &str, mask: &str) -> ColumnRules {
        ColumnRules::parse(exclude, mask).unwrap()
    }

    #[test]
    fn a_column_is_found_by_table_and_name_whatever_their_case() {
        let rules = rules(
            "users.Phone, crm.*.ssn_?, `a.b`.`c,d`.x",
            "*.email=hmac, users.name = constant:x y",
        );
        for (db, table, column, expected) in [
            ("shop", "users", "phone", Some(Treatment::Exclude)),
            ("any", "USERS", "PHONE", Some(Treatment::Exclude)),
            ("shop", "orders", "phone", None),
            ("crm", "anything", "SSN_1", Some(Treatment::Exclude)),
            ("shop", "anything", "ssn_1", None),
            ("a.b", "c,d", "x", Some(Treatment::Exclude)),
            ("shop", "orders", "eMail", Some(Treatment::Hmac)),
            (
                "shop",
                "users",
                "name",
                Some(Treatment::Constant("x y".to_owned())),
            ),
        ] {
            assert_eq!(
                rules.of(db, table, column),
                expected.as_ref(),
                "{db}.{table}.{column}"
            );
        }
        assert!(rules.hashes());
    }

    #[test]
    fn leaving_out_wins_and_then_the_first_mask() {
        let rules = rules("t.a", "t.*=constant:, t.a=hmac, t.b=hmac");
        assert_eq!(rules.of("d", "t", "a"), Some(&Treatment::Exclude));
        assert_eq!(rules.of("d", "t", "b"), Some(&Treatment::Constant(String::new())));
        assert_eq!(ColumnRules::parse("", " , "), Ok(ColumnRules::default()));
    }

    #[test]
    fn an_entry_for_a_column_that_is_not_there_is_told() {
        let rules = rules(
            "users.fone, *.fone, users.ph*",
            "shop.users.x=hmac, orders.x=hmac",
        );
        let idle = |db, columns: &[&str]| -> Vec<String> {
            rules
                .idle(db, "users", columns)
                .map(|rule| rule.written.clone())
                .collect()
        };
        assert_eq!(idle("shop", &["id", "phone"]), ["users.fone", "shop.users.x"]);
        assert_eq!(idle("crm", &["fone", "x"]), ["users.ph*"]);
    }

    #[test]
    fn what_cannot_be_read_is_told_without_the_constant() {
        let [exclude, mask] =
            ColumnRules::parse("phone, a.b.c.d, !t.a", "t.a, t.b=sha1:s3cret, =hmac, t.`c=hmac").unwrap_err();
        assert_eq!(exclude.len(), 3, "{exclude:#?}");
        assert_eq!(mask.len(), 4, "{mask:#?}");
        assert!(!mask.join(" ").contains("s3cret"));
    }
}
