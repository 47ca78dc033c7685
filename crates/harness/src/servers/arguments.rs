//! The command line of each server: small, quick, and as complete a binlog as the product asks for.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{ADMIN, Login, RELAY, SCHEMA};

/// What MariaDB and MySQL share.
fn common(dir: &Path, port: u16) -> Vec<String> {
    let dir = dir.display();
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={dir}/data"),
        format!("--socket={dir}/sock"),
        format!("--pid-file={dir}/pid"),
        // Its own: a MariaDB that starts deletes every temporary table that it finds there, also those that another
        // server has open, which may then even crash.
        format!("--tmpdir={dir}"),
        format!("--init-file={dir}/init.sql"),
        format!("--port={port}"),
    ];
    arguments.extend(
        [
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--server-id=1",
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--binlog-row-image=FULL",
            "--character-set-server=utf8mb4",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=64M",
            "--max-allowed-packet=1G",
            "--max-connections=200",
            // The process is killed, the machine is not: what the kernel has is safe.
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-doublewrite=OFF",
            "--innodb-flush-method=fsync",
            "--sync-binlog=0",
        ]
        .map(str::to_owned),
    );
    arguments
}

/// MariaDB's command line.
pub(super) fn mariadb(dir: &Path, port: u16) -> Vec<String> {
    let mut arguments = common(dir, port);
    arguments.extend(["--innodb-log-file-size=32M", "--skip-log-error"].map(str::to_owned));
    arguments
}

/// MySQL's command line.
pub(super) fn mysql(dir: &Path, port: u16) -> Vec<String> {
    let mut arguments = common(dir, port);
    arguments.extend(
        [
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--mysqlx=OFF",
            "--innodb-redo-log-capacity=64M",
            "--secure-file-priv=",
        ]
        .map(str::to_owned),
    );
    arguments
}

/// seekdb's command line.
pub(super) fn seekdb(dir: &Path, port: u16) -> Vec<String> {
    let dir = dir.display().to_string();
    let port = port.to_string();
    [
        "--nodaemon",
        "--port",
        &port,
        "--base-dir",
        &dir,
        "--log-level",
        "WARN",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn create_user(login: Login) -> String {
    format!(
        "CREATE USER IF NOT EXISTS '{}'@'%' IDENTIFIED BY '{}'",
        login.user, login.password
    )
}

/// The statements that make the relay's account.
pub(super) fn relay_user() -> [String; 2] {
    let grant = format!(
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO '{}'@'%'",
        RELAY.user
    );
    [create_user(RELAY), grant]
}

/// Statements that every start runs before the first login, none of them written to the binlog.
pub(super) fn write_init_file(path: &Path, more: &[String]) -> Result<()> {
    let create = |login: Login| {
        format!(
            "CREATE USER IF NOT EXISTS '{}'@'%' IDENTIFIED BY '{}';",
            login.user, login.password
        )
    };
    let mut statements = vec![
        "SET SESSION sql_log_bin=0;".to_owned(),
        format!("{};", create_user(ADMIN)),
        format!(
            "GRANT ALL PRIVILEGES ON *.* TO '{}'@'%' WITH GRANT OPTION;",
            ADMIN.user
        ),
        create(RELAY),
        format!(
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO '{}'@'%';",
            RELAY.user
        ),
        format!("CREATE DATABASE IF NOT EXISTS `{SCHEMA}`;"),
    ];
    statements.extend(more.iter().cloned());
    statements.push(String::new());
    fs::write(path, statements.join("\n")).with_context(|| format!("writing {}", path.display()))
}
