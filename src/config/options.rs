//! The table of options: the only place that lists them.
//!
//! The mapping of environment variables, the check of each value, the `config` subcommand, the comparison with
//! `application.yml` and the option table of the README all read it. What a value *means* is in `check`;
//! relations between options are there too.

use std::fmt::Write as _;

/// One option.
#[derive(Debug)]
pub struct Opt {
    /// Its place in `application.yml`: `group.name`.
    pub key: &'static str,
    /// Its environment variable.
    pub variable: &'static str,
    /// The value if nothing else is said; `None` where there is none.
    pub default: Option<&'static str>,
    /// Whether the collector cannot start without it.
    pub required: bool,
    /// What its text must look like.
    pub kind: Kind,
    /// One line for people.
    pub doc: &'static str,
}

/// What the text of an option must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Text,
    /// Anything, never shown; may be given as a file instead (`<key>_file`, `<VARIABLE>_FILE`).
    Secret,
    /// A whole number within bounds, both included.
    Number(u64, u64),
    /// Whole seconds within bounds.
    Seconds(u64, u64),
    /// Whole milliseconds within bounds.
    Millis(u64, u64),
    /// Bytes within bounds, with an optional suffix `k`, `m` or `g` (powers of 1024).
    Bytes(u64, u64),
    /// One of a few words; case does not matter.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A file or directory.
    Path,
}

/// Why a value is refused: what is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong with it, as the end of a sentence that starts with the option's name.
    pub message: String,
    /// One imperative sentence.
    pub remedy: String,
}

