//! Where values come from: defaults → `application.yml` → environment → command line, as texts with their origin.
//!
//! Nothing is interpreted here except that a name exists. Every value stays the text that was given: a password
//! of `12345` is five characters, never a number.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Format as _, Yaml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::options::{Kind, OPTIONS, Opt};
use super::problem::{self, Problem};

/// Everything that the collector is told, before it is read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `application.yml`, if it was named (`--config`); it must exist then.
    pub file: Option<PathBuf>,
    /// The environment, as `std::env::vars_os` gives it.
    pub environment: Vec<(OsString, OsString)>,
    /// Options of the command line: key and text.
    pub command_line: Vec<(&'static str, String)>,
}

/// Which layer a value comes from; later ones win.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Built in.
    Default,
    /// `application.yml`.
    File(PathBuf),
    /// A variable.
    Environment,
    /// An option of the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Environment => f.write_str("environment"),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}

/// One value as it was given.
#[derive(Clone)]
pub(super) struct Text {
    /// The text; empty only where that means something.
    pub text: String,
    /// Where it was given.
    pub origin: Origin,
}

/// The merged texts by key, and what was wrong with their names.
pub struct Raw {
    pub(super) values: BTreeMap<String, Text>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

/// The file that is read if it exists and no other is named.
const DEFAULT_FILE: &str = "application.yml";
/// The variable that names another one.
const FILE_VARIABLE: &str = "APPLICATION_YML";
/// Every name that starts with one of these is ours: an unknown one is an error.
const OUR_PREFIXES: [&str; 4] = ["DATABASE_", "DATAHUB_", "RETRY_", "MONITORING_"];
/// These are ours too, but others may use them: an unknown one that resembles an option gives a warning.
const SHARED_PREFIXES: [&str; 11] = [
    "BATCH_",
    "LOG_",
    "START_",
    "TYPE_",
    "READY_",
    "LIVENESS_",
    "POISON_",
    "SHUTDOWN_",
    "EXIT_",
    "HEAP_",
    "DATA_",
];

/// One layer of texts, for figment.
struct Layer {
    origin: Origin,
    values: Vec<(String, String)>,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut dict = Dict::new();
        for (key, text) in &self.values {
            // Keys have a dot in them; nested dictionaries would only be flattened again.
            dict.insert(key.clone(), Value::from(text.clone()));
        }
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

impl Raw {
    /// Reads every layer. Problems with names and with the file are kept and reported by the check.
    pub fn gather(sources: &Sources) -> Self {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        let environment = environment(&sources.environment, &mut problems, &mut warnings);
        let file = file_path(sources);
        let layers = [
            Layer {
                origin: Origin::Default,
                values: OPTIONS
                    .iter()
                    .filter_map(|opt| Some((opt.key.to_owned(), opt.default?.to_owned())))
                    .collect(),
            },
            Layer {
                values: file
                    .as_deref()
                    .map_or_else(Vec::new, |path| read_file(path, &mut problems)),
                origin: Origin::File(file.unwrap_or_default()),
            },
            Layer {
                origin: Origin::Environment,
                values: environment,
            },
            Layer {
                origin: Origin::CommandLine,
                values: sources
                    .command_line
                    .iter()
                    .map(|(key, text)| ((*key).to_owned(), text.clone()))
                    .collect(),
            },
        ];
        let values = merge(&layers);
        Self {
            values,
            problems,
            warnings,
        }
    }
}

/// Lets figment decide which layer wins, and asks it where each value came from.
fn merge(layers: &[Layer; 4]) -> BTreeMap<String, Text> {
    let mut figment = Figment::new();
    for layer in layers {
        figment = figment.merge(layer);
    }
    let merged = figment.data().unwrap_or_default();
    let mut values = BTreeMap::new();
    for (key, value) in merged.into_values().flatten() {
        let name = figment.get_metadata(value.tag()).map(|metadata| &metadata.name);
        let origin = layers
            .iter()
            .map(|layer| &layer.origin)
            .find(|origin| name.is_some_and(|name| *name == origin.to_string()))
            .cloned()
            .unwrap_or(Origin::Default);
        if let Some(text) = value.into_string() {
            values.insert(key, Text { text, origin });
        }
    }
    values
}

/// The file to read: named ones must exist, the usual one need not.
fn file_path(sources: &Sources) -> Option<PathBuf> {
    let named = sources.file.clone().or_else(|| {
        let variable = sources
            .environment
            .iter()
            .find(|(name, _)| name == FILE_VARIABLE)?;
        (!variable.1.is_empty()).then(|| PathBuf::from(&variable.1))
    });
    named.or_else(|| {
        let usual = PathBuf::from(DEFAULT_FILE);
        usual.exists().then_some(usual)
    })
}

fn read_file(path: &Path, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let mut about_file = |message: String, remedy: &str| {
        problems.push(Problem {
            code: problem::DOCUMENT_UNREADABLE,
            key: path.display().to_string(),
            variable: String::new(),
            value: None,
            message,
            remedy: remedy.to_owned(),
        });
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            about_file(
                format!("cannot be read: {error}"),
                "name a readable file with --config or APPLICATION_YML, or leave both out",
            );
            return Vec::new();
        }
    };
    // An empty document, or one of comments only, is a file that changes nothing.
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Vec::new();
    }
    let data = match Yaml::string(&text).data() {
        Ok(data) => data,
        Err(error) => {
            // The parser quotes what it did not expect, which may be a secret: only the place is told.
            let place = yaml_place(&error.to_string());
            about_file(
                format!("is not a YAML document of groups and options{place}"),
                "compare it with the application.yml that comes with the collector",
            );
            return Vec::new();
        }
    };
    let mut values = Vec::new();
    for (name, value) in data.into_values().flatten() {
        flatten(path, &name, value, &mut values, problems);
    }
    values
}

