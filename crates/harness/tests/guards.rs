//! The list of guards is of the sources, the tests and the table that there are now.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use harness::guards::{Edit, guards};

/// Behaviours of the service that the double shows, numbered from 1.
const POINTS: std::ops::RangeInclusive<u8> = 1..=19;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_guard_has_its_place_in_the_source() {
    for guard in guards() {
        assert!(
            !guard.edits.is_empty() && !guard.tests.is_empty(),
            "{}",
            guard.name
        );
        for edit in guard.edits {
            let text = read(&format!("src/{}", edit.file));
            let without = edit
                .apply(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", guard.name));
            assert_ne!(text, without, "{}", guard.name);
        }
    }
}

#[test]
fn every_test_of_a_guard_is_there() {
    for guard in guards() {
        for test in guard.tests {
            let (file, function) = test.name.split_once("::").expect("file::function");
            let text = read(&format!("tests/oceanbase/{file}.rs"));
            let there = format!("#[tokio::test(flavor = \"multi_thread\")]\nasync fn {function}() {{");
            assert!(text.contains(&there), "{}: no test {}", guard.name, test.name);
        }
    }
}

#[test]
fn every_behaviour_has_a_guard() {
    let of_guards: BTreeSet<u8> = guards().flat_map(|guard| guard.points).copied().collect();
    assert_eq!(of_guards, POINTS.collect());
    let names: BTreeSet<&str> = guards().map(|guard| guard.name).collect();
    assert_eq!(names.len(), guards().count(), "two guards of one name");
}

/// A row of the table begins with the behaviour's number, and names its guards between backticks.
#[test]
fn the_table_names_every_guard_at_its_behaviours() {
    let document = read("docs/OCEANBASE_DOUBLE.md");
    let rows = document.lines().filter(|line| line.starts_with("| "));
    let mut written: BTreeSet<(u8, String)> = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (Some(Ok(point)), Some(cell)) = (cells.get(1).map(|cell| cell.parse()), cells.get(4)) else {
            continue;
        };
        for name in cell.split('`').skip(1).step_by(2) {
            written.insert((point, name.to_owned()));
        }
    }
    let of_list: BTreeSet<(u8, String)> = guards()
        .flat_map(|guard| guard.points.iter().map(|point| (*point, guard.name.to_owned())))
        .collect();
    let missing: Vec<_> = of_list.difference(&written).collect();
    let unknown: Vec<_> = written.difference(&of_list).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "not in the table: {missing:?}; in no list: {unknown:?}"
    );
}

#[test]
fn an_edit_without_exactly_one_place_is_refused() {
    let edit = Edit {
        file: "a.rs",
        from: "if hurt {",
        to: "if false {",
    };
    assert_eq!(edit.apply("if hurt { stop() }").unwrap(), "if false { stop() }");
    for text in ["if well {", "if hurt {} if hurt {"] {
        let refused = edit.apply(text).unwrap_err().to_string();
        assert!(refused.contains("times in src/a.rs"), "{refused}");
    }
}
