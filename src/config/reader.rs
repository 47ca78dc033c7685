//! Reading one option of the raw texts: its text, its number, its file, and the problem if it has one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Secret;
use super::layers::{Origin, Raw, Text};
use super::options::{self, Kind, Opt, Refusal};
use super::problem::{self, Problem};

/// The raw texts, and what was found wrong so far.
pub(super) struct Reader<'a> {
    pub(super) raw: &'a Raw,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

impl Reader<'_> {
    fn given(&self, key: &str) -> Option<&Text> {
        self.raw.values.get(key)
    }

    pub(super) fn origin(&self, key: &str) -> Origin {
        self.given(key)
            .map_or(Origin::Default, |text| text.origin.clone())
    }

    /// The text without surrounding blanks; empty if nothing was given, which is a problem if it is required.
    pub(super) fn text(&mut self, key: &'static str) -> String {
        let text = self
            .given(key)
            .map(|given| given.text.trim().to_owned())
            .unwrap_or_default();
        let required = options::find(key).is_some_and(|opt| opt.required);
        if text.is_empty() && required {
            self.missing(key);
        }
        text
    }

    /// The number behind a text, as [`Kind::check`] gives it; 0 if nothing was given.
    pub(super) fn number(&mut self, key: &'static str) -> u64 {
        let kind = options::find(key).map_or(Kind::Text, |opt| opt.kind);
        self.parsed(key, |text| kind.check(text)).unwrap_or_default()
    }

    pub(super) fn seconds(&mut self, key: &'static str) -> Duration {
        Duration::from_secs(self.number(key))
    }

    pub(super) fn millis(&mut self, key: &'static str) -> Duration {
        Duration::from_millis(self.number(key))
    }

    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let text = self.text(key);
        if text.is_empty() {
            return None;
        }
        match parse(&text) {
            Ok(value) => Some(value),
            Err(refusal) => {
                self.problem(key, refusal.message, refusal.remedy);
                None
            }
        }
    }

    /// A file that is named must be readable now, not after hours when a connection is made.
    pub(super) fn readable(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = PathBuf::from(self.parsed(key, |text| Ok(text.to_owned()))?);
        if let Err(error) = std::fs::read(&path) {
            self.wrong(
                problem::FILE_UNREADABLE,
                key,
                format!("cannot be read: {error}"),
                "name a file that the collector's user can read",
            );
        }
        Some(path)
    }

    /// A secret, from its value or its file; the higher layer wins, both in one layer is a problem.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let opt = options::find(key)?;
        let value = self.given(key).cloned();
        let file = self.given(&opt.file_key()).cloned();
        match (value, file) {
            (Some(value), Some(file)) if value.origin == file.origin => {
                self.wrong(
                    problem::GIVEN_TWICE,
                    key,
                    format!("is given twice: as a value and as {}", opt.file_variable()),
                    "keep one of the two",
                );
                None
            }
            (Some(value), Some(file)) if value.origin > file.origin => Some(Secret::new(value.text)),
            (_, Some(file)) => self.secret_file(opt, Path::new(file.text.trim())),
            (Some(value), None) => Some(Secret::new(value.text)),
            (None, None) => {
                if opt.required {
                    self.missing(key);
                }
                None
            }
        }
    }

    fn secret_file(&mut self, opt: &Opt, path: &Path) -> Option<Secret> {
        let problem = |message: String, remedy: &str| Problem {
            code: problem::FILE_UNREADABLE,
            key: opt.file_key(),
            variable: opt.file_variable(),
            value: Some(path.display().to_string()),
            message,
            remedy: remedy.to_owned(),
        };
        match Secret::from_file(path) {
            Ok(secret) if secret.expose().is_empty() && !opt.may_be_empty() => {
                self.problems.push(problem(
                    String::from("names an empty file"),
                    "write the secret into the file",
                ));
                None
            }
            Ok(secret) => Some(secret),
            Err(error) => {
                self.problems.push(problem(
                    format!("names a file that cannot be read: {error}"),
                    "name a file that the collector's user can read",
                ));
                None
            }
        }
    }

    fn missing(&mut self, key: &'static str) {
        let Some(opt) = options::find(key) else { return };
        let mut remedy = format!("set {}", opt.variable);
        if opt.kind == Kind::Secret {
            remedy.push_str(&format!(" or {}", opt.file_variable()));
        }
        self.problems.push(Problem {
            code: problem::OPTION_MISSING,
            key: opt.key.to_owned(),
            variable: opt.variable.to_owned(),
            value: None,
            message: String::from("is required and was not given"),
            remedy,
        });
    }

    /// A value that is not what the option takes.
    pub(super) fn problem(
        &mut self,
        key: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.wrong(problem::VALUE_INVALID, key, message, remedy);
    }

    /// A value that does not go with another one.
    pub(super) fn conflict(
        &mut self,
        key: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.wrong(problem::VALUES_CONFLICT, key, message, remedy);
    }

    fn wrong(
        &mut self,
        code: &'static str,
        key: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let opt = options::find(key);
        let value = self.given(key).map(|given| {
            let shown = opt.map_or_else(|| String::from("***"), |opt| self.raw.shown(opt, &given.text));
            format!("{shown:?} ({})", given.origin)
        });
        self.problems.push(Problem {
            code,
            key: key.to_owned(),
            variable: opt.map_or_else(String::new, |opt| opt.variable.to_owned()),
            value,
            message: message.into(),
            remedy: remedy.into(),
        });
    }
}
