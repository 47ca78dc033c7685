//! One conversation with the database: connecting, asking, and requesting the binlog dump.
//!
//! The server may be a MySQL, a MariaDB, or OceanBase, where one connection reaches two servers through a
//! proxy: the binlog instance closes the socket on anything but plain text queries and replication commands.
//! So this file never pings, resets, prepares or selects a default database, asks for one variable at a time,
//! and bounds every exchange by a timeout. It does not retry, and it does not read the stream it opens.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{
    BinlogStream, BinlogStreamRequest, ClientIdentity, Conn, GnoInterval, OptsBuilder, Row, Sid, SslOpts,
    Value,
};

use crate::config::{DatabaseConfig, TlsConfig, TlsMode};
use crate::position::{FilePosition, Flavour, GtidSet};
use crate::retry::Failure;
use crate::source::refusal;

/// Largest packet accepted: the protocol's own limit. Servers advertise less than they send (OceanBase's
/// binlog instance always says 4 MiB), and a row event that does not fit could never be passed.
const MAX_PACKET_BYTES: usize = 1 << 30;

/// Given so that the library need not ask for the server's value; only its pool would use it.
const WAIT_TIMEOUT_SECONDS: usize = 28_800;

/// Idle time after which the kernel probes the connection; below the usual idle limit of firewalls (300 s).
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Offset of the first event of every binlog file; the magic number lies before it.
pub const FIRST_EVENT: u64 = 4;

/// Longest wait for the goodbye of a connection; the socket is closed in any case.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What SHOW REPLICAS of the source lists as our host: the one place where its operators meet us.
const REPLICA_HOST: &[u8] = b"cdc-collector";

/// What a statement was answered with, unless it was an error.
#[derive(Debug)]
pub enum Answer {
    /// A result set, possibly without rows.
    Rows(Vec<Row>),
    /// An OK packet. Where rows were expected: OceanBase's binlog instance does not know the statement.
    NoResultSet,
}

/// Where a dump begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpStart {
    /// Everything that is not in the set.
    Gtid(GtidSet),
    /// The event at this offset; an empty file name means the oldest file.
    File(FilePosition),
}

/// How an attempt to connect ended without a connection.
enum Unconnected {
    TimedOut,
    Library(mysql_async::Error),
}

/// Connects and logs in, within `config.connect_timeout` (twice that where TLS needs a second attempt).
///
/// # Errors
/// What the network or the server refused, classified by [`refusal::classify`], with the address in front.
pub async fn connect(config: &DatabaseConfig) -> Result<Conn, Failure> {
    let error = match open(config, ssl_opts(&config.tls)).await {
        Ok(conn) => return Ok(conn),
        Err(error) => error,
    };
    match second_attempt(&config.tls, &error) {
        Some(tls) => open(config, tls).await,
        None => Err(error),
    }
    .map_err(|error| located(config, &error))
}

/// The TLS settings under which a refused connection is worth one more attempt.
fn second_attempt(tls: &TlsConfig, error: &Unconnected) -> Option<Option<SslOpts>> {
    let Unconnected::Library(error) = error else {
        return None;
    };
    match tls.mode {
        TlsMode::Preferred => refusal::lacks_tls(error).then_some(None),
        // The library's switch against name checks looks for a word that its TLS library no longer prints. By
        // the time the name is looked at, the chain has been accepted; the second attempt checks the chain
        // again, together with a name that the certificate does hold.
        TlsMode::VerifyCa => refusal::certified_name(error)
            .and_then(|name| Some(Some(ssl_opts(tls)?.with_danger_tls_hostname_override(Some(name))))),
        TlsMode::Disabled | TlsMode::Required | TlsMode::VerifyIdentity => None,
    }
}

