//! Which TLS mode accepts which server, with an authority made on the spot by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use cdc_collector::config::{DatabaseConfig, TlsConfig, TlsMode};
use cdc_collector::source::connection::{self, Answer};
use harness::servers::{Login, MariaDb, Options, RELAY};

use super::{TIMEOUT, config};

#[tokio::test]
async fn each_tls_mode_accepts_what_it_says() {
    let keys = tempfile::tempdir().unwrap();
    let dir = keys.path();
    authority(dir, "ca");
    authority(dir, "other");
    certificate(dir, "server", "subjectAltName=DNS:localhost");
    certificate(dir, "client", "extendedKeyUsage=clientAuth");
    let file = |name: &str| dir.join(name);
    let option = |name: &str, path: &str| format!("--{name}={}", file(path).display());
    let server = MariaDb::start(
        Options::default()
            .arg(option("ssl-ca", "ca.pem"))
            .arg(option("ssl-cert", "server.pem"))
            .arg(option("ssl-key", "server.key")),
    )
    .await
    .unwrap();
    server
        .execute(&["CREATE USER x509@'%' IDENTIFIED BY 'x509' REQUIRE X509"])
        .await
        .unwrap();
    let plain = MariaDb::start(Options::default()).await.unwrap();

    use TlsMode::{Disabled, Preferred, Required, VerifyCa, VerifyIdentity};
    // The certificate names localhost, not 127.0.0.1.
    for (server, host, mode, ca, expected) in [
        (&server, "127.0.0.1", Disabled, None, Ok(false)),
        (&server, "127.0.0.1", Preferred, None, Ok(true)),
        (&plain, "127.0.0.1", Preferred, None, Ok(false)),
        (&server, "127.0.0.1", Required, None, Ok(true)),
        (&plain, "127.0.0.1", Required, None, Err("tls_unavailable")),
        (&server, "127.0.0.1", VerifyCa, Some("ca.pem"), Ok(true)),
        (
            &server,
            "127.0.0.1",
            VerifyCa,
            Some("other.pem"),
            Err("tls_unknown_authority"),
        ),
        (&server, "127.0.0.1", VerifyCa, None, Err("tls_unknown_authority")),
        (
            &server,
            "127.0.0.1",
            VerifyCa,
            Some("missing.pem"),
            Err("tls_file_unreadable"),
        ),
        (
            &server,
            "127.0.0.1",
            VerifyCa,
            Some("ca.key"),
            Err("tls_file_unreadable"),
        ),
        (
            &server,
            "127.0.0.1",
            VerifyIdentity,
            Some("ca.pem"),
            Err("tls_name_mismatch"),
        ),
        (&server, "localhost", VerifyIdentity, Some("ca.pem"), Ok(true)),
        (
            &server,
            "localhost",
            VerifyIdentity,
            Some("other.pem"),
            Err("tls_unknown_authority"),
        ),
    ] {
        let tls = TlsConfig {
            mode,
            ca: ca.map(file),
            client: None,
        };
        let config = DatabaseConfig {
            host: host.to_owned(),
            tls,
            ..config(server, RELAY)
        };
        assert_eq!(encrypted(&config).await, expected, "{host} {mode:?} {ca:?}");
    }

    let x509 = Login {
        user: "x509",
        password: "x509",
    };
    for (client, expected) in [
        (None, Err("database_access_denied")),
        (Some(("client.pem", "client.key")), Ok(true)),
        (Some(("client.pem", "client.pem")), Err("tls_key_unreadable")),
        (Some(("client.pem", "server.key")), Err("tls_file_unreadable")),
    ] {
        let client: Option<(PathBuf, PathBuf)> = client.map(|(cert, key)| (file(cert), file(key)));
        let tls = TlsConfig {
            mode: VerifyCa,
            ca: Some(file("ca.pem")),
            client: client.clone(),
        };
        let config = DatabaseConfig {
            tls,
            ..config(&server, x509)
        };
        assert_eq!(encrypted(&config).await, expected, "{client:?}");
    }
}

/// Whether the connection is encrypted, or the code of the refusal.
async fn encrypted(config: &DatabaseConfig) -> Result<bool, &'static str> {
    let mut conn = connection::connect(config).await.map_err(|f| f.reason.code)?;
    let answer = connection::query(&mut conn, "SHOW STATUS LIKE 'Ssl_cipher'", TIMEOUT)
        .await
        .unwrap();
    connection::close(conn).await;
    match answer {
        Answer::Rows(rows) => Ok(rows
            .iter()
            .any(|row| connection::cell(row, 1).is_some_and(|c| !c.is_empty()))),
        Answer::NoResultSet => panic!("SHOW STATUS has rows"),
    }
}

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .current_dir(dir)
        .args(arguments.split(' '))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn authority(dir: &Path, name: &str) {
    openssl(
        dir,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2"
        ),
    );
}

fn certificate(dir: &Path, name: &str, extension: &str) {
    std::fs::write(dir.join("extension"), extension).unwrap();
    openssl(
        dir,
        &format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"),
    );
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile extension"
        ),
    );
}
