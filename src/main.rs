//! The command: command line → configuration → logs and metrics → runtime → the relay → exit code.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cdc_collector::app::{self, ExitReason, TablesCommand};
use cdc_collector::cli::{Check, Cli, Command, DeadLetters, Language, Tables, Which};
use cdc_collector::config::{Config, Loaded, Raw, Sources};
use cdc_collector::record::letter::Selection;
use cdc_collector::{explain, http, telemetry};
use clap::Parser as _;

/// Halted, or a check that did not pass.
const FAILED: u8 = 1;
/// EX_SOFTWARE of sysexits.h: a bug.
const INTERNAL: u8 = 70;
/// EX_TEMPFAIL of sysexits.h: another collector of the group has taken over; started again, this one stands by.
const SUPERSEDED: u8 = 75;
/// EX_CONFIG of sysexits.h: the configuration has to be changed first.
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Asking for help or for the version comes this way too, with exit code 0.
        Err(answer) => {
            let code = u8::try_from(answer.exit_code()).unwrap_or(FAILED);
            return after_writing(answer.print(), ExitCode::from(code));
        }
    };
    let sources = cli.sources(std::env::vars_os());
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => with_config(&sources, run),
        Command::Check(how) => check(&sources, &how),
        Command::Explain { code } => explained(code.as_deref()),
        Command::Config => show_config(&sources),
        Command::Schema { language, table } => {
            with_config(&sources, |loaded| describe(loaded, language, table.as_deref()))
        }
        Command::Tables { command } => with_config(&sources, |loaded| tables(&loaded.config, command)),
        Command::DeadLetters { command } => with_config(&sources, |loaded| dead_letters(loaded, command)),
        Command::Healthcheck => match http::probe::live(Raw::gather(&sources).listen()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => fail(FAILED, &sentence),
        },
    }
}

fn with_config(sources: &Sources, then: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match Config::load(sources) {
        Ok(loaded) => then(loaded),
        Err(problems) => fail(CONFIG, &problems.to_string()),
    }
}

fn run(loaded: Loaded) -> ExitCode {
    let telemetry = match telemetry::init(&loaded.config.logging) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(INTERNAL, &error.to_string()),
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let reason = match runtime() {
        Ok(runtime) => runtime.block_on(app::run(loaded.config, telemetry.metrics.clone())),
        Err(error) => return fail(INTERNAL, &format!("the runtime did not start: {error}")),
    };
    match reason {
        ExitReason::Stopped => ExitCode::SUCCESS,
        ExitReason::Halted => ExitCode::from(FAILED),
        ExitReason::Superseded => ExitCode::from(SUPERSEDED),
        ExitReason::Internal => ExitCode::from(INTERNAL),
    }
}

/// An invalid configuration is a finding like any other: whoever reads the report reads all of it in one place.
fn check(sources: &Sources, how: &Check) -> ExitCode {
    let extent = app::Extent {
        write_test: how.write_test,
        measure: Duration::from_secs(how.measure.into()),
    };
    let report = match runtime() {
        Ok(runtime) => runtime.block_on(app::check(Config::load(sources), extent)),
        Err(error) => return fail(INTERNAL, &format!("the runtime did not start: {error}")),
    };
    let text = if how.json {
        match report.json() {
            Ok(json) => json + "\n",
            Err(error) => return fail(INTERNAL, &format!("the report is no JSON: {error}")),
        }
    } else {
        report.text(may_colour(sources))
    };
    let code = if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    };
    after_writing(write!(io::stdout(), "{text}"), code)
}

/// Only for a person who looks at it, and not for one who asked not to (no-color.org).
fn may_colour(sources: &Sources) -> bool {
    let refused = |(name, value): &(OsString, OsString)| name == "NO_COLOR" && !value.is_empty();
    io::stdout().is_terminal() && !sources.environment.iter().any(refused)
}

fn explained(code: Option<&str>) -> ExitCode {
    let Some(code) = code else {
        return after_writing(write!(io::stdout(), "{}", explain::list()), ExitCode::SUCCESS);
    };
    match explain::page(code) {
        Ok(page) => after_writing(write!(io::stdout(), "{page}"), ExitCode::SUCCESS),
        Err(sentence) => fail(FAILED, &sentence),
    }
}

