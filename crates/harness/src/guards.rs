//! What the collector has against the behaviours of OceanBase's binlog service, each as the substitution in its source
//! that takes it out, and the tests that must then fail.
//!
//! The list repeats the table in `docs/OCEANBASE_DOUBLE.md`: `cargo run -p harness --bin guards` builds a collector
//! without each of them and runs the tests against it. A test keeps the list, the sources, the tests and the table in step.

mod content;
mod handshake;
mod resume;
mod stream;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Text of the product, and what takes its place.
#[derive(Debug)]
pub struct Edit {
    /// The file, below `src`.
    pub file: &'static str,
    /// Text that occurs there exactly once.
    pub from: &'static str,
    /// Its replacement.
    pub to: &'static str,
}

/// A guard, or several that cover for each other, and what shows that it is there.
#[derive(Debug)]
pub struct Guard {
    /// Its name in the table.
    pub name: &'static str,
    /// Behaviours of the service that it is for, by their number in the table.
    pub points: &'static [u8],
    /// What takes it out. More than one edit where one alone would leave another guard in its place.
    pub edits: &'static [Edit],
    /// The tests that fail without it.
    pub tests: &'static [Test],
}

/// A test that fails without a guard.
#[derive(Debug)]
pub struct Test {
    /// Below `tests/oceanbase`, as `file::function`.
    pub name: &'static str,
    /// Words that it then prints; empty where they differ from run to run.
    pub seen: &'static str,
}

/// All of them, in the order of what they are for.
pub fn guards() -> impl Iterator<Item = &'static Guard> {
    let all = [handshake::GUARDS, stream::GUARDS, resume::GUARDS, content::GUARDS];
    all.into_iter().flatten()
}

impl Edit {
    /// The text of the file with the edit done.
    ///
    /// # Errors
    /// If there is not exactly one place for it.
    pub fn apply(&self, text: &str) -> Result<String> {
        let found = text.matches(self.from).count();
        ensure!(
            found == 1,
            "the text occurs {found} times in src/{}, move the guard along: {}",
            self.file,
            self.from
        );
        Ok(text.replacen(self.from, self.to, 1))
    }
}

impl Guard {
    /// Whether it is one that a person asks for: by a part of its name or of its test's, or by the number of a behaviour.
    pub fn is_named(&self, wanted: &str) -> bool {
        match wanted.parse::<u8>() {
            Ok(point) => self.points.contains(&point),
            Err(_) => self.name.contains(wanted) || self.tests.iter().any(|test| test.name.contains(wanted)),
        }
    }

    /// Takes it out of a copy of the sources.
    ///
    /// # Errors
    /// If there is not exactly one place for each edit, or a file cannot be read or written.
    pub fn take_out(&self, src: &Path) -> Result<()> {
        for edit in self.edits {
            let path = src.join(edit.file);
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let text = edit.apply(&text).with_context(|| self.name)?;
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}
