//! The shape of the source code: which module may use which, which files stay pure, which names stay in one file.
//!
//! Reads `src/` as text. Every rule is a function from a file to complaints, and is shown to complain below.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Who may use whom: each part, and the parts that its files may name as `crate::…`. A part may always use itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("position", VOCABULARY),
    ("change", VOCABULARY),
    ("record", VOCABULARY),
    ("retry", VOCABULARY),
    ("config", VOCABULARY),
    ("telemetry", &["position", "change", "record", "retry", "config"]),
    ("source", COMMON),
    (
        "encode",
        &[
            "position",
            "change",
            "record",
            "retry",
            "config",
            "telemetry",
            "source::value",
        ],
    ),
    ("delivery", COMMON),
    ("sink", COMMON),
    ("store", COMMON),
    ("http", COMMON),
    (
        "pipeline",
        &[
            "position",
            "change",
            "record",
            "retry",
            "config",
            "telemetry",
            "source",
            "encode",
            "delivery",
            "sink",
            "store",
        ],
    ),
    (
        "app",
        &[
            "position",
            "change",
            "record",
            "retry",
            "config",
            "telemetry",
            "source",
            "encode",
            "delivery",
            "sink",
            "store",
            "http",
            "pipeline",
        ],
    ),
    ("cli", &["config", "telemetry"]),
    ("explain", &[]),
    // Declares the modules and uses none; the binary uses the library by its name.
    ("lib", &[]),
    ("main", &[]),
];
const VOCABULARY: &[&str] = &["position", "change", "record", "retry"];
const COMMON: &[&str] = &["position", "change", "record", "retry", "config", "telemetry"];

/// Files (or whole parts, with everything below them) that decide and never do.
const PURE: &[&str] = &[
    "position",
    "change",
    "record",
    "config/filter",
    "config/options",
    "encode",
    "delivery",
    "sink/wire",
    "sink/sign",
    "sink/outcome",
    "sink/lookback",
    "source/decode",
    "source/value",
    "source/rows",
    "source/forecast",
    "http/verdict",
];

/// What a pure file does not name.
const IMPURE: &[&str] = &[
    "tokio::",
    "reqwest::",
    "std::fs",
    "std::net",
    "fs::",
    "::now()",
    "tracing::",
    "metrics::",
    "info!(",
    "warn!(",
    "error!(",
    "debug!(",
    "counter!(",
    "gauge!(",
    "histogram!(",
    "std::env",
];

/// Names that belong to one part, and why.
const ONLY_IN: &[(&str, &str, &str)] = &[
    (
        "backoff::",
        "retry",
        "the crate is unmaintained: one file to change when it goes",
    ),
    (
        "fs::rename",
        "store",
        "a rename without the fsyncs around it loses checkpoints",
    ),
    ("sync_all", "store", "what has to be durable is the store's"),
    ("tokio::spawn", "app", "a task that nobody joins fails in silence"),
    ("JoinSet", "app", "a task that nobody joins fails in silence"),
    ("SystemTime::now", "app", "the clock is read in one place"),
];

/// A file that is longer hides a second one.
const MOST_LINES: usize = 400;

struct File {
    /// Path below `src/` without `.rs`: `source/value`.
    name: String,
    /// The lines without comments, literals' contents and test modules, with their numbers.
    lines: Vec<(usize, String)>,
}

impl File {
    fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            lines: code_lines(text),
        }
    }

    /// The top-level module that the file belongs to.
    fn part(&self) -> &str {
        self.name.split('/').next().unwrap_or(&self.name)
    }

    fn is_in(&self, place: &str) -> bool {
        self.name == place
            || self
                .name
                .strip_prefix(place)
                .is_some_and(|rest| rest.starts_with('/'))
    }

    /// `path:line: text` for each line that `wrong` complains about.
    fn complaints(&self, wrong: impl Fn(&str) -> Option<String>) -> Vec<String> {
        self.lines
            .iter()
            .filter_map(|(number, line)| Some(format!("src/{}.rs:{number}: {}", self.name, wrong(line)?)))
            .collect()
    }
}

/// Code without comments and without modules under `#[cfg(test)]`.
fn code_lines(text: &str) -> Vec<(usize, String)> {
    let mut kept = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((i, line)) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            // The item behind it ends at a closing brace of the same depth, or on its own line.
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            for (_, line) in lines.by_ref() {
                let only_line =
                    line.trim_end().ends_with(';') && line.len() - line.trim_start().len() == indent;
                if only_line || line == end {
                    break;
                }
            }
            continue;
        }
        let code = without_comment(line);
        if !code.trim().is_empty() {
            kept.push((i + 1, code));
        }
    }
    kept
}