impl Refusal {
    /// A refusal with its remedy.
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The service takes 4 MB a request; its own clients stay below 4,000,000 bytes.
const LARGEST_BATCH: u64 = 4_000_000;

macro_rules! opt {
    ($key:literal, $variable:literal, required, $kind:expr, $doc:literal) => {
        Opt {
            key: $key,
            variable: $variable,
            default: None,
            required: true,
            kind: $kind,
            doc: $doc,
        }
    };
    ($key:literal, $variable:literal, unset, $kind:expr, $doc:literal) => {
        Opt {
            key: $key,
            variable: $variable,
            default: None,
            required: false,
            kind: $kind,
            doc: $doc,
        }
    };
    ($key:literal, $variable:literal, $default:literal, $kind:expr, $doc:literal) => {
        Opt {
            key: $key,
            variable: $variable,
            default: Some($default),
            required: false,
            kind: $kind,
            doc: $doc,
        }
    };
}

/// Every option, in the order in which they are shown.
#[rustfmt::skip] // one option, one line: a table is read by its columns
pub const OPTIONS: &[Opt] = &[
    opt!("database.host", "DATABASE_HOST", required, Kind::Text, "Host name or address of the database or its proxy."),
    opt!("database.port", "DATABASE_PORT", "2881", Kind::Number(1, 65_535), "Its port (ODP usually listens on 2883)."),
    opt!("database.username", "DATABASE_USERNAME", "root", Kind::Text, "User with the right to read the binlog; `user@tenant#cluster` on OceanBase."),
    opt!("database.password", "DATABASE_PASSWORD", "password", Kind::Secret, "Its password; empty for none."),
    opt!("database.observer_host", "DATABASE_OBSERVER_HOST", unset, Kind::Text, "OceanBase observer (or ODP) that is asked for tables and columns, where DATABASE_HOST is a binlog instance itself; unset where one address answers both."),
    opt!("database.observer_port", "DATABASE_OBSERVER_PORT", "2881", Kind::Number(1, 65_535), "Its port."),
    opt!("database.observer_username", "DATABASE_OBSERVER_USERNAME", unset, Kind::Text, "User there, `user@tenant`; DATABASE_USERNAME if unset."),
    opt!("database.observer_password", "DATABASE_OBSERVER_PASSWORD", unset, Kind::Secret, "Its password; DATABASE_PASSWORD if unset."),
    opt!("database.schema", "DATABASE_SCHEMA", "test", Kind::Text, "Databases to capture: names and globs (`*`, `?`), comma separated; `!` excludes."),
    opt!("database.tables", "DATABASE_TABLES", "*", Kind::Text, "Tables to capture: names, globs, `db.table`, comma separated; `!` excludes."),
    opt!("database.capture_ghost_tables", "CAPTURE_GHOST_TABLES", "false", Kind::Flag, "Relay the copies that gh-ost and pt-online-schema-change make of captured tables (`_x_gho`, `_x_ghc`, `_x_del`, `_x_new`, `_x_old`) as well."),
    opt!("database.tls_mode", "DATABASE_TLS_MODE", "preferred", Kind::Choice(&["disabled", "preferred", "required", "verify_ca", "verify_identity"]), "How the connection is encrypted and what is checked."),
    opt!("database.tls_ca", "DATABASE_TLS_CA", unset, Kind::Path, "PEM file with the accepted authorities; Mozilla's list if unset."),
    opt!("database.tls_cert", "DATABASE_TLS_CERT", unset, Kind::Path, "PEM file with the client's certificate."),
    opt!("database.tls_key", "DATABASE_TLS_KEY", unset, Kind::Path, "PEM file with the client's private key."),
    opt!("database.server_id", "DATABASE_SERVER_ID", unset, Kind::Number(1, 4_294_967_295), "Replica id shown to the database, unique among its replicas; derived from consumer group, host and port if unset."),
    opt!("database.heartbeat_seconds", "DATABASE_HEARTBEAT_SECONDS", "10", Kind::Seconds(1, 15), "How often an idle database says that it is alive; three of them missed and the connection is given up."),
    opt!("database.connect_timeout_seconds", "DATABASE_CONNECT_TIMEOUT_SECONDS", "10", Kind::Seconds(1, 60), "Limit for connecting, and for each query."),
    opt!("database.schema_policy", "SCHEMA_POLICY", "park_table", Kind::Choice(&["park_table", "halt"]), "What a table whose rows no known definition fits does: wait while all others flow, or stop the relay."),
    opt!("database.type_policy", "TYPE_POLICY", "halt", Kind::Choice(&["halt", "skip_table"]), "What a captured table with a column that cannot be relayed does: stop, or be left out."),
    opt!("database.start_position", "START_POSITION", "latest", Kind::Text, "Where to start without a checkpoint: `latest`, `earliest`, `gtid:<set>`, `file:<name>:<pos>`, `timestamp:<RFC 3339>`."),
    opt!("database.on_position_lost", "ON_POSITION_LOST", "halt", Kind::Choice(&["halt", "earliest", "latest"]), "What a position does that the database has purged: stop, or go on with the oldest or the newest that there is, behind a record of the gap."),
    opt!("database.schema_check_seconds", "SCHEMA_CHECK_SECONDS", "60", Kind::Seconds(0, 86_400), "How often every captured table's definition is compared with the server's, to find changes that the binlog does not announce; 0 for never."),

    opt!("records.envelope", "ENVELOPE", "debezium", Kind::Choice(&["debezium", "canal", "maxwell"]), "What a record looks like: the JSON of Debezium, Canal or Maxwell."),
    opt!("records.column_exclude", "COLUMN_EXCLUDE", unset, Kind::Text, "Columns that are left out: `table.column` or `db.table.column` with globs, comma separated."),
    opt!("records.column_mask", "COLUMN_MASK", unset, Kind::Text, "Columns that are masked: `table.column=hmac` or `table.column=constant:<text>`, comma separated."),
    opt!("records.column_mask_key", "COLUMN_MASK_KEY", unset, Kind::Secret, "What `hmac` hashes with (HMAC-SHA256); at least 16 characters."),
    opt!("records.column_rules_on_keys", "COLUMN_RULES_ON_KEYS", "false", Kind::Flag, "Let columns of a primary key be left out or masked; otherwise such a rule stops the relay."),
    opt!("records.emit_transactions", "EMIT_TRANSACTIONS", "false", Kind::Flag, "Write a record where a transaction with captured rows begins and one where it ends, with counts."),
    opt!("records.emit_ddl", "EMIT_DDL", "false", Kind::Flag, "Write a record for each statement that changes the definition of a captured table or database."),
    opt!("records.tuple_names", "TUPLE_NAMES", "native", Kind::Choice(&["native", "dts", "dts_legacy"]), "What the fields of a TUPLE topic are called."),

    opt!("datahub.endpoint", "DATAHUB_ENDPOINT", required, Kind::Text, "URL of the service: `https://` or `http://`, host, optional port."),
    opt!("datahub.access_id", "DATAHUB_ACCESS_ID", required, Kind::Secret, "AccessKey id."),
    opt!("datahub.access_key", "DATAHUB_ACCESS_KEY", required, Kind::Secret, "AccessKey secret."),
    opt!("datahub.security_token", "DATAHUB_SECURITY_TOKEN", unset, Kind::Secret, "Security token that goes with a temporary (STS) AccessKey."),
    opt!("datahub.project", "DATAHUB_PROJECT", "realtime-pipeline", Kind::Text, "Project."),
    opt!("datahub.topic", "DATAHUB_TOPIC", "cdc-events", Kind::Text, "Topic."),
    opt!("datahub.consumer_group", "DATAHUB_CONSUMER_GROUP", "cdc-collector-group", Kind::Text, "Identity of this collector: names its checkpoint and marks its records."),
    opt!("datahub.compression", "DATAHUB_COMPRESSION", "lz4", Kind::Choice(&["none", "lz4", "deflate", "zstd", "auto"]), "Compression of requests; `auto` is lz4 until the service refuses it."),
    opt!("datahub.resume_from_topic", "RESUME_FROM_TOPIC", "true", Kind::Flag, "At the start look in the topic for what an earlier run of this group delivered: continue behind it, and send nothing twice."),
    opt!("datahub.create_topic", "DATAHUB_CREATE_TOPIC", "false", Kind::Flag, "Create the topic (BLOB) if it is missing."),
    opt!("datahub.shards", "DATAHUB_SHARDS", "4", Kind::Number(1, 256), "Shards of a topic that is created."),
    opt!("datahub.lifecycle_days", "DATAHUB_LIFECYCLE_DAYS", "3", Kind::Number(1, 7), "Days that a topic that is created keeps its records."),
    opt!("datahub.timeout_seconds", "DATAHUB_TIMEOUT_SECONDS", "30", Kind::Seconds(5, 120), "Limit for one request."),

    opt!("delivery.batch_max_bytes", "BATCH_MAX_BYTES", "512k", Kind::Bytes(64 * KIB, LARGEST_BATCH), "Largest request before compression."),
    opt!("delivery.batch_max_records", "BATCH_MAX_RECORDS", "4000", Kind::Number(1, 10_000), "Most records of one request."),
    opt!("delivery.batch_linger_ms", "BATCH_LINGER_MS", "0", Kind::Millis(0, 10_000), "How long an idle shard waits for more records before it sends."),
    opt!("delivery.heap_size", "HEAP_SIZE", "512m", Kind::Bytes(16 * MIB, 64 * GIB), "Most bytes of rows held in memory by all stages together."),
    opt!("delivery.poison_policy", "POISON_POLICY", "halt", Kind::Choice(&["halt", "dead_letter"]), "What a record that the service can never store does: stop, or go to the dead-letter file, with all later records of its key."),
    opt!("delivery.dead_letter_max_bytes", "DEAD_LETTER_MAX_BYTES", "1g", Kind::Bytes(MIB, 1024 * GIB), "Most bytes of the dead-letter file; when it is full, delivery waits until letters are replayed or discarded."),

    opt!("retry.max_attempts", "RETRY_MAX_ATTEMPTS", "3", Kind::Number(1, 1_000), "Consecutive failures of one call that make the collector not ready; it never stops trying."),
    opt!("retry.backoff_ms", "RETRY_BACKOFF_MS", "2000", Kind::Millis(10, 300_000), "First wait between two tries; doubles up to the maximum."),
    opt!("retry.backoff_max_ms", "RETRY_BACKOFF_MAX_MS", "30000", Kind::Millis(10, 300_000), "Longest wait between two tries."),

    opt!("monitoring.port", "MONITORING_PORT", "8080", Kind::Number(1, 65_535), "Port of the health and metrics endpoints."),
    opt!("monitoring.address", "MONITORING_ADDRESS", "0.0.0.0", Kind::Text, "Address that they listen on."),
    opt!("monitoring.ready_when_standby", "READY_WHEN_STANDBY", "false", Kind::Flag, "Let /health/ready answer 200 while another collector of the group is at work and this one stands by."),
    opt!("monitoring.ready_max_unacked_seconds", "READY_MAX_UNACKED_SECONDS", "30", Kind::Seconds(5, 3_600), "Age of the oldest unacknowledged record from which the collector is not ready."),
    opt!("monitoring.purge_warn_seconds", "PURGE_WARN_SECONDS", "3600", Kind::Seconds(0, 2_592_000), "Time until the database purges binlog that is still needed below which there is a warning; 0 for never."),
    opt!("monitoring.liveness_stall_seconds", "LIVENESS_STALL_SECONDS", "120", Kind::Seconds(10, 3_600), "Silence of an internal loop from which the collector is not alive."),

    opt!("logging.level", "LOG_LEVEL", "INFO", Kind::Choice(&["ERROR", "WARN", "INFO", "DEBUG", "TRACE"]), "Least severe message that is written."),
    opt!("logging.format", "LOG_FORMAT", "text", Kind::Choice(&["text", "json"]), "Lines for people, or one JSON object a line."),
    opt!("logging.dir", "LOG_DIR", unset, Kind::Path, "Directory of daily log files, beside standard output; none if unset."),

    opt!("process.data_dir", "DATA_DIR", "./data", Kind::Path, "Directory of the checkpoint, the tables' definitions and the dead letters."),
    opt!("process.lease", "LEASE", "database", Kind::Choice(&["database", "none"]), "What keeps all but one collector of a group from sending: a lock on the database, or nothing."),
    opt!("process.shutdown_timeout_seconds", "SHUTDOWN_TIMEOUT_SECONDS", "25", Kind::Seconds(1, 600), "Longest time that a clean stop may take."),
    opt!("process.exit_on_halt", "EXIT_ON_HALT", "false", Kind::Flag, "End the process with exit code 1 when only a person can help, instead of staying up and not ready."),
    opt!("process.extra_java_opts", "EXTRA_JAVA_OPTS", unset, Kind::Text, "Accepted and ignored: there is no JVM."),
];

impl Opt {
    /// The key under which a secret's file is named.
    pub fn file_key(&self) -> String {
        format!("{}_file", self.key)
    }

