//! The database: reached, examined, and its binlog opened.

use std::time::Duration;

use mysql_async::Conn;

use super::not_checked;
use super::rate::{self, Rate};
use crate::app::wall_clock;
use crate::config::{Config, DatabaseConfig, LeaseKind, TlsMode};
use crate::retry::Failure;
use crate::source::connection;
use crate::source::lease::{self, Connection, Grant};
use crate::source::preflight::{self, Finding, ServerFacts, certificate, dump, tls};

/// Beyond so many seconds between the two clocks the lag that is shown is of no use.
const CLOCK_SECONDS: u64 = 60;

/// Codes of findings that are about the captured tables rather than about the server.
const OF_TABLES: [&str; 9] = [
    "schema_missing",
    "no_table_captured",
    "tables",
    "primary_key_missing",
    "column_type_unsupported",
    "table_left_out",
    "generated_column_virtual",
    "value_damage_possible",
    "schema_not_logged",
];

/// What was found.
#[derive(Default)]
pub(super) struct Seen {
    /// Of the server.
    pub(super) source: Vec<Finding>,
    /// Of the captured tables.
    pub(super) schema: Vec<Finding>,
    /// The server, if it could be asked.
    pub(super) facts: Option<ServerFacts>,
    /// How fast its binlog grows, if that was measured.
    pub(super) rate: Option<Rate>,
}

pub(super) async fn look(config: &Config, measure: Duration) -> Seen {
    let mut seen = Seen::default();
    let database = &config.database;
    let mut conn = match connection::connect(database).await {
        Ok(conn) => conn,
        Err(failure) => {
            let what = "the server's version, binlog, settings, privileges, retention and lease, and the captured tables";
            seen.source.push(failure.into());
            seen.source
                .push(not_checked(what, "there is no connection to the database"));
            return seen;
        }
    };
    seen.source.push(encryption(database).await);
    // Where tables are is also who knows the time: a binlog instance knows no functions.
    let mut observer = match database.observer {
        Some(_) => connection::connect(&database.of_tables()).await.ok(),
        None => None,
    };
    seen.source
        .extend(time(observer.as_mut().unwrap_or(&mut conn), database).await);
    match preflight::inspect(&mut conn, database).await {
        Ok((facts, findings)) => {
            let (of_tables, of_server) = findings
                .into_iter()
                .partition(|finding| OF_TABLES.contains(&finding.code));
            seen.schema = of_tables;
            seen.source.extend(of_server);
            seen.facts = Some(facts);
        }
        Err(failure) => seen.source.push(failure.into()),
    }
    let of_tables = observer.as_mut().unwrap_or(&mut conn);
    match preflight::column_rules(of_tables, database, &config.records).await {
        Ok(of_rules) => seen.schema.extend(of_rules),
        Err(failure) => seen.schema.push(failure.into()),
    }
    if let Some(observer) = observer {
        connection::close(observer).await;
    }
    seen.source.extend(stream(database, seen.facts.as_ref()).await);
    if config.lease == LeaseKind::Database {
        seen.source
            .push(place(config).await.unwrap_or_else(Finding::from));
    }
    if !measure.is_zero() && seen.facts.is_some() {
        match rate::measure(&mut conn, database, measure).await {
            Ok(rate) => {
                seen.source.push(rate.finding());
                seen.rate = Some(rate);
            }
            Err(failure) => seen.source.push(failure.into()),
        }
    }
    connection::close(conn).await;
    seen
}

/// What a start asks beside its own questions.
pub(super) async fn beside(config: &Config) -> Vec<Finding> {
    let database = &config.database;
    // Why there is no connection is for the source to say.
    let Ok(mut conn) = connection::connect(&database.of_tables()).await else {
        return Vec::new();
    };
    let mut findings = vec![encryption(database).await];
    findings.extend(time(&mut conn, database).await);
    connection::close(conn).await;
    findings
}

