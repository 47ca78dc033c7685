//! Real database servers in temporary directories on free loopback ports.
//!
//! A server is a child process with a data directory of its own, copied from a template, and is killed and
//! removed when dropped. It is ready when the administrator's login works; one that ends early is reported
//! with the end of its log. Durability is what survives `kill -9` of the process, not a power cut.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder};

use crate::ports::free_port;
use crate::process::{self, Memory, Process, Signal};

mod arguments;
mod binlog;
mod certificates;
mod install;

pub use certificates::Certificates;
pub use install::{INSTALL_SCRIPT, deps_dir, program, skip_without};

/// The administrator: all privileges, from anywhere, over TCP.
pub const ADMIN: Login = Login {
    user: "harness",
    password: "harness-pw",
};
/// The account a relay gets: `REPLICATION SLAVE`, `REPLICATION CLIENT` and `SELECT`, and no more. Its password
/// appears nowhere else, so that a test can look for it in every output.
pub const RELAY: Login = Login {
    user: "cdc_relay",
    password: "Relay-Passw0rd-7f3a91",
};
/// The database that exists from the start.
pub const SCHEMA: &str = "test";

/// How long a server may take to accept its first login. Two seconds are usual.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long an orderly stop may take before the server is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A user and its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: &'static str,
    /// Password.
    pub password: &'static str,
}

/// The kinds of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MariaDB, as the machine has it.
    MariaDb,
    /// MySQL 9.
    MySql,
    /// seekdb: OceanBase's engine in one process, without a binlog service.
    Seekdb,
}

impl Kind {
    /// Its name in the install script.
    pub fn item(self) -> &'static str {
        match self {
            Kind::MariaDb => "mariadb",
            Kind::MySql => "mysql",
            Kind::Seekdb => "seekdb",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::MariaDb => "MariaDB",
            Kind::MySql => "MySQL",
            Kind::Seekdb => "seekdb",
        })
    }
}

/// What can be chosen about a server; the default has binlog on, row format, full images, and GTIDs on MySQL.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More arguments, after and thus over the defaults, e.g. `--binlog-row-image=MINIMAL`.
    pub args: Vec<String>,
    /// More statements to run as administrator on every start, unlogged; one a line.
    pub init_sql: Vec<String>,
    /// The port to listen on; a free one by default.
    pub port: Option<u16>,
}

impl Options {
    /// Adds an argument of the server's command line.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Options {
        self.args.push(argument.into());
        self
    }
}

/// Starts MariaDB servers.
#[derive(Clone, Copy, Debug)]
pub struct MariaDb;
/// Starts MySQL servers.
#[derive(Clone, Copy, Debug)]
pub struct MySql;
/// Starts seekdb servers.
#[derive(Clone, Copy, Debug)]
pub struct Seekdb;

impl MariaDb {
    /// Starts a server and waits until it accepts logins.
    pub async fn start(options: Options) -> Result<Server> {
        Server::start(Kind::MariaDb, options).await
    }
}

impl MySql {
    /// Starts a server and waits until it accepts logins.
    pub async fn start(options: Options) -> Result<Server> {
        Server::start(Kind::MySql, options).await
    }
}

impl Seekdb {
    /// Starts a server and waits until it accepts logins. Its administrator is `root` without a password.
    pub async fn start(options: Options) -> Result<Server> {
        Server::start(Kind::Seekdb, options).await
    }
}

/// A server, running or killed.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    program: PathBuf,
    options: Options,
    port: u16,
    process: Option<Process>,
    start_time: Duration,
    dir: tempfile::TempDir,
}

impl Server {
    /// Starts a server and waits until it accepts logins.
    ///
    /// # Errors
    /// A missing program (with the script to run), or a server that ends or does not answer (with its log).
    pub async fn start(kind: Kind, options: Options) -> Result<Server> {
        let program = program(kind)?;
        // The directory's name stays short: a socket's path must fit into 107 bytes.
        let dir = tempfile::Builder::new()
            .prefix(&format!("{}-", kind.item()))
            .tempdir()?;
        if kind != Kind::Seekdb {
            install::copy_tree(&install::template(kind, &program)?, &dir.path().join("data"))?;
        }
        let port = options.port.map_or_else(free_port, Ok)?;
        let mut server = Server {
            kind,
            program,
            options,
            port,
            process: None,
            start_time: Duration::ZERO,
            dir,
        };
        server.launch().await?;
        Ok(server)
    }