    /// The environment variable that names a secret's file.
    pub fn file_variable(&self) -> String {
        format!("{}_FILE", self.variable)
    }

    /// A value of this option as it may be printed: nothing of a secret, and nothing of what looks like a
    /// password in the wrong place.
    pub fn shown(&self, text: &str) -> String {
        // JVM flags often carry the passwords of key stores, and the collector has no use for any of it.
        if self.kind == Kind::Secret || self.variable == "EXTRA_JAVA_OPTS" {
            return String::from("***");
        }
        // `scheme://user:password@host`; a name like `user@tenant#cluster` has no colon before its `@`.
        let (scheme, rest) = match text.find("://") {
            Some(at) => text.split_at_checked(at + 3).unwrap_or(("", text)),
            None => ("", text),
        };
        match rest.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => format!("{scheme}***@{host}"),
            Some(_) | None => text.to_owned(),
        }
    }

    /// Whether an empty text is a value of its own instead of "not set".
    pub fn may_be_empty(&self) -> bool {
        self.variable == "DATABASE_PASSWORD"
    }
}

/// The option with this key, if there is one.
pub fn find(key: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|opt| opt.key == key)
}

impl Kind {
    /// Checks a text that is not empty. Numbers, durations and sizes give their number (bytes for sizes), flags
    /// 0 or 1, a choice its index; the others 0.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be accepted.
    pub fn check(self, text: &str) -> Result<u64, Refusal> {
        match self {
            Kind::Text | Kind::Secret | Kind::Path => Ok(0),
            Kind::Number(least, most) => number(text, least, most, ""),
            Kind::Seconds(least, most) => number(text, least, most, " (seconds)"),
            Kind::Millis(least, most) => number(text, least, most, " (milliseconds)"),
            Kind::Bytes(least, most) => bytes(text, least, most),
            Kind::Flag => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(1),
                "false" | "no" | "off" | "0" => Ok(0),
                _ => Err(Refusal::new(
                    "is neither true nor false",
                    "write `true` or `false`",
                )),
            },
            Kind::Choice(words) => choice(text, words),
        }
    }

    /// Whether YAML reads a valid text of this kind as what it is without quotes.
    pub fn is_plain(self) -> bool {
        match self {
            Kind::Number(..) | Kind::Seconds(..) | Kind::Millis(..) | Kind::Flag => true,
            Kind::Text | Kind::Secret | Kind::Bytes(..) | Kind::Choice(_) | Kind::Path => false,
        }
    }

    /// What is accepted, for tables and remedies.
    pub fn accepts(self) -> String {
        match self {
            Kind::Text | Kind::Secret => String::from("text"),
            Kind::Path => String::from("path"),
            Kind::Number(least, most) => format!("{least} – {most}"),
            Kind::Seconds(least, most) => format!("{least} – {most} s"),
            Kind::Millis(least, most) => format!("{least} – {most} ms"),
            Kind::Bytes(least, most) => format!("{} – {}", size(least), size(most)),
            Kind::Choice(words) => words.join(", "),
            Kind::Flag => String::from("true, false"),
        }
    }
}