/// ` at line 3 column 5`, if the parser's message has it.
fn yaml_place(message: &str) -> String {
    let Some((_, after)) = message.rsplit_once(" at line ") else {
        return String::new();
    };
    let place: String = after
        .chars()
        .take_while(|c| c.is_ascii_digit() || "column ".contains(*c))
        .collect();
    format!(" at line {}", place.trim_end())
}

/// Turns one value of the file into texts, and says which it cannot.
fn flatten(
    path: &Path,
    key: &str,
    value: Value,
    values: &mut Vec<(String, String)>,
    problems: &mut Vec<Problem>,
) {
    if let Value::Dict(_, dict) = value {
        for (name, value) in dict {
            flatten(path, &format!("{key}.{name}"), value, values, problems);
        }
        return;
    }
    // A group whose options are all commented out.
    let is_group = |opt: &Opt| opt.key.split_once('.').is_some_and(|(group, _)| group == key);
    if matches!(value, Value::Empty(..)) && OPTIONS.iter().any(is_group) {
        return;
    }
    let mut wrong = |code: &'static str, variable: String, message: &str, remedy: String| {
        problems.push(Problem {
            code,
            key: key.to_owned(),
            variable,
            value: Some(path.display().to_string()),
            message: message.to_owned(),
            remedy,
        });
    };
    let Some((opt, is_file)) = by_key(key) else {
        let names = OPTIONS.iter().map(|opt| opt.key.to_owned());
        let remedy = match closest(key, names) {
            Some(name) => format!("did you mean `{name}`?"),
            None => String::from("remove it; `cdc-collector config` lists every option"),
        };
        wrong(problem::OPTION_UNKNOWN, String::new(), "is not an option", remedy);
        return;
    };
    let text_only = is_file || matches!(opt.kind, Kind::Text | Kind::Secret | Kind::Path);
    let text = match value {
        Value::String(_, text) => text,
        Value::Empty(..) => return,
        Value::Bool(_, flag) if opt.kind == Kind::Flag => flag.to_string(),
        Value::Num(_, ref number) if !text_only => match (number.to_u128(), number.to_i128()) {
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => number.to_string(),
            (None, None) => String::from("a number with a fraction"),
        },
        Value::Array(_, ref items)
            if opt.kind == Kind::Text && items.iter().all(|i| i.as_str().is_some()) =>
        {
            items
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(",")
        }
        Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Array(..) | Value::Dict(..) => {
            wrong(
                problem::VALUE_INVALID,
                opt.variable.to_owned(),
                "is not a text as YAML reads it",
                String::from("put the value in quotes"),
            );
            return;
        }
    };
    if !text.is_empty() || (opt.may_be_empty() && !is_file) {
        values.push((key.to_owned(), text));
    }
}

