//! The command line: what can be asked for, and the few options that are worth typing.
//!
//! Everything else is configuration; an option given here is one more layer on top of it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Sources;
use crate::telemetry;

static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (commit {})", telemetry::VERSION, telemetry::COMMIT));

/// Relays committed row changes from an OceanBase, MySQL or MariaDB binlog to Alibaba Cloud DataHub.
#[derive(Debug, Parser)]
#[command(
    name = "cdc-collector",
    version = VERSION.as_str(),
    after_help = "\
Options are read from application.yml, the environment and the command line; later ones win.
At least these must be given:
  DATABASE_HOST  DATAHUB_ENDPOINT  DATAHUB_ACCESS_ID  DATAHUB_ACCESS_KEY
Any secret can be in a file instead: DATABASE_PASSWORD_FILE=/run/secrets/password and so on.
`cdc-collector config` lists every option with its value and where it comes from.

Exit codes: 0 done; 1 halted with EXIT_ON_HALT, or a check failed; 2 wrong command line;
70 a bug; 75 another collector took over; 78 invalid configuration."
)]
pub struct Cli {
    /// What to do; `run` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Configuration file [default: $APPLICATION_YML, or application.yml in this directory if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Least severe message to log: error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,

    /// Port of the health and metrics endpoints
    #[arg(long, global = true, value_name = "PORT")]
    port: Option<String>,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Relay until told to stop
    Run,
    /// Try at the database, at DataHub and on this machine what a start needs; say what is wrong and what to do
    Check(Check),
    /// Print the page on a code that was shown, or a list of all codes
    Explain {
        /// Which, as `check`, the log and `/health` show it
        code: Option<String>,
    },
    /// Print the effective configuration as YAML, with the origin of each value and without secrets
    Config,
    /// Print how readers declare the captured tables, relay nothing
    Schema {
        /// For whom
        language: Language,
        /// This captured table alone
        #[arg(long, value_name = "DB.TABLE")]
        table: Option<String>,
    },
    /// Show parked tables, or say what the running collector should do with one
    Tables {
        #[command(subcommand)]
        /// What
        command: Tables,
    },
    /// Show the records that could not be delivered, send them again, or give them up
    DeadLetters {
        /// What to do with them
        #[command(subcommand)]
        command: DeadLetters,
    },
    /// Ask a running collector on this machine whether it is alive; exit code 0 if it is
    Healthcheck,
}

/// How far a check goes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Write a record that is marked as a test to the topic, and read it back; readers of the topic meet it
    #[arg(long)]
    pub write_test: bool,
    /// How many seconds to watch how fast the binlog grows, against what the topic's shards take; 0 for not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u16).range(..=600))]
    pub measure: u16,
}

/// What can be asked of parked tables: those whose rows wait because no known definition fits them.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Tables {
    /// Print the parked tables and since where their rows wait
    List,
    /// Read a table's rows after all
    Resume {
        /// Which
        #[arg(value_name = "DB.TABLE")]
        table: String,
        /// A file with the CREATE TABLE statement that the rows fit, `-` for standard input; for a table that the
        /// server no longer has in that form
        #[arg(long, value_name = "FILE")]
        create: Option<PathBuf>,
    },
    /// Give up a table's rows that wait; its later rows flow again
    Skip {
        /// Which
        #[arg(value_name = "DB.TABLE")]
        table: String,
        /// Why; kept in the audit file
        #[arg(long, value_parser = said)]
        reason: String,
    },
}

/// What can be done with dead letters. While a collector runs on the data directory, it does the work.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum DeadLetters {
    /// Print one line a letter, the oldest first: time, id, table, key, reason, size
    List {
        /// As JSON objects, with everything but the payload
        #[arg(long)]
        json: bool,
    },
    /// Print one letter with everything
    Show {
        /// Its id, as `list` shows it
        id: String,
    },
    /// Send letters again, each key's in order; one that is refused again stays, and what follows of its key
    Replay(Which),
    /// Give letters up; a line for each goes to the audit file first
    Discard {
        /// Which letters
        #[command(flatten)]
        which: Which,
        /// Why; is written to the audit file
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Which letters.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// The letter with this id; `replay` sends the older ones of its key before it
    pub id: Option<String>,
    /// All letters of a key, by the hash that `list` shows
    #[arg(long, value_name = "HASH")]
    pub key: Option<String>,
    /// All letters
    #[arg(long)]
    pub all: bool,
}

/// Whom the tables are declared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Flink SQL: a CREATE TABLE each, for a BLOB topic in the envelope that is configured
    Flink,
    /// DataHub: the RecordSchema of a TUPLE topic each, as JSON
    Datahub,
}

/// Words, not only white space.
fn said(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("a reason has to be given"),
        reason => Ok(reason.to_owned()),
    }
}

impl Cli {
    /// The layers that the configuration is made of, given the process's environment.
    pub fn sources(&self, environment: impl Iterator<Item = (OsString, OsString)>) -> Sources {
        let mut command_line = Vec::new();
        if let Some(level) = &self.log_level {
            command_line.push(("logging.level", level.clone()));
        }
        if let Some(port) = &self.port {
            command_line.push(("monitoring.port", port.clone()));
        }
        Sources {
            file: self.config.clone(),
            environment: environment.collect(),
            command_line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dead_letters_are_named_in_one_way_and_given_up_for_a_reason() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
        for line in [
            "x dead-letters list --json",
            "x dead-letters show u:1:0",
            "x dead-letters replay u:1:0",
            "x dead-letters replay --key 00ff",
            "x dead-letters replay --all",
            "x dead-letters discard u:1:0 --reason known",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
        for line in [
            "x dead-letters",
            "x dead-letters replay",
            "x dead-letters replay u:1:0 --all",
            "x dead-letters discard --all",
            "x dead-letters discard --reason known",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn options_may_stand_on_either_side_of_the_command() {
        for line in [["x", "--port", "9", "config"], ["x", "config", "--port", "9"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.command, Some(Command::Config));
            assert_eq!(
                cli.sources(std::iter::empty()).command_line,
                [("monitoring.port", String::from("9"))]
            );
        }
    }
}