async fn open(config: &DatabaseConfig, tls: Option<SslOpts>) -> Result<Conn, Unconnected> {
    let opts = OptsBuilder::default()
        // A socket address needs brackets around IPv6; a host name must not have them.
        .ip_or_hostname(config.host.trim_start_matches('[').trim_end_matches(']'))
        .tcp_port(config.port)
        .user(Some(config.username.as_str()))
        .pass(Some(config.password.expose()))
        .ssl_opts(tls)
        // Else the library asks for `@@socket` and then tries that path on *this* machine.
        .prefer_socket(false)
        .max_allowed_packet(Some(MAX_PACKET_BYTES))
        .wait_timeout(Some(WAIT_TIMEOUT_SECONDS))
        .stmt_cache_size(0)
        .tcp_keepalive(Some(KEEPALIVE))
        .tcp_nodelay(true);
    match tokio::time::timeout(config.connect_timeout, Conn::new(opts)).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(error)) => Err(Unconnected::Library(error)),
        Err(_elapsed) => Err(Unconnected::TimedOut),
    }
}

fn located(config: &DatabaseConfig, error: &Unconnected) -> Failure {
    let mut failure = match error {
        Unconnected::TimedOut => {
            refusal::timed_out("complete the connection and login", config.connect_timeout)
        }
        Unconnected::Library(error) => refusal::classify(error),
    };
    failure.reason.message = format!(
        "database {}:{}: {}",
        config.host, config.port, failure.reason.message
    );
    failure
}

fn ssl_opts(tls: &TlsConfig) -> Option<SslOpts> {
    let verified = match tls.mode {
        TlsMode::Disabled => return None,
        TlsMode::Preferred | TlsMode::Required => false,
        TlsMode::VerifyCa | TlsMode::VerifyIdentity => true,
    };
    let identity = tls
        .client
        .as_ref()
        .map(|(cert, key)| ClientIdentity::new(cert.clone().into(), key.clone().into()));
    let mut opts = SslOpts::default()
        .with_client_identity(identity)
        .with_danger_accept_invalid_certs(!verified);
    if let Some(ca) = &tls.ca {
        // A given authority is the only one: adding it to the public ones would let those vouch as well.
        opts = opts
            .with_root_certs(vec![ca.clone().into()])
            .with_disable_built_in_roots(true);
    }
    Some(opts)
}

/// Says goodbye, without waiting long for an answer.
pub async fn close(conn: Conn) {
    // Nothing depends on the goodbye: the server notices the closed socket as well.
    drop(tokio::time::timeout(CLOSE_TIMEOUT, conn.disconnect()).await);
}

/// Sends one statement over the text protocol and reads the whole answer.
///
/// After a timeout the connection is in an unknown state and must not be used again.
///
/// # Errors
/// What the server answered, classified by [`refusal::classify`], or the timeout.
pub async fn query(conn: &mut Conn, sql: &str, timeout: Duration) -> Result<Answer, Failure> {
    let asked = async {
        let mut result = conn.query_iter(sql).await?;
        // An empty result set has columns; an OK packet has none.
        let has_rows = !result.columns_ref().is_empty();
        let rows = if has_rows {
            result.collect::<Row>().await?
        } else {
            Vec::new()
        };
        result.drop_result().await?;
        Ok(if has_rows {
            Answer::Rows(rows)
        } else {
            Answer::NoResultSet
        })
    };
    match tokio::time::timeout(timeout, asked).await {
        Ok(answer) => answer.map_err(|error| refusal::classify(&error)),
        Err(_elapsed) => Err(refusal::timed_out("answer a statement", timeout)),
    }
}

/// The first column of the first row as text, whatever its type; `None` for NULL, no rows or no result set.
///
/// # Errors
/// As [`query`].
pub async fn one_text(conn: &mut Conn, sql: &str, timeout: Duration) -> Result<Option<String>, Failure> {
    Ok(match query(conn, sql, timeout).await? {
        Answer::Rows(rows) => rows.first().and_then(|row| cell(row, 0)),
        Answer::NoResultSet => None,
    })
}

/// One system variable, e.g. `gtid_mode`; `None` if the server does not know it.
///
/// # Errors
/// As [`query`], except for the refusal of an unknown variable.
pub async fn variable(conn: &mut Conn, name: &str, timeout: Duration) -> Result<Option<String>, Failure> {
    match one_text(conn, &format!("SELECT @@{name}"), timeout).await {
        Err(failure) if failure.reason.code == refusal::UNKNOWN_VARIABLE => Ok(None),
        answer => answer,
    }
}

