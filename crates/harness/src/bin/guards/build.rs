//! A copy of the repository in which only the collector is built, over and over.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use harness::guards::Guard;
use tokio::process::Command;

/// What cargo reads of the repository when it builds the collector, members of the workspace included.
const SOURCES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "docs/errors",
    "crates",
    "fuzz",
    "benches",
];

/// Settings of the copy's builds: one crate is built again and again, and its backtraces are of no interest.
const QUICK: [&str; 2] = [
    "profile.dev.debug=false",
    "profile.dev.package.cdc-collector.opt-level=0",
];

/// The repository, and the copy below its target directory.
pub(crate) struct Workshop {
    pub(crate) repository: PathBuf,
    /// What is left behind is here.
    pub(crate) place: PathBuf,
}

impl Workshop {
    /// Finds the repository and makes the place for its copy.
    pub(crate) async fn set_up() -> Result<Workshop> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let repository = tokio::fs::canonicalize(repository)
            .await
            .context("finding the repository")?;
        let place = repository.join("target/guards");
        fs::create_dir_all(&place).context("making target/guards")?;
        Ok(Workshop { repository, place })
    }

    /// Builds the collector, without a guard if one is given. Returns the program, which the next build leaves alone.
    pub(crate) async fn build(&self, without: Option<&Guard>) -> Result<PathBuf> {
        let copy = self.place.join("source");
        for name in SOURCES {
            mirror(&self.repository.join(name), &copy.join(name))
                .with_context(|| format!("copying {name}"))?;
        }
        let mut name = "healthy";
        if let Some(guard) = without {
            name = guard.name;
            guard.take_out(&copy.join("src"))?;
        }
        let output = cargo()
            .args(["build", "--locked", "--bin", "cdc-collector"])
            .args(QUICK.iter().flat_map(|setting| ["--config", setting]))
            .current_dir(&copy)
            .env("CARGO_TARGET_DIR", self.place.join("target"))
            .output()
            .await
            .context("starting cargo")?;
        ensure!(
            output.status.success(),
            "the collector without {name} does not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let programs = self.place.join("programs");
        fs::create_dir_all(&programs)?;
        let program = programs.join(name);
        fs::copy(self.place.join("target/debug/cdc-collector"), &program).context("keeping the program")?;
        Ok(program)
    }
}

/// The cargo that runs us, or the one in the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Copies a file or a directory. What is the same already keeps its time, and cargo its result.
fn mirror(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            mirror(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(to, bytes)?;
    Ok(())
}
