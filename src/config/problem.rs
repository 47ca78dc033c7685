//! What is wrong with a configuration: all of it, each with its place, its value and its remedy.
//!
//! Part of I12: a [`Problem`] about a secret is built without the secret.

use std::fmt;

/// A value that is not what the option takes.
pub(super) const VALUE_INVALID: &str = "config_value_invalid";
/// A name that is no option's.
pub(super) const OPTION_UNKNOWN: &str = "config_option_unknown";
/// An option without a default that was not given.
pub(super) const OPTION_MISSING: &str = "config_option_missing";
/// A secret that is given as a value and as a file.
pub(super) const GIVEN_TWICE: &str = "config_given_twice";
/// Values that do not go together.
pub(super) const VALUES_CONFLICT: &str = "config_values_conflict";
/// A file that an option names and that cannot be read.
pub(super) const FILE_UNREADABLE: &str = "config_file_unreadable";
/// An `application.yml` that cannot be read.
pub(super) const DOCUMENT_UNREADABLE: &str = "config_document_unreadable";

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its stable code; `cdc-collector explain` has a page on it.
    pub code: &'static str,
    /// The option in `application.yml`, e.g. `database.port`; empty if no option is concerned.
    pub key: String,
    /// Its environment variable; empty if there is none.
    pub variable: String,
    /// What was given and where; `***` in place of a secret. `None` if nothing was given.
    pub value: Option<String>,
    /// What is wrong, as the end of a sentence that starts with the name.
    pub message: String,
    /// What to do, as one imperative sentence.
    pub remedy: String,
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl Problem {
    /// What the option is called where it is most often set.
    fn name(&self) -> &str {
        if self.variable.is_empty() {
            &self.key
        } else {
            &self.variable
        }
    }

    /// The whole of it but the remedy, on one line.
    pub fn sentence(&self) -> String {
        let given = match &self.value {
            Some(value) => format!("; given: {value}"),
            None => String::new(),
        };
        format!("{} {}{given}", self.name(), self.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        write!(f, "{name} {}", self.message)?;
        if let Some(value) = &self.value {
            write!(f, "\n    given:  {value}")?;
        }
        write!(f, "\n    remedy: {}", self.remedy)?;
        if !self.key.is_empty() && name != self.key {
            write!(f, "\n    key:    {}", self.key)?;
        }
        write!(f, "\n    code:   {}", self.code)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "the configuration has {count} {noun}; nothing was started")?;
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "\n\n {}. {problem}", i + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_name_value_remedy() {
        let problems = Problems(vec![Problem {
            code: VALUE_INVALID,
            key: String::from("database.port"),
            variable: String::from("DATABASE_PORT"),
            value: Some(String::from("\"x\" (environment)")),
            message: String::from("is not a whole number"),
            remedy: String::from("write a whole number from 1 to 65535"),
        }]);
        assert_eq!(
            problems.to_string(),
            "the configuration has 1 problem; nothing was started\n\n \
             1. DATABASE_PORT is not a whole number\n    \
             given:  \"x\" (environment)\n    \
             remedy: write a whole number from 1 to 65535\n    \
             key:    database.port\n    \
             code:   config_value_invalid"
        );
    }
}
