//! Raw texts → a checked [`Config`], or every problem at once. The heart of I12.
//!
//! A reader that meets a bad value notes the problem and goes on with a stand-in; stand-ins never leave this
//! file, because a configuration with a problem is not handed out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::filter::TableFilter;
use super::layers::{Origin, Raw, Text};
use super::options::{self, Kind, Opt, Refusal};
use super::problem::{Problem, Problems};
use super::{
    Compression, Config, DatabaseConfig, DatahubConfig, DeliveryConfig, LogFormat, LoggingConfig,
    MonitoringConfig, PoisonPolicy, Secret, StartPosition, TlsConfig, TlsMode,
};
use crate::position::FilePosition;
use crate::retry::Delays;

/// A configuration that holds, and what to say about it once logs are set up.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Each one sentence, for the log.
    pub warnings: Vec<String>,
}

impl Raw {
    /// Checks everything.
    ///
    /// # Errors
    /// Every problem, in the order of the options.
    pub fn check(&self) -> Result<Loaded, Problems> {
        let mut reader = Reader {
            raw: self,
            problems: self.problems.clone(),
            warnings: self.warnings.clone(),
        };
        let config = reader.config();
        let Reader {
            mut problems,
            warnings,
            ..
        } = reader;
        if problems.is_empty() {
            return Ok(Loaded { config, warnings });
        }
        // In the order of the table, so that the list reads like the documentation; names nobody knows last.
        problems.sort_by_key(|problem| {
            options::OPTIONS
                .iter()
                .position(|opt| opt.key == problem.key || opt.file_key() == problem.key)
                .unwrap_or(usize::MAX)
        });
        Err(Problems(problems))
    }
}