fn describe(loaded: Loaded, language: Language, table: Option<&str>) -> ExitCode {
    let language = match language {
        Language::Flink => app::Language::Flink,
        Language::Datahub => app::Language::DataHub,
    };
    let described = match runtime() {
        Ok(runtime) => runtime.block_on(app::describe(loaded.config, language, table)),
        Err(error) => return fail(INTERNAL, &format!("the runtime did not start: {error}")),
    };
    match described {
        Ok(description) => {
            for note in loaded.warnings.iter().chain(&description.notes) {
                // If standard error is gone, the notes have no reader.
                drop(writeln!(io::stderr(), "cdc-collector: {note}"));
            }
            after_writing(write!(io::stdout(), "{}", description.text), ExitCode::SUCCESS)
        }
        Err(failure) => fail(FAILED, &app::sentence(&failure)),
    }
}

fn tables(config: &Config, command: Tables) -> ExitCode {
    let command = match command {
        Tables::List => TablesCommand::List,
        Tables::Resume { table, create } => match create.map(text_of).transpose() {
            Ok(statement) => TablesCommand::Resume { table, statement },
            Err(error) => return fail(FAILED, &format!("the statement cannot be read: {error}")),
        },
        Tables::Skip { table, reason } => TablesCommand::Skip { table, reason },
    };
    let done = match runtime() {
        Ok(runtime) => runtime.block_on(app::tables(config, command)),
        Err(error) => return fail(INTERNAL, &format!("the runtime did not start: {error}")),
    };
    match done {
        Ok(text) => after_writing(write!(io::stdout(), "{text}"), ExitCode::SUCCESS),
        Err(failure) => fail(FAILED, &app::sentence(&failure)),
    }
}

/// The file's text, or that of standard input for `-`.
fn text_of(file: PathBuf) -> io::Result<String> {
    if file.as_os_str() == "-" {
        io::read_to_string(io::stdin())
    } else {
        fs::read_to_string(file)
    }
}

fn dead_letters(loaded: Loaded, command: DeadLetters) -> ExitCode {
    let wanted = match command {
        DeadLetters::List { json } => app::Letters::List { json },
        DeadLetters::Show { id } => app::Letters::Show { id },
        DeadLetters::Replay(which) => app::Letters::Replay(selection(which)),
        DeadLetters::Discard { which, reason } => app::Letters::Discard(selection(which), reason),
    };
    let done = match runtime() {
        Ok(runtime) => runtime.block_on(app::dead_letters(loaded.config, wanted)),
        Err(error) => return fail(INTERNAL, &format!("the runtime did not start: {error}")),
    };
    match done {
        Ok(report) => {
            let code = if report.complete {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(FAILED)
            };
            after_writing(write!(io::stdout(), "{}", report.text), code)
        }
        Err(failure) => fail(FAILED, &app::sentence(&failure)),
    }
}

fn selection(which: Which) -> Selection {
    match which {
        Which { id: Some(id), .. } => Selection::Id(id),
        Which { key: Some(hash), .. } => Selection::Key(hash),
        Which { .. } => Selection::All,
    }
}

fn show_config(sources: &Sources) -> ExitCode {
    let raw = Raw::gather(sources);
    let code = match raw.check() {
        Ok(_) => ExitCode::SUCCESS,
        Err(problems) => fail(CONFIG, &problems.to_string()),
    };
    after_writing(write!(io::stdout(), "{}", raw.to_yaml()), code)
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("relay")
        .build()
}

/// What to exit with after writing to standard output. A reader that has seen enough and left (`| head`) is no
/// failure of ours.
fn after_writing(written: io::Result<()>, code: ExitCode) -> ExitCode {
    match written {
        Ok(()) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => fail(FAILED, &format!("cannot write to standard output: {error}")),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    // If standard error is gone, the exit code still tells.
    drop(writeln!(io::stderr(), "cdc-collector: {message}"));
    ExitCode::from(code)
}
