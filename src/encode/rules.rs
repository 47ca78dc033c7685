//! Columns that are left out or masked, as the encoder applies them.
//!
//! A mask replaces the value's text and nothing else: NULL stays NULL. What is hashed is the text that the column
//! would have had, without quotes and escapes, so that whoever knows the key can compute it again.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::key;
use crate::config::filter::columns::{ColumnRules, Treatment};
use crate::source::value::{Cell, ValueError, write_json_string};

/// The rules of one run.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    rules: ColumnRules,
    /// The keyed hash, for values to be added to; `None` where nothing is hashed.
    hash: Option<Hmac<Sha256>>,
    /// Whether a column of a primary key may be left out or masked.
    pub(super) on_keys: bool,
}

/// What is done with one column.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// It is not there.
    Exclude,
    /// A JSON string instead of each value.
    Constant(Box<[u8]>),
    /// The keyed hash of each value.
    Hash(Box<Hmac<Sha256>>),
}

impl Rules {
    pub(super) fn new(rules: &ColumnRules, hash_key: &str, on_keys: bool) -> Self {
        Self {
            rules: rules.clone(),
            // HMAC takes keys of any length.
            hash: rules
                .hashes()
                .then(|| Hmac::new_from_slice(hash_key.as_bytes()).ok())
                .flatten(),
            on_keys,
        }
    }

    /// What is done with a column; `None` if it is shown as it is.
    pub(super) fn of(&self, db: &str, table: &str, column: &str) -> Option<Rule> {
        Some(match self.rules.of(db, table, column)? {
            Treatment::Exclude => Rule::Exclude,
            Treatment::Constant(text) => {
                let mut json = Vec::new();
                write_json_string(text, &mut json);
                Rule::Constant(json.into())
            }
            // Without a key, which a checked configuration has, leaving out is the safe side.
            Treatment::Hmac => self
                .hash
                .as_ref()
                .map_or(Rule::Exclude, |hash| Rule::Hash(Box::new(hash.clone()))),
        })
    }

    /// What to tell about the entries that spell out the table and a column that it does not have.
    pub(super) fn idle<'r>(
        &'r self,
        db: &'r str,
        table: &'r str,
        columns: &'r [&'r str],
    ) -> impl Iterator<Item = String> + 'r {
        self.rules.idle(db, table, columns).map(move |rule| {
            format!(
                "no column of {db}.{table} is meant by {} in COLUMN_EXCLUDE or COLUMN_MASK",
                rule.written
            )
        })
    }
}

impl Rule {
    /// Takes one value (not NULL) off the start of `values`, and appends what is shown of it.
    pub(super) fn write(&self, cell: &Cell, values: &mut &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        match self {
            Self::Exclude => {
                cell.skip(values)?;
            }
            Self::Constant(json) => {
                cell.skip(values)?;
                out.extend_from_slice(json);
            }
            Self::Hash(hash) => {
                let begin = out.len();
                cell.write_json(values, out)?;
                let mut hash = hash.clone();
                let mut unescaped = Vec::new();
                hash.update(key::text(out.get(begin..).unwrap_or_default(), &mut unescaped));
                out.truncate(begin);
                out.push(b'"');
                for byte in hash.finalize().into_bytes() {
                    out.extend([byte >> 4, byte & 15].map(|digit| match digit {
                        0..=9 => b'0' + digit,
                        _ => b'a' + digit - 10,
                    }));
                }
                out.push(b'"');
            }
        }
        Ok(())
    }
}