fn number(text: &str, least: u64, most: u64, unit: &str) -> Result<u64, Refusal> {
    let remedy = || format!("write a whole number from {least} to {most}{unit}");
    if text.starts_with("tcp://") {
        return Err(Refusal::new(
            "is what Kubernetes sets for a service of that name",
            "set it in the pod, or set enableServiceLinks: false there",
        ));
    }
    let value: u64 = text
        .parse()
        .map_err(|_| Refusal::new("is not a whole number", remedy()))?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(Refusal::new("is out of range", remedy()))
    }
}

/// `512m`, `1g`, `64k`, `1048576`; also `512mb` and `512MiB`.
fn bytes(text: &str, least: u64, most: u64) -> Result<u64, Refusal> {
    let remedy = || {
        format!(
            "write a number of bytes from {} to {}, with k, m or g if you like",
            size(least),
            size(most)
        )
    };
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match lower.strip_prefix(digits).unwrap_or_default() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => KIB,
        "m" | "mb" | "mib" => MIB,
        "g" | "gb" | "gib" => GIB,
        _ => return Err(Refusal::new("has an unknown unit", remedy())),
    };
    let value = digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(|| Refusal::new("is not a size", remedy()))?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(Refusal::new("is out of range", remedy()))
    }
}

fn choice(text: &str, words: &'static [&'static str]) -> Result<u64, Refusal> {
    let plain = text.replace('-', "_");
    match words.iter().position(|word| word.eq_ignore_ascii_case(&plain)) {
        Some(index) => Ok(u64::try_from(index).unwrap_or_default()),
        None => Err(Refusal::new(
            "is not a known word",
            format!("write one of {}", words.join(", ")),
        )),
    }
}