/// The line up to `//`, with the contents of string literals left out. Block comments are not used here.
fn without_comment(line: &str) -> String {
    let mut code = String::new();
    let mut chars = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => drop(chars.next()),
            // A quote in a character literal opens no string.
            '\'' if !quoted && chars.peek() == Some(&'"') => drop(chars.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            c if !quoted => code.push(c),
            _ => {}
        }
    }
    code
}

/// The modules behind `crate::` in a statement: `source::value`, one path for each name in braces.
fn crate_paths(code: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
            .collect::<String>()
    };
    let mut paths = Vec::new();
    for after in code.split("crate::").skip(1) {
        let Some(list) = after.strip_prefix('{') else {
            paths.push(word(after));
            continue;
        };
        let mut depth = 1;
        let mut name = String::new();
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => paths.push(std::mem::take(&mut name)),
                c if depth == 1 && !c.is_whitespace() => name.push(c),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        paths.push(name);
    }
    paths.retain(|path| !path.is_empty());
    paths
}

/// Puts a list in braces that was broken over lines back on the line where it starts.
fn with_whole_lists(lines: Vec<(usize, String)>) -> Vec<(usize, String)> {
    let mut whole: Vec<(usize, String)> = Vec::new();
    for (number, line) in lines {
        match whole.last_mut() {
            Some((_, open)) if open.contains("crate::{") && !open.trim_end().ends_with(';') => {
                open.push_str(&line);
            }
            _ => whole.push((number, line)),
        }
    }
    whole
}

fn wrong_direction(file: &File) -> Vec<String> {
    let part = file.part();
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == part) else {
        return vec![format!(
            "src/{}.rs: {part} is not in the table of parts",
            file.name
        )];
    };
    let whole = File {
        name: file.name.clone(),
        lines: with_whole_lists(file.lines.clone()),
    };
    whole.complaints(|line| {
        let bad = crate_paths(line).into_iter().find(|path| {
            let reaches = |place: &str| path == place || path.starts_with(&format!("{place}::"));
            !reaches(part) && !allowed.iter().any(|place| reaches(place))
        })?;
        Some(format!("{part} must not use {bad}"))
    })
}

fn impure(file: &File) -> Vec<String> {
    if !PURE.iter().any(|place| file.is_in(place)) {
        return Vec::new();
    }
    file.complaints(|line| {
        let name = IMPURE.iter().find(|name| line.contains(*name))?;
        Some(format!("a pure file must not name {name}"))
    })
}

fn misplaced(file: &File) -> Vec<String> {
    ONLY_IN
        .iter()
        .filter(|(_, place, _)| !file.is_in(place))
        .flat_map(|(name, place, why)| {
            file.complaints(|line| {
                line.contains(name)
                    .then(|| format!("{name} belongs to {place}: {why}"))
            })
        })
        .collect()
}

fn too_long(file: &File) -> Vec<String> {
    let count = file.lines.len();
    if count > MOST_LINES {
        vec![format!(
            "src/{}.rs: {count} lines of code; at most {MOST_LINES}",
            file.name
        )]
    } else {
        Vec::new()
    }
}

fn without_purpose(name: &str, text: &str) -> Vec<String> {
    if text.starts_with("//! ") {
        Vec::new()
    } else {
        vec![format!("src/{name}.rs: does not open with what it is for")]
    }
}