/// Whether the connection is encrypted, and how long the server's certificates hold.
async fn encryption(config: &DatabaseConfig) -> Finding {
    let checked = match config.tls.mode {
        TlsMode::Disabled => return Finding::info("tls", "not encrypted (DATABASE_TLS_MODE=disabled)"),
        TlsMode::Preferred | TlsMode::Required => false,
        TlsMode::VerifyCa | TlsMode::VerifyIdentity => true,
    };
    let chain = tls::certificates(config).await;
    if chain.is_empty() && config.tls.mode == TlsMode::Preferred {
        return Finding::info("tls", "not encrypted: the server offers no TLS");
    }
    let now = i64::try_from(wall_clock().as_secs()).unwrap_or(i64::MAX);
    certificate::judge(&chain, checked, now)
}

/// The server's clock against ours. One that cannot be asked, a binlog instance, has none to compare.
async fn time(conn: &mut Conn, config: &DatabaseConfig) -> Option<Finding> {
    let asked = connection::one_text(conn, "SELECT UNIX_TIMESTAMP()", config.connect_timeout).await;
    let theirs: u64 = asked.ok().flatten()?.parse().ok()?;
    let ours = wall_clock().as_secs();
    Some(clocks(theirs, ours))
}

fn clocks(theirs: u64, ours: u64) -> Finding {
    let apart = theirs.abs_diff(ours);
    let side = if theirs > ours { "ahead of" } else { "behind" };
    let seen = format!("the database's clock is {apart} s {side} this machine's");
    if apart > CLOCK_SECONDS {
        Finding::warning(
            "database_clock_differs",
            format!("{seen}: the lag that is shown is wrong by as much"),
            "set the clock of the machine that is wrong (NTP)",
        )
    } else {
        Finding::info("database_clock", seen)
    }
}

/// Opens the binlog, if there is one to open.
async fn stream(config: &DatabaseConfig, facts: Option<&ServerFacts>) -> Vec<Finding> {
    match facts {
        Some(facts) if !facts.head.file.is_empty() => {
            vec![dump::prove(config, facts).await.unwrap_or_else(Finding::from)]
        }
        Some(_) => vec![not_checked(
            "whether the binlog can be read",
            "the server shows no binlog",
        )],
        None => vec![not_checked(
            "whether the binlog can be read",
            "the server could not be examined",
        )],
    }
}

/// Whether the database has locks that end with their connection, and who has that of the group.
async fn place(config: &Config) -> Result<Finding, Failure> {
    let trial = format!("cdc-collector/check/{:016x}", fastrand::u64(..));
    let mut connection = Connection::open(&config.database, &trial).await?;
    let granted = connection.take(0).await;
    connection.close().await;
    if granted? == Grant::Unsupported {
        return Ok(Finding::warning(
            "lease_unsupported",
            "the database has no lock that ends with its connection: nothing keeps two collectors of a group apart",
            "set `LEASE=none`, and see to it that no second collector of the group is started",
        ));
    }
    let mut connection = Connection::open(&config.database, &lease::name(&config.datahub)).await?;
    let holder = connection.holder().await;
    connection.close().await;
    Ok(Finding::info(
        "lease",
        match holder? {
            Some(id) => {
                format!("a collector of this group is at work (connection {id}); another one would stand by")
            }
            None => "nobody has it; a collector would begin at once".to_owned(),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::preflight::Severity;

    #[test]
    fn a_minute_between_clocks_is_told() {
        let judged = |theirs, ours| {
            let finding = clocks(theirs, ours);
            (finding.code, finding.severity)
        };
        assert_eq!(judged(1000, 1060), ("database_clock", Severity::Info));
        assert_eq!(judged(1000, 1061), ("database_clock_differs", Severity::Warning));
        assert_eq!(judged(1061, 1000), ("database_clock_differs", Severity::Warning));
        assert!(clocks(1061, 1000).seen.contains("61 s ahead of"));
    }
}
