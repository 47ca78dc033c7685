//! The real servers start, take writes, survive `kill -9` with their data and port, and fail with their log.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::process;
use harness::servers::{Certificates, Kind, MariaDb, MySql, Options, RELAY, SCHEMA, Server, skip_without};
use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, OptsBuilder, SslOpts};

async fn write_kill_restart(kind: Kind) -> Result<()> {
    let begun = Instant::now();
    let mut server = Server::start(kind, Options::default()).await?;
    let first_start = begun.elapsed();
    server
        .execute(&[
            "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)",
            "INSERT INTO t VALUES (1, 'one')",
        ])
        .await?;
    let (pid, port) = (server.pid()?, server.port());
    server.kill()?;
    ensure!(server.connect().await.is_err(), "a killed server must not answer");
    ensure!(
        process::Memory::of(pid).is_err(),
        "the killed process is still there"
    );
    server.restart().await?;
    ensure!(server.port() == port && server.pid()? != pid);
    let rows: Vec<(i32, String)> = server.query("SELECT id, v FROM t").await?;
    ensure!(rows == [(1, "one".to_owned())]);
    let mut relay = Conn::new(server.opts(RELAY)).await?;
    let seen: Option<i32> = relay.query_first(format!("SELECT id FROM {SCHEMA}.t")).await?;
    ensure!(seen == Some(1));
    relay.disconnect().await?;
    eprintln!(
        "{kind}: first start {first_start:?}, restart {:?}, {} MiB resident",
        server.start_time(),
        server.memory()?.resident >> 20
    );
    server.stop().await
}

/// One that starts empties the directory, whoever has tables there.
#[tokio::test]
async fn temporary_tables_have_a_directory_for_each_server() -> Result<()> {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let (one, two) = tokio::try_join!(
            Server::start(kind, Options::default()),
            Server::start(kind, Options::default())
        )?;
        let directory = "SELECT @@tmpdir";
        let (of_one, of_two): (Vec<String>, Vec<String>) =
            tokio::try_join!(one.query(directory), two.query(directory))?;
        ensure!(of_one != of_two, "{kind}: both use {of_one:?}");
    }
    Ok(())
}

#[tokio::test]
async fn mariadb_keeps_data_and_port_over_a_kill() -> Result<()> {
    write_kill_restart(Kind::MariaDb).await
}

#[tokio::test]
async fn mysql_keeps_data_and_port_over_a_kill() -> Result<()> {
    write_kill_restart(Kind::MySql).await
}

#[tokio::test]
async fn seekdb_keeps_data_and_port_over_a_kill() -> Result<()> {
    if skip_without(Kind::Seekdb) {
        return Ok(());
    }
    write_kill_restart(Kind::Seekdb).await
}

/// Name and value of the variables that a relay depends on.
async fn binlog_variables(server: &Server) -> Result<Vec<String>> {
    let mut conn = Conn::new(server.opts(RELAY)).await?;
    let mut values = Vec::new();
    for name in ["log_bin + 0", "binlog_format", "binlog_row_image"] {
        let value: Option<String> = conn.query_first(format!("SELECT CONCAT(@@{name}, '')")).await?;
        values.push(value.unwrap_or_default());
    }
    conn.disconnect().await?;
    Ok(values)
}

#[tokio::test]
async fn relay_user_sees_a_row_binlog_and_may_not_write() -> Result<()> {
    for server in [
        MariaDb::start(Options::default()).await?,
        MySql::start(Options::default()).await?,
    ] {
        let variables = binlog_variables(&server).await?;
        ensure!(
            variables == ["1", "ROW", "FULL"],
            "{}: {variables:?}",
            server.kind()
        );
        let mut conn = Conn::new(server.opts(RELAY)).await?;
        ensure!(
            conn.query_drop("CREATE TABLE test.forbidden (id INT)")
                .await
                .is_err()
        );
        let statement = if server.kind() == Kind::MySql {
            "SHOW BINARY LOG STATUS"
        } else {
            "SHOW MASTER STATUS"
        };
        let status: Option<mysql_async::Row> = conn.query_first(statement).await?;
        ensure!(status.is_some(), "the relay user must see the binlog's position");
        conn.disconnect().await?;
    }
    Ok(())
}

#[tokio::test]
async fn servers_of_one_template_differ_in_identity() -> Result<()> {
    let (one, two) = tokio::try_join!(MySql::start(Options::default()), MySql::start(Options::default()))?;
    let first: Vec<String> = one.query("SELECT @@server_uuid").await?;
    let second: Vec<String> = two.query("SELECT @@server_uuid").await?;
    ensure!(first != second, "two servers must not share {first:?}");
    Ok(())
}

#[tokio::test]
async fn arguments_override_the_defaults_also_on_restart() -> Result<()> {
    let mut server = MySql::start(Options::default().arg("--binlog-row-image=MINIMAL")).await?;
    ensure!(binlog_variables(&server).await? == ["1", "ROW", "MINIMAL"]);
    server
        .restart_with(vec!["--binlog-format=STATEMENT".to_owned()])
        .await?;
    ensure!(binlog_variables(&server).await? == ["1", "STATEMENT", "FULL"]);
    Ok(())
}

#[tokio::test]
async fn a_server_that_ends_early_is_reported_with_its_log() {
    let begun = Instant::now();
    let error = MariaDb::start(Options::default().arg("--no-such-option"))
        .await
        .expect_err("must fail");
    let text = format!("{error:#}");
    assert!(
        text.contains("ended with") && text.contains("no-such-option"),
        "{text}"
    );
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn tls_with_our_certificates() -> Result<()> {
    let certificates = Certificates::generate()?;
    for kind in [Kind::MariaDb, Kind::MySql] {
        let server = Server::start(kind, Options::default().tls(&certificates)).await?;
        let (cert, key) = certificates.client();
        let identity = ClientIdentity::new(cert.into(), key.into());
        let tls = SslOpts::default()
            .with_root_certs(vec![certificates.ca().into()])
            .with_disable_built_in_roots(true)
            .with_client_identity(Some(identity));
        let opts = OptsBuilder::from_opts(server.opts(RELAY)).ssl_opts(tls.clone());
        let mut conn = Conn::new(opts).await?;
        let cipher: Option<(String, String)> = conn.query_first("SHOW STATUS LIKE 'Ssl_cipher'").await?;
        ensure!(
            cipher.is_some_and(|(_, cipher)| !cipher.is_empty()),
            "{kind}: not encrypted"
        );
        conn.disconnect().await?;
        // Somebody else's authority is not accepted.
        let other = Certificates::generate()?;
        let wrong = tls.with_root_certs(vec![other.ca().into()]);
        ensure!(
            Conn::new(OptsBuilder::from_opts(server.opts(RELAY)).ssl_opts(wrong))
                .await
                .is_err()
        );
    }
    Ok(())
}

#[tokio::test]
async fn dropped_servers_leave_nothing_behind() -> Result<()> {
    let server = MariaDb::start(Options::default()).await?;
    let (pid, dir) = (server.pid()?, server.dir().to_owned());
    drop(server);
    ensure!(
        process::Memory::of(pid).is_err(),
        "the process outlived its handle"
    );
    ensure!(!dir.exists(), "{} was left behind", dir.display());
    Ok(())
}