    async fn launch(&mut self) -> Result<()> {
        let begun = Instant::now();
        let mut process = self.spawn()?;
        while let Err(login_error) = self.try_login().await {
            let status = process.exited()?;
            if status.is_none() && begun.elapsed() < START_TIMEOUT {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let ending = match status {
                Some(status) => format!("ended with {}", process::describe(status)),
                None => format!("does not accept logins after {START_TIMEOUT:?}: {login_error:#}"),
            };
            bail!(
                "{} on port {} {ending}\n{}",
                self.kind,
                self.port,
                self.log_tail()
            );
        }
        self.start_time = begun.elapsed();
        self.process = Some(process);
        if self.kind == Kind::Seekdb {
            // It has no file of statements to run at start.
            let statements = arguments::relay_user();
            self.execute(&statements.each_ref().map(String::as_str)).await?;
        }
        Ok(())
    }

    fn spawn(&self) -> Result<Process> {
        let dir = self.dir.path();
        if self.kind != Kind::Seekdb {
            arguments::write_init_file(&self.init_file(), &self.options.init_sql)?;
        }
        let output = File::options().create(true).append(true).open(self.console())?;
        let mut command = Command::new(&self.program);
        command
            .current_dir(dir)
            .stdout(output.try_clone()?)
            .stderr(output);
        match self.kind {
            Kind::MariaDb => command.args(arguments::mariadb(dir, self.port)),
            Kind::MySql => command.args(arguments::mysql(dir, self.port)),
            Kind::Seekdb => {
                // Its libraries lie beside it.
                command.env("LD_LIBRARY_PATH", self.program.parent().unwrap_or(Path::new(".")));
                command.args(arguments::seekdb(dir, self.port))
            }
        };
        if let Some(user) = install::user_argument()?.filter(|_| self.kind != Kind::Seekdb) {
            command.arg(user);
        }
        command.args(&self.options.args);
        Process::spawn(&self.kind.to_string(), command, Some(dir))
    }

    async fn try_login(&self) -> Result<()> {
        let connect = async {
            let mut conn = self.connect().await?;
            conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{SCHEMA}`"))
                .await
                .ok();
            conn.disconnect().await.context("closing a connection")
        };
        // A server in its first moments may accept and never answer.
        tokio::time::timeout(Duration::from_secs(5), connect)
            .await
            .context("no answer within 5 s")?
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The port it listens on, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> std::net::SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// How long the last start took until the first login.
    pub fn start_time(&self) -> Duration {
        self.start_time
    }

    /// Its temporary directory; the data lies in `data` (seekdb: in `store`).
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The administrator's login.
    pub fn admin(&self) -> Login {
        match self.kind {
            Kind::MariaDb | Kind::MySql => ADMIN,
            Kind::Seekdb => Login {
                user: "root",
                password: "",
            },
        }
    }

    /// Connection options of a login, with no database chosen.
    pub fn opts(&self, login: Login) -> Opts {
        let password = Some(login.password).filter(|password| !password.is_empty());
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some(login.user))
            .pass(password)
            // Stay on TCP: the library would move to the server's socket file by itself.
            .prefer_socket(false)
            .into()
    }

    /// A connection as administrator.
    pub async fn connect(&self) -> Result<Conn> {
        let opts = self.opts(self.admin());
        Conn::new(opts)
            .await
            .with_context(|| format!("connecting to {} on port {}", self.kind, self.port))
    }

    /// Runs statements as administrator, in the database [`SCHEMA`].
    pub async fn execute(&self, statements: &[&str]) -> Result<()> {
        let mut conn = self.connect().await?;
        conn.query_drop(format!("USE `{SCHEMA}`")).await?;
        for statement in statements {
            conn.query_drop(*statement)
                .await
                .with_context(|| format!("running {statement}"))?;
        }
        conn.disconnect().await.context("closing a connection")
    }

    /// Runs a query as administrator, in the database [`SCHEMA`].
    pub async fn query<T: FromRow + Send + 'static>(&self, query: &str) -> Result<Vec<T>> {
        let mut conn = self.connect().await?;
        conn.query_drop(format!("USE `{SCHEMA}`")).await?;
        let rows = conn
            .query(query)
            .await
            .with_context(|| format!("running {query}"))?;
        conn.disconnect().await.context("closing a connection")?;
        Ok(rows)
    }

    /// The process id.
    ///
    /// # Errors
    /// If it was killed or stopped.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.running()?.pid())
    }

    /// Resident memory.
    pub fn memory(&self) -> Result<Memory> {
        self.running()?.memory()
    }

    /// Sends a signal, e.g. [`Signal::Stop`] to freeze the server.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.running()?.signal(signal)
    }

    fn running(&self) -> Result<&Process> {
        self.process
            .as_ref()
            .with_context(|| format!("{} is not running", self.kind))
    }

    /// SIGKILL, and waits until it is gone. Killing a killed server does nothing.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// An orderly stop; killed if that takes too long.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.signal(Signal::Term)?;
        process.wait(STOP_TIMEOUT).await.map(drop)
    }

    /// Starts it again on the same data and port; kills it first if it still runs.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.launch().await
    }

    /// Starts it again with other arguments on the same data and port.
    pub async fn restart_with(&mut self, args: Vec<String>) -> Result<()> {
        self.kill()?;
        self.options.args = args;
        self.launch().await
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = match self.kind {
            Kind::MariaDb | Kind::MySql => self.console(),
            Kind::Seekdb => self.dir.path().join("log/seekdb.log"),
        };
        process::tail(&log, 4096)
    }

    fn console(&self) -> PathBuf {
        self.dir.path().join("console.log")
    }

    fn init_file(&self) -> PathBuf {
        self.dir.path().join("init.sql")
    }
}
