//! Raw texts → a checked [`Config`], or every problem at once. The heart of I12.
//!
//! A reader that meets a bad value notes the problem and goes on with a stand-in; stand-ins never leave this
//! file, because a configuration with a problem is not handed out.

mod observer;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::filter::TableFilter;
use super::filter::columns::ColumnRules;
use super::forms::{derived_server_id, endpoint, host, path_segment, start_position};
use super::layers::{Origin, Raw};
use super::options::{self, Refusal};
use super::problem::Problems;
use super::reader::Reader;
use super::{
    Compression, Config, DatabaseConfig, DatahubConfig, DeliveryConfig, Emits, Envelope, LeaseKind,
    LogFormat, LoggingConfig, MonitoringConfig, PoisonPolicy, PositionLost, RecordsConfig, SchemaPolicy,
    Secret, StartPosition, TlsConfig, TlsMode, TupleNames, TypePolicy,
};
use crate::retry::Delays;

/// Shorter keys can be guessed.
const LEAST_HASH_KEY: usize = 16;

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

impl Reader<'_> {
    fn config(&mut self) -> Config {
        let group = self.group();
        let config = Config {
            database: self.database(&group),
            records: self.records(),
            datahub: self.datahub(group),
            delivery: self.delivery(),
            monitoring: self.monitoring(),
            logging: self.logging(),
            data_dir: PathBuf::from(self.text("process.data_dir")),
            lease: match self.number("process.lease") {
                0 => LeaseKind::Database,
                _ => LeaseKind::None,
            },
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
        let username = self.text("database.username");
        let password = self
            .secret("database.password")
            .unwrap_or_else(|| Secret::new(""));
        let observer = self.observer(&username, &password);
        DatabaseConfig {
            host,
            port,
            username,
            password,
            observer,
            tables: self.tables(),
            tls: self.tls(),
            server_id,
            heartbeat: self.seconds("database.heartbeat_seconds"),
            connect_timeout: self.seconds("database.connect_timeout_seconds"),
            types: match self.number("database.type_policy") {
                0 => TypePolicy::Halt,
                _ => TypePolicy::SkipTable,
            },
            schemas: match self.number("database.schema_policy") {
                0 => SchemaPolicy::ParkTable,
                _ => SchemaPolicy::Halt,
            },
            start: self
                .parsed("database.start_position", start_position)
                .unwrap_or(StartPosition::Latest),
            position_lost: match self.number("database.on_position_lost") {
                0 => PositionLost::Halt,
                1 => PositionLost::Earliest,
                _ => PositionLost::Latest,
            },
            schema_check: self.seconds("database.schema_check_seconds"),
        }
    }

    fn tables(&mut self) -> TableFilter {
        let (schema, tables) = (self.text("database.schema"), self.text("database.tables"));
        let filter = TableFilter::parse(&schema, &tables).unwrap_or_else(|sentences| {
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
        });
        filter.with_ghosts(self.number("database.capture_ghost_tables") == 1)
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
                self.conflict(
                    "database.tls_key",
                    "is missing, but a client certificate is given",
                    "give both DATABASE_TLS_CERT and DATABASE_TLS_KEY, or neither",
                );
                None
            }
            (None, Some(_)) => {
                self.conflict(
                    "database.tls_cert",
                    "is missing, but a client key is given",
                    "give both DATABASE_TLS_CERT and DATABASE_TLS_KEY, or neither",
                );
                None
            }
        };
        TlsConfig { mode, ca, client }
    }

    fn records(&mut self) -> RecordsConfig {
        let columns = self.columns();
        RecordsConfig {
            envelope: match self.number("records.envelope") {
                0 => Envelope::Debezium,
                1 => Envelope::Canal,
                _ => Envelope::Maxwell,
            },
            hash_key: self.hash_key(&columns),
            columns,
            rules_on_keys: self.number("records.column_rules_on_keys") == 1,
            emits: Emits {
                transactions: self.number("records.emit_transactions") == 1,
                definitions: self.number("records.emit_ddl") == 1,
            },
            tuple_names: match self.number("records.tuple_names") {
                1 => TupleNames::Dts,
                2 => TupleNames::DtsLegacy,
                _ => TupleNames::Native,
            },
        }
    }

    fn columns(&mut self) -> ColumnRules {
        let (exclude, mask) = (
            self.text("records.column_exclude"),
            self.text("records.column_mask"),
        );
        ColumnRules::parse(&exclude, &mask).unwrap_or_else(|[of_exclude, of_mask]| {
            let remedies = [
                (
                    "records.column_exclude",
                    of_exclude,
                    "write entries such as `users.phone, shop.*.ssn`",
                ),
                (
                    "records.column_mask",
                    of_mask,
                    "write entries such as `users.phone=hmac, *.name=constant:***`",
                ),
            ];
            for (key, sentences, remedy) in remedies {
                for sentence in sentences {
                    self.problem(
                        key,
                        format!("has an entry that cannot be read: {sentence}"),
                        remedy,
                    );
                }
            }
            ColumnRules::default()
        })
    }

    /// A hash without a key could be undone by hashing every value there is.
    fn hash_key(&mut self, columns: &ColumnRules) -> Secret {
        let key = self.secret("records.column_mask_key");
        if columns.hashes() && key.as_ref().is_none_or(|key| key.expose().len() < LEAST_HASH_KEY) {
            self.conflict(
                "records.column_mask_key",
                format!("has less than {LEAST_HASH_KEY} characters, but COLUMN_MASK hashes values with it"),
                "set COLUMN_MASK_KEY or COLUMN_MASK_KEY_FILE to a long random text",
            );
        }
        key.unwrap_or_else(|| Secret::new(""))
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
            resume_from_topic: self.number("datahub.resume_from_topic") == 1,
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
        let follows_rules = starts_well && plain && (least..=most).contains(&name.len());
        if !name.is_empty() && !follows_rules {
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
                self.conflict(
                    "retry.backoff_max_ms",
                    "is less than RETRY_BACKOFF_MS",
                    "write at least the value of RETRY_BACKOFF_MS",
                );
            }
        }
        let batch_bytes = size(self.number("delivery.batch_max_bytes"));
        let budget_bytes = size(self.number("delivery.heap_size"));
        if batch_bytes > budget_bytes / 4 && self.problems.is_empty() {
            self.conflict(
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
            dead_letter_bytes: self.number("delivery.dead_letter_max_bytes"),
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
            ready_when_standby: self.number("monitoring.ready_when_standby") == 1,
            max_unacked,
            purge_warn: self.seconds("monitoring.purge_warn_seconds"),
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
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
