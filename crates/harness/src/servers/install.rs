//! Finds the server programs and prepares what a start needs: an initialised data directory to copy.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Kind;

/// What to run when something is missing.
pub const INSTALL_SCRIPT: &str = "scripts/install-test-deps.sh";

/// Where the install script puts things: `$DEPS_DIR`, else `target/deps` of this repository.
pub fn deps_dir() -> PathBuf {
    match std::env::var_os("DEPS_DIR") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/deps"),
    }
}

/// The server program of a kind.
///
/// # Errors
/// Names the script that installs it, if it is not there.
pub fn program(kind: Kind) -> Result<PathBuf> {
    let found = match kind {
        Kind::MariaDb => from_env("MARIADBD")?.or_else(|| on_path("mariadbd")),
        Kind::MySql => match from_env("MYSQLD")? {
            Some(path) => Some(path),
            None => existing(deps_dir().join("sid/mysqld")).or_else(installed_mysqld),
        },
        Kind::Seekdb => existing(deps_dir().join("seekdb/pylibseekdb/seekdb")),
    };
    found.with_context(|| format!("{kind} is not installed: run {INSTALL_SCRIPT} {}", kind.item()))
}

fn from_env(name: &str) -> Result<Option<PathBuf>> {
    match std::env::var_os(name) {
        Some(path) if !path.is_empty() => match existing(PathBuf::from(&path)) {
            Some(path) => Ok(Some(path)),
            None => bail!("{name} names {}, which is not there", Path::new(&path).display()),
        },
        _ => Ok(None),
    }
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin")])
        .find_map(|dir| existing(dir.join(name)))
}

/// `mysqld` of the machine, unless it is MariaDB under its old name.
fn installed_mysqld() -> Option<PathBuf> {
    let path = on_path("mysqld")?;
    let version = version(&path).ok()?;
    (!version.contains("MariaDB")).then_some(path)
}

fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("running {}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An initialised data directory of this server version, made on first use and kept beside the programs.
pub(super) fn template(kind: Kind, program: &Path) -> Result<PathBuf> {
    let version: String = version(program)?
        .split_once("Ver ")
        .map_or_else(|| "unknown".to_owned(), |(_, rest)| rest.chars().take_while(|c| *c != ' ').collect());
    let templates = deps_dir().join("templates");
    fs::create_dir_all(&templates).with_context(|| format!("creating {}", templates.display()))?;
    let ready = templates.join(format!("{}-{version}", kind.item()));
    // Several test processes may want it at once: one makes it, the others wait at the lock.
    let lock = File::create(templates.join(format!("{}.lock", kind.item()))).context("creating a lock file")?;
    lock.lock().context("waiting for the template's lock")?;
    if ready.is_dir() {
        return Ok(ready);
    }
    let part = tempfile::Builder::new().prefix("part-").tempdir_in(&templates).context("creating a template")?;
    let data = part.path().join("data");
    initialise(kind, program, &data)?;
    // Its own identity is what a copy must not share.
    fs::remove_file(data.join("auto.cnf")).ok();
    fs::rename(&data, &ready).with_context(|| format!("creating {}", ready.display()))?;
    Ok(ready)
}

fn initialise(kind: Kind, program: &Path, data: &Path) -> Result<()> {
    let mut command = match kind {
        Kind::MariaDb => {
            let script = on_path("mariadb-install-db")
                .with_context(|| format!("mariadb-install-db is missing: run {INSTALL_SCRIPT} mariadb"))?;
            let mut command = Command::new(script);
            command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
            command.args(["--skip-name-resolve", "--innodb-log-file-size=32M"]);
            command
        }
        Kind::MySql => {
            let mut command = Command::new(program);
            command.args(["--no-defaults", "--initialize-insecure", "--innodb-redo-log-capacity=64M"]);
            command
        }
        Kind::Seekdb => bail!("seekdb initialises itself"),
    };
    if let Some(user) = user_argument()? {
        command.arg(user);
    }
    command.arg(format!("--datadir={}", data.display()));
    let output = command.output().with_context(|| format!("initialising a data directory of {kind}"))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        bail!("initialising a data directory of {kind} failed:\n{}", String::from_utf8_lossy(&text));
    }
    Ok(())
}

/// `--user=root` for root: the servers refuse to run as root unless told so.
pub(super) fn user_argument() -> Result<Option<&'static str>> {
    use std::os::unix::fs::MetadataExt;
    let owner = fs::metadata("/proc/self").context("reading /proc/self")?.uid();
    Ok((owner == 0).then_some("--user=root"))
}

/// Copies a directory tree; holes in files stay holes.
pub(super) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let arguments: [&OsStr; 4] = ["-a".as_ref(), "--sparse=always".as_ref(), from.as_os_str(), to.as_os_str()];
    let output = Command::new("cp").args(arguments).output().context("running cp")?;
    if !output.status.success() {
        bail!("copying {} failed: {}", from.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