/// Every source file with its text; files of tests are left out.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut dirs: Vec<PathBuf> = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .with_extension("")
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs")
                && !name.split('/').any(|part| part == "tests")
            {
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn everywhere(rule: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    sources()
        .iter()
        .flat_map(|(name, text)| rule(&File::new(name, text)))
        .collect()
}

#[test]
fn imports_run_one_way() {
    none(&everywhere(wrong_direction));
}

#[test]
fn pure_files_stay_pure() {
    none(&everywhere(impure));
}

#[test]
fn names_stay_in_the_one_file_that_owns_them() {
    none(&everywhere(misplaced));
}

#[test]
fn files_stay_short() {
    none(&everywhere(too_long));
}

#[test]
fn every_file_says_what_it_is_for() {
    none(
        &sources()
            .iter()
            .flat_map(|(name, text)| without_purpose(name, text))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_module_is_named_after_nothing() {
    let empty = [
        "utils", "util", "common", "types", "manager", "helper", "helpers", "misc", "mod",
    ];
    let named: Vec<String> = sources()
        .into_keys()
        .filter(|name| name.split('/').any(|part| empty.contains(&part)))
        .collect();
    none(&named);
}

#[test]
fn there_is_something_to_look_at() {
    let found = sources();
    for name in ["lib", "main", "app", "config/check", "http/verdict"] {
        assert!(found.contains_key(name), "{name} in {:?}", found.keys());
    }
}

/// The rules above can fail: each is shown what it must not accept.
mod planted {
    use super::*;

    fn complaints(rule: impl Fn(&File) -> Vec<String>, name: &str, text: &str) -> usize {
        rule(&File::new(name, text)).len()
    }

    #[test]
    fn a_wrong_import_is_seen_in_every_spelling() {
        for (name, text) in [
            ("sink/wire", "use crate::source::Step;"),
            ("source", "use crate::sink::DataHub;"),
            ("encode", "use crate::source::rows::Row;"),
            ("http", "    let x = crate::pipeline::run();"),
            ("delivery/lane", "use crate::{record::Batch, sink::wire};"),
            ("delivery", "pub(crate) use crate::store::Checkpoint;"),
            ("config", "use crate::app;"),
            (
                "delivery",
                "use crate::{\n    record::{Batch, Seq},\n    retry::Failure,\n    sink::wire,\n};",
            ),
            ("encode", "use crate::source::{rows, value};"),
            ("record", "use crate::config::Config;"),
            ("newcomer", ""),
        ] {
            assert_eq!(complaints(wrong_direction, name, text), 1, "{name}: {text}");
        }
        for (name, text) in [
            ("encode/debezium", "use crate::source::value::write_json;"),
            ("source/decode", "use crate::source::rows::Row;"),
            ("app", "use crate::{http, pipeline, source::Source};"),
            (
                "delivery",
                "use crate::{\n    record::{Batch, Seq},\n    retry::Failure,\n};\nfn f() {}",
            ),
            ("http", "// crate::pipeline is what feeds this"),
            ("http", "let x = \"crate::pipeline\";"),
            ("http", "#[cfg(test)]\nmod tests {\n    use crate::app;\n}"),
            (
                "store",
                "#[cfg(test)]\nmod tests;\nuse crate::position::Position;",
            ),
        ] {
            assert_eq!(complaints(wrong_direction, name, text), 0, "{name}: {text}");
        }
    }

    #[test]
    fn an_impure_name_is_seen() {
        for text in [
            "use tokio::time::sleep;",
            "let now = Instant::now();",
            "std::fs::read(path)",
            "tracing::warn!(1);",
            "#[cfg(test)]\nmod tests {\n}\nfn f() { reqwest::get(1) }",
        ] {
            assert_eq!(complaints(impure, "delivery/ledger", text), 1, "{text}");
            assert_eq!(complaints(impure, "pipeline", text), 0, "{text}");
        }
    }

    #[test]
    fn a_name_outside_its_file_is_seen() {
        for (name, text) in [
            ("sink", "backoff::future::retry()"),
            ("delivery", "std::fs::rename(a, b)"),
            ("pipeline", "let tasks = tokio::task::JoinSet::new();"),
            ("http", "tokio::spawn(f)"),
            ("storefront", "fs::rename(a, b)"),
        ] {
            assert_eq!(complaints(misplaced, name, text), 1, "{name}: {text}");
        }
        assert_eq!(complaints(misplaced, "retry", "backoff::Error"), 0);
        assert_eq!(complaints(misplaced, "store/file", "fs::rename(a, b)"), 0);
    }

    #[test]
    fn a_long_file_is_seen_and_its_tests_do_not_count() {
        let line = "let x = 1;\n";
        assert_eq!(complaints(too_long, "app", &line.repeat(MOST_LINES + 1)), 1);
        let tests = format!(
            "#[cfg(test)]\nmod tests {{\n{}}}\n",
            format!("    {line}").repeat(MOST_LINES)
        );
        assert_eq!(
            complaints(too_long, "app", &format!("{}{tests}", line.repeat(MOST_LINES))),
            0
        );
        let comments = "// words\n\n".repeat(MOST_LINES);
        assert_eq!(
            complaints(too_long, "app", &format!("{comments}{}", line.repeat(MOST_LINES))),
            0
        );
    }

    #[test]
    fn a_file_without_a_purpose_is_seen() {
        assert_eq!(without_purpose("x", "use std::fmt;").len(), 1);
        assert_eq!(without_purpose("x", "//! For y.").len(), 0);
    }
}