fn size(bytes: u64) -> String {
    for (unit, suffix) in [(GIB, "g"), (MIB, "m"), (KIB, "k")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{suffix}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// The option table of the README: one row an option, in the order of [`OPTIONS`].
pub fn markdown() -> String {
    let mut out = String::from(
        "| variable | `application.yml` | default | accepts | what it is |\n|---|---|---|---|---|\n",
    );
    for opt in OPTIONS {
        let default = match (opt.default, opt.required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => String::from("**required**"),
            (None, false) => String::from("–"),
        };
        let file = if opt.kind == Kind::Secret {
            format!(" or `{}`", opt.file_variable())
        } else {
            String::new()
        };
        let row = writeln!(
            out,
            "| `{}`{file} | `{}` | {default} | {} | {} |",
            opt.variable,
            opt.key,
            opt.kind.accepts(),
            opt.doc
        );
        debug_assert!(row.is_ok(), "writing to a string cannot fail");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_default_passes_its_own_check() {
        for opt in OPTIONS {
            if let Some(default) = opt.default {
                assert!(opt.kind.check(default).is_ok(), "{} = {default}", opt.key);
            }
            assert!(opt.key.contains('.'), "{} has no group", opt.key);
            assert!(
                opt.doc.ends_with('.'),
                "{}: a sentence ends with a full stop",
                opt.key
            );
            assert!(!(opt.required && opt.default.is_some()), "{}", opt.key);
        }
    }

    #[test]
    fn keys_and_variables_are_unique() {
        let keys: BTreeSet<_> = OPTIONS.iter().map(|o| o.key).collect();
        let variables: BTreeSet<_> = OPTIONS.iter().map(|o| o.variable).collect();
        assert_eq!(keys.len(), OPTIONS.len());
        assert_eq!(variables.len(), OPTIONS.len());
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        let kind = Kind::Bytes(1, u64::MAX);
        for (text, bytes) in [
            ("512m", 512 * MIB),
            ("512M", 512 * MIB),
            ("1g", GIB),
            ("64k", 64 * KIB),
            ("1048576", MIB),
            ("16MiB", 16 * MIB),
            ("2GB", 2 * GIB),
        ] {
            assert_eq!(kind.check(text), Ok(bytes), "{text}");
        }
        for text in ["", "m", "12q", "-1m", "1.5g", "99999999999g", "1 m"] {
            assert!(kind.check(text).is_err(), "{text}");
        }
        assert!(Kind::Bytes(16 * MIB, GIB).check("1m").is_err());
    }

    #[test]
    fn i12_passwords_in_the_wrong_place_are_not_shown() {
        let endpoint = find("datahub.endpoint").unwrap();
        assert_eq!(
            endpoint.shown("https://id:hunter@2@dh.example.com"),
            "https://***@dh.example.com"
        );
        assert_eq!(
            endpoint.shown("https://dh.example.com:80"),
            "https://dh.example.com:80"
        );
        let username = find("database.username").unwrap();
        assert_eq!(username.shown("root@tenant#cluster"), "root@tenant#cluster");
        assert_eq!(username.shown("root:hunter@db"), "***@db");
        assert_eq!(
            find("process.extra_java_opts").unwrap().shown("-Dp=hunter"),
            "***"
        );
        assert_eq!(find("database.password").unwrap().shown("hunter"), "***");
    }

    #[test]
    fn bounds_are_inclusive() {
        let kind = Kind::Number(1, 10);
        assert_eq!(kind.check("1"), Ok(1));
        assert_eq!(kind.check("10"), Ok(10));
        for text in ["0", "11", "x", "+-1", "1e1", "99999999999999999999"] {
            assert!(kind.check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_ignore_case_and_dashes() {
        let kind = Kind::Choice(&["halt", "dead_letter"]);
        assert_eq!(kind.check("DEAD-LETTER"), Ok(1));
        assert!(kind.check("drop").is_err());
    }
}