impl Raw {
    /// Where the health endpoints are, as far as this can be told without a valid configuration.
    pub fn listen(&self) -> SocketAddr {
        let mut reader = Reader {
            raw: self,
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        reader.monitoring().listen
    }
}

struct Reader<'a> {
    raw: &'a Raw,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn config(&mut self) -> Config {
        let group = self.group();
        let config = Config {
            database: self.database(&group),
            datahub: self.datahub(group),
            delivery: self.delivery(),
            monitoring: self.monitoring(),
            logging: self.logging(),
            data_dir: PathBuf::from(self.text("process.data_dir")),
            shutdown_timeout: self.seconds("process.shutdown_timeout_seconds"),
            exit_on_halt: self.number("process.exit_on_halt") == 1,
        };
        if !self.text("process.extra_java_opts").is_empty() {
            self.warnings.push(String::from(
                "EXTRA_JAVA_OPTS is ignored: there is no JVM; HEAP_SIZE bounds the memory held for rows",
            ));
        }
        config
    }

    fn database(&mut self, group: &str) -> DatabaseConfig {
        let host = self.parsed("database.host", host).unwrap_or_default();
        let port = u16::try_from(self.number("database.port")).unwrap_or_default();
        let server_id = match u32::try_from(self.number("database.server_id")) {
            Ok(0) | Err(_) => derived_server_id(group, &host, port),
            Ok(id) => id,
        };
        DatabaseConfig {
            host,
            port,
            username: self.text("database.username"),
            password: self
                .secret("database.password")
                .unwrap_or_else(|| Secret::new("")),
            tables: self.tables(),
            tls: self.tls(),
            server_id,
            heartbeat: self.seconds("database.heartbeat_seconds"),
            connect_timeout: self.seconds("database.connect_timeout_seconds"),
            start: self
                .parsed("database.start_position", start_position)
                .unwrap_or(StartPosition::Latest),
        }
    }

    fn tables(&mut self) -> TableFilter {
        let (schema, tables) = (self.text("database.schema"), self.text("database.tables"));
        TableFilter::parse(&schema, &tables).unwrap_or_else(|sentences| {
            // A sentence quotes its entry; which of the two lists holds it shows when the first is read alone.
            let in_schema = TableFilter::parse(&schema, "*").err().unwrap_or_default();
            for sentence in sentences {
                let key = if in_schema.contains(&sentence) {
                    "database.schema"
                } else {
                    "database.tables"
                };
                let message = format!("has an entry that cannot be read: {sentence}");
                self.problem(key, message, "write entries such as `orders, shop.*, !*_tmp`");
            }
            TableFilter::everything()
        })
    }

    fn tls(&mut self) -> TlsConfig {
        let mode = match self.number("database.tls_mode") {
            0 => TlsMode::Disabled,
            1 => TlsMode::Preferred,
            2 => TlsMode::Required,
            3 => TlsMode::VerifyCa,
            _ => TlsMode::VerifyIdentity,
        };
        let ca = self.readable("database.tls_ca");
        let cert = self.readable("database.tls_cert");
        let key = self.readable("database.tls_key");
        if ca.is_some() && !matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity) {
            self.warnings.push(String::from(
                "DATABASE_TLS_CA is given, but DATABASE_TLS_MODE does not check certificates; use verify_ca or verify_identity",
            ));
        }
        let client = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => {
                self.problem(
                    "database.tls_key",
                    "is missing, but a client certificate is given",
                    "give both DATABASE_TLS_CERT and DATABASE_TLS_KEY, or neither",
                );
                None
            }
            (None, Some(_)) => {
                self.problem(
                    "database.tls_cert",
                    "is missing, but a client key is given",
                    "give both DATABASE_TLS_CERT and DATABASE_TLS_KEY, or neither",
                );
                None
            }
        };
        TlsConfig { mode, ca, client }
    }

    fn datahub(&mut self, group: String) -> DatahubConfig {
        let project = self.name("datahub.project", 3, 32);
        let topic = self.name("datahub.topic", 1, 128);
        DatahubConfig {
            endpoint: self.parsed("datahub.endpoint", endpoint).unwrap_or_default(),
            access_id: self
                .secret("datahub.access_id")
                .unwrap_or_else(|| Secret::new("")),
            access_key: self
                .secret("datahub.access_key")
                .unwrap_or_else(|| Secret::new("")),
            security_token: self.secret("datahub.security_token"),
            project,
            topic,
            group,
            compression: match self.number("datahub.compression") {
                0 => Compression::None,
                1 => Compression::Lz4,
                2 => Compression::Deflate,
                3 => Compression::Zstd,
                _ => Compression::Auto,
            },
            create_topic: self.number("datahub.create_topic") == 1,
            shards: u16::try_from(self.number("datahub.shards")).unwrap_or(u16::MAX),
            lifecycle_days: u8::try_from(self.number("datahub.lifecycle_days")).unwrap_or(u8::MAX),
            timeout: self.seconds("datahub.timeout_seconds"),
        }
    }

    /// A name that the service will judge: what its published rules forbid is worth a warning, never an error,
    /// because installations differ.
    fn name(&mut self, key: &'static str, least: usize, most: usize) -> String {
        let name = self.parsed(key, path_segment).unwrap_or_default();
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !name.is_empty() && !(starts_well && plain && (least..=most).contains(&name.len())) {
            let variable = options::find(key).map_or(key, |opt| opt.variable);
            self.warnings.push(format!(
                "{variable} is {name:?}, but DataHub's naming rules ask for {least} to {most} letters, digits and underscores, starting with a letter; the service may refuse it"
            ));
        }
        name
    }

    fn delivery(&mut self) -> DeliveryConfig {
        let base = self.millis("retry.backoff_ms");
        let mut cap = self.millis("retry.backoff_max_ms");
        if cap < base {
            if self.origin("retry.backoff_max_ms") == Origin::Default {
                cap = base;
            } else {
                self.problem(
                    "retry.backoff_max_ms",
                    "is less than RETRY_BACKOFF_MS",
                    "write at least the value of RETRY_BACKOFF_MS",
                );
            }
        }
        let batch_bytes = size(self.number("delivery.batch_max_bytes"));
        let budget_bytes = size(self.number("delivery.heap_size"));
        if batch_bytes > budget_bytes / 4 && self.problems.is_empty() {
            self.problem(
                "delivery.heap_size",
                "is less than four batches",
                "raise HEAP_SIZE or lower BATCH_MAX_BYTES",
            );
        }
        DeliveryConfig {
            batch_bytes,
            batch_records: size(self.number("delivery.batch_max_records")),
            linger: self.millis("delivery.batch_linger_ms"),
            budget_bytes,
            delays: Delays { base, cap },
            alarm_attempts: u32::try_from(self.number("retry.max_attempts")).unwrap_or(u32::MAX),
            poison: match self.number("delivery.poison_policy") {
                0 => PoisonPolicy::Halt,
                _ => PoisonPolicy::DeadLetter,
            },
        }
    }

    fn monitoring(&mut self) -> MonitoringConfig {
        let address = self
            .parsed("monitoring.address", |text| {
                text.parse::<IpAddr>().map_err(|_| {
                    Refusal::new(
                        "is not an IP address",
                        "write an address of this machine, or 0.0.0.0 for all",
                    )
                })
            })
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let port = u16::try_from(self.number("monitoring.port")).unwrap_or_default();
        let max_unacked = self.seconds("monitoring.ready_max_unacked_seconds");
        if max_unacked > Duration::from_secs(55) {
            self.warnings.push(String::from(
                "READY_MAX_UNACKED_SECONDS is above 55: a destination that stops answering shows in /health/ready later than the promised minute",
            ));
        }
        MonitoringConfig {
            listen: SocketAddr::new(address, port),
            max_unacked,
            liveness_stall: self.seconds("monitoring.liveness_stall_seconds"),
        }
    }

    fn logging(&mut self) -> LoggingConfig {
        let dir = self.text("logging.dir");
        LoggingConfig {
            level: match self.number("logging.level") {
                0 => tracing::Level::ERROR,
                1 => tracing::Level::WARN,
                2 => tracing::Level::INFO,
                3 => tracing::Level::DEBUG,
                _ => tracing::Level::TRACE,
            },
            format: match self.number("logging.format") {
                0 => LogFormat::Text,
                _ => LogFormat::Json,
            },
            dir: (!dir.is_empty()).then(|| PathBuf::from(dir)),
        }
    }

    fn group(&mut self) -> String {
        self.parsed("datahub.consumer_group", |text| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if text.len() <= 128 && text.chars().all(plain) && !text.starts_with('.') {
                Ok(text.to_owned())
            } else {
                Err(Refusal::new(
                    "names a file and marks every record, and this text cannot",
                    "write at most 128 letters, digits, `-`, `_` and `.`, not starting with a dot",
                ))
            }
        })
        .unwrap_or_default()
    }

    // -- one option ------------------------------------------------------------------------------------------

    fn given(&self, key: &str) -> Option<&Text> {
        self.raw.values.get(key)
    }

    fn origin(&self, key: &str) -> Origin {
        self.given(key)
            .map_or(Origin::Default, |text| text.origin.clone())
    }

    /// The text without surrounding blanks; empty if nothing was given, which is a problem if it is required.
    fn text(&mut self, key: &'static str) -> String {
        let text = self
            .given(key)
            .map(|given| given.text.trim().to_owned())
            .unwrap_or_default();
        let required = options::find(key).is_some_and(|opt| opt.required);
        if text.is_empty() && required {
            self.missing(key);
        }
        text
    }

    /// The number behind a text, as [`Kind::check`] gives it; 0 if nothing was given.
    fn number(&mut self, key: &'static str) -> u64 {
        let kind = options::find(key).map_or(Kind::Text, |opt| opt.kind);
        self.parsed(key, |text| kind.check(text)).unwrap_or_default()
    }

    fn seconds(&mut self, key: &'static str) -> Duration {
        Duration::from_secs(self.number(key))
    }

    fn millis(&mut self, key: &'static str) -> Duration {
        Duration::from_millis(self.number(key))
    }

    fn parsed<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, Refusal>) -> Option<T> {
        let text = self.text(key);
        if text.is_empty() {
            return None;
        }
        match parse(&text) {
            Ok(value) => Some(value),
            Err(refusal) => {
                self.problem(key, refusal.message, refusal.remedy);
                None
            }
        }
    }

    /// A file that is named must be readable now, not after hours when a connection is made.
    fn readable(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = PathBuf::from(self.parsed(key, |text| Ok(text.to_owned()))?);
        if let Err(error) = std::fs::read(&path) {
            self.problem(
                key,
                format!("cannot be read: {error}"),
                "name a file that the collector's user can read",
            );
        }
        Some(path)
    }

    /// A secret, from its value or its file; the higher layer wins, both in one layer is a problem.
    fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let opt = options::find(key)?;
        let value = self.given(key).cloned();
        let file = self.given(&opt.file_key()).cloned();
        match (value, file) {
            (Some(value), Some(file)) if value.origin == file.origin => {
                self.problem(
                    key,
                    format!("is given twice: as a value and as {}", opt.file_variable()),
                    "keep one of the two",
                );
                None
            }
            (Some(value), Some(file)) if value.origin > file.origin => Some(Secret::new(value.text)),
            (_, Some(file)) => self.secret_file(opt, Path::new(file.text.trim())),
            (Some(value), None) => Some(Secret::new(value.text)),
            (None, None) => {
                if opt.required {
                    self.missing(key);
                }
                None
            }
        }
    }

    fn secret_file(&mut self, opt: &Opt, path: &Path) -> Option<Secret> {
        let problem = |message: String, remedy: &str| Problem {
            key: opt.file_key(),
            variable: opt.file_variable(),
            value: Some(path.display().to_string()),
            message,
            remedy: remedy.to_owned(),
        };
        match Secret::from_file(path) {
            Ok(secret) if secret.expose().is_empty() && !opt.may_be_empty() => {
                self.problems.push(problem(
                    String::from("names an empty file"),
                    "write the secret into the file",
                ));
                None
            }
            Ok(secret) => Some(secret),
            Err(error) => {
                self.problems.push(problem(
                    format!("names a file that cannot be read: {error}"),
                    "name a file that the collector's user can read",
                ));
                None
            }
        }
    }

    fn missing(&mut self, key: &'static str) {
        let Some(opt) = options::find(key) else { return };
        let mut remedy = format!("set {}", opt.variable);
        if opt.kind == Kind::Secret {
            remedy.push_str(&format!(" or {}", opt.file_variable()));
        }
        self.problems.push(Problem {
            key: opt.key.to_owned(),
            variable: opt.variable.to_owned(),
            value: None,
            message: String::from("is required and was not given"),
            remedy,
        });
    }

    fn problem(&mut self, key: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        let opt = options::find(key);
        let secret = opt.is_some_and(|opt| opt.kind == Kind::Secret);
        let value = self.given(key).map(|given| {
            if secret {
                format!("*** ({})", given.origin)
            } else {
                format!("{:?} ({})", given.text, given.origin)
            }
        });
        self.problems.push(Problem {
            key: key.to_owned(),
            variable: opt.map_or_else(String::new, |opt| opt.variable.to_owned()),
            value,
            message: message.into(),
            remedy: remedy.into(),
        });
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn host(text: &str) -> Result<String, Refusal> {
    let remedy = "write a host name or an address alone; the port goes to DATABASE_PORT";
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    if text.contains("://") || text.contains([':', '/', '@']) || text.contains(char::is_whitespace) {
        return Err(Refusal::new("is not a host name", remedy));
    }
    Ok(text.to_owned())
}

/// Names end up in a URL: what would change its structure is refused, everything else is the service's to judge.
fn path_segment(text: &str) -> Result<String, Refusal> {
    if text.contains(['/', '?', '#', '%', '\\']) || text.contains(char::is_whitespace) || !text.is_ascii() {
        return Err(Refusal::new(
            "cannot be part of a URL",
            "write the name as the DataHub console shows it",
        ));
    }
    Ok(text.to_owned())
}

fn endpoint(text: &str) -> Result<String, Refusal> {
    let refuse = |message: &str| {
        Err(Refusal::new(
            message,
            "write something like https://dh-cn-hangzhou.aliyuncs.com",
        ))
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse("does not start with http:// or https://");
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return refuse("does not start with http:// or https://");
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return refuse("has a path or a query, which belong to the calls");
    }
    if authority.contains('@') {
        return refuse("holds a user name; credentials are options of their own");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return refuse("has a bad port");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    if !good {
        return refuse("has no valid host");
    }
    Ok(format!("{scheme}://{authority}"))
}

fn start_position(text: &str) -> Result<StartPosition, Refusal> {
    let refuse = |message: String| {
        Refusal::new(
            message,
            "write latest, earliest, gtid:<set>, file:<name>:<pos> or timestamp:<RFC 3339 time>",
        )
    };
    let (form, rest) = text.split_once(':').unwrap_or((text, ""));
    match (form.to_ascii_lowercase().as_str(), rest.trim()) {
        ("latest", "") => Ok(StartPosition::Latest),
        ("earliest", "") => Ok(StartPosition::Earliest),
        ("gtid", set) if !set.is_empty() => set
            .parse()
            .map(StartPosition::Gtid)
            .map_err(|e| refuse(format!("is not readable: {e}"))),
        ("file", place) => {
            let (file, pos) = place
                .rsplit_once(':')
                .ok_or_else(|| refuse(String::from("lacks the position behind the file name")))?;
            let pos: u64 = pos
                .parse()
                .map_err(|_| refuse(String::from("has a position that is not a whole number")))?;
            // A binlog file starts with four magic bytes; no event is before them.
            if file.is_empty() || pos < 4 {
                return Err(refuse(String::from(
                    "needs a file name and a position of at least 4",
                )));
            }
            Ok(StartPosition::File(FilePosition {
                file: file.to_owned(),
                pos,
            }))
        }
        ("timestamp", moment) => OffsetDateTime::parse(moment, &Rfc3339)
            .ok()
            .and_then(|moment| u64::try_from(moment.unix_timestamp_nanos() / 1_000).ok())
            .map(StartPosition::Timestamp)
            .ok_or_else(|| {
                refuse(String::from(
                    "does not hold a time after 1970 such as 2026-01-31T08:00:00Z",
                ))
            }),
        _ => Err(refuse(String::from("is not a known form"))),
    }
}

/// A replica id that stays the same as long as group and source do, from 1,073,741,824 to 2,147,483,647: far
/// from the small numbers that people give their servers. FNV-1a, because it is stable and needs no crate.
fn derived_server_id(group: &str, host: &str, port: u16) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in format!("{group}\0{host}\0{port}").bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    const LOWEST: u32 = 1 << 30;
    LOWEST | (hash & (LOWEST - 1))
}

#[cfg(test)]
mod tests;