/// A column of a row as text, whatever its type; `None` for NULL or a column that is not there.
pub fn cell(row: &Row, index: usize) -> Option<String> {
    text_of(row.as_ref(index)?)
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(n) => Some(n.to_string()),
        Value::UInt(n) => Some(n.to_string()),
        Value::Float(n) => Some(n.to_string()),
        Value::Double(n) => Some(n.to_string()),
        // The text protocol never sends these two.
        Value::Date(..) | Value::Time(..) => Some(value.as_sql(true).trim_matches('\'').to_owned()),
    }
}

/// Turns the connection into a stream of binlog events from `start` on.
///
/// The request is on its way when this returns; a refusal of it arrives as the stream's first item, to be
/// classified by [`refusal::classify_stream`].
///
/// # Errors
/// What the server answered to the preparations, the timeout of any of them, or a file offset that the
/// protocol cannot express.
pub async fn request_dump(
    mut conn: Conn,
    flavour: Flavour,
    config: &DatabaseConfig,
    start: &DumpStart,
) -> Result<BinlogStream, Failure> {
    for statement in preparations(flavour, config.server_id, config.heartbeat) {
        query(&mut conn, &statement, config.connect_timeout).await?;
    }
    let request = BinlogStreamRequest::new(config.server_id).with_hostname(REPLICA_HOST);
    let request = match start {
        // Offset 4 and no file name, the defaults: the server looks for the file itself.
        DumpStart::Gtid(set) => request.with_gtid().with_gtid_set(sids(set)),
        DumpStart::File(at) => request
            .with_filename(at.file.as_bytes())
            .with_pos(u64::from(dump_offset(at)?)),
    };
    match tokio::time::timeout(config.connect_timeout, conn.get_binlog_stream(request)).await {
        Ok(stream) => stream.map_err(|error| refusal::classify_stream(&error)),
        Err(_elapsed) => Err(refusal::timed_out(
            "accept the request for the binlog",
            config.connect_timeout,
        )),
    }
}

/// What the session has to be told before the dump. One variable a statement: an OceanBase proxy carries each
/// over to the binlog instance.
fn preparations(flavour: Flavour, server_id: u32, heartbeat: Duration) -> Vec<String> {
    let period = heartbeat.as_nanos();
    let uuid = replica_uuid(server_id);
    let mut statements = vec![format!("SET @master_heartbeat_period = {period}")];
    match flavour {
        Flavour::MySql => statements.extend([
            format!("SET @source_heartbeat_period = {period}"),
            // Two connections with one uuid: the server ends the older one, which is our own lost one.
            format!("SET @slave_uuid = '{uuid}'"),
            format!("SET @replica_uuid = '{uuid}'"),
        ]),
        // Below 4 MariaDB replaces its GTID events by dummies.
        Flavour::MariaDb => statements.push("SET @mariadb_slave_capability = 4".to_owned()),
        Flavour::OceanBase => statements.push(format!("SET @slave_uuid = '{uuid}'")),
    }
    statements
}

/// A uuid that belongs to the replica id, so that a restarted collector is the same replica.
fn replica_uuid(server_id: u32) -> String {
    format!("cdc00000-0000-4000-8000-0000{server_id:08x}")
}

/// The set as the dump command takes it: ranges with an exclusive end.
fn sids(set: &GtidSet) -> Vec<Sid<'static>> {
    let mut sids: Vec<Sid<'static>> = Vec::new();
    for (uuid, first, last) in set.iter() {
        let interval = GnoInterval::new(first, last.saturating_add(1));
        match sids.pop() {
            Some(sid) if sid.uuid() == uuid.0 => sids.push(sid.with_interval(interval)),
            other => {
                sids.extend(other);
                sids.push(Sid::new(uuid.0).with_interval(interval));
            }
        }
    }
    sids
}

/// The offset as the dump command carries it, in 32 bits.
fn dump_offset(at: &FilePosition) -> Result<u32, Failure> {
    u32::try_from(at.pos.max(FIRST_EVENT)).map_err(|_| {
        Failure::halt(
            "position_beyond_protocol",
            format!(
                "the binlog cannot be requested from {at}: the protocol's offsets end at 4294967295 bytes"
            ),
            "restart from a GTID set, or from the beginning of the next binlog file (START_POSITION)",
        )
    })
}

#[cfg(test)]
mod tests;