/// The option behind a key, and whether the key names its file.
fn by_key(key: &str) -> Option<(&'static Opt, bool)> {
    OPTIONS.iter().find_map(|opt| {
        if opt.key == key {
            Some((opt, false))
        } else if opt.kind == Kind::Secret && opt.file_key() == key {
            Some((opt, true))
        } else {
            None
        }
    })
}

/// Maps every variable to its key, one by one, and reports unknown names.
fn environment(
    variables: &[(OsString, OsString)],
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some((opt, is_file)) = by_variable(name) else {
            unknown_variable(name, problems, warnings);
            continue;
        };
        let key = if is_file {
            opt.file_key()
        } else {
            opt.key.to_owned()
        };
        match value.to_str() {
            // `NAME=` in a compose file means "nothing said".
            Some("") if is_file || !opt.may_be_empty() => {}
            Some(text) => values.push((key, text.to_owned())),
            None => problems.push(Problem {
                code: problem::VALUE_INVALID,
                key,
                variable: name.to_owned(),
                value: None,
                message: String::from("is not UTF-8"),
                remedy: String::from("write it in UTF-8"),
            }),
        }
    }
    values
}

/// The option behind a variable, and whether the variable names its file.
fn by_variable(name: &str) -> Option<(&'static Opt, bool)> {
    OPTIONS.iter().find_map(|opt| {
        if opt.variable == name {
            Some((opt, false))
        } else if opt.kind == Kind::Secret && opt.file_variable() == name {
            Some((opt, true))
        } else {
            None
        }
    })
}

fn unknown_variable(name: &str, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) {
    let variables = || {
        let files = OPTIONS
            .iter()
            .filter(|opt| opt.kind == Kind::Secret)
            .map(Opt::file_variable);
        OPTIONS.iter().map(|opt| opt.variable.to_owned()).chain(files)
    };
    if OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        if is_service_link(name) {
            warnings.push(format!(
                "{name} is ignored: Kubernetes sets it for a service of that name (enableServiceLinks: false in the pod ends it)"
            ));
            return;
        }
        let remedy = match closest(name, variables()) {
            Some(candidate) => format!("did you mean {candidate}?"),
            None => String::from("unset it; `cdc-collector config` lists every option"),
        };
        problems.push(Problem {
            code: problem::OPTION_UNKNOWN,
            key: String::new(),
            variable: name.to_owned(),
            value: None,
            message: String::from("is not an option"),
            remedy,
        });
    } else if SHARED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && let Some(candidate) = closest(name, variables())
    {
        warnings.push(format!(
            "{name} is not an option and is ignored; did you mean {candidate}?"
        ));
    }
}

/// Whether Kubernetes made this name for a service called `database`, `datahub`, …: `X_SERVICE_HOST`,
/// `X_SERVICE_PORT[_NAME]`, `X_PORT_<n>_TCP[_ADDR|_PORT|_PROTO]`.
fn is_service_link(name: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") {
        return true;
    }
    let Some((_, after)) = name.split_once("_PORT_") else {
        return false;
    };
    let mut parts = after.split('_');
    parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
        && parts
            .next()
            .is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
}

/// The candidate that a person most likely meant, if any is close.
fn closest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    /// Below this share of equal letters a suggestion confuses more than it helps.
    const LEAST: f64 = 0.72;
    candidates
        .map(|candidate| {
            (
                strsim::normalized_damerau_levenshtein(name, &candidate),
                candidate,
            )
        })
        .filter(|(score, _)| *score >= LEAST)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests;
