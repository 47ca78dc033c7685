//! Statements with credentials pass through the binlog as text; none of it comes out, at any log level (I12).

use std::path::Path;

use harness::collector::Collector;
use harness::servers::{Kind, Options};
use harness::workload::Plan;
use mysql_async::Row;
use mysql_async::prelude::Queryable;

use super::connection;
use crate::rig::{PROJECT, READY, Rig, STOPPED, TOPIC};

/// Every password here begins like this, and nothing else does.
const SECRET: &str = "Pw-in-a-statement-";

fn statements(kind: Kind) -> Vec<String> {
    let both = [
        "CREATE USER ann IDENTIFIED BY '{}1'",
        "ALTER USER ann IDENTIFIED BY '{}2'",
        "CREATE SERVER far FOREIGN DATA WRAPPER mysql OPTIONS (USER 'bob', PASSWORD '{}3', HOST '127.0.0.1', DATABASE 'x')",
        "ALTER SERVER far OPTIONS (PASSWORD '{}4')",
        "ALTER TABLE kept COMMENT = 'mysql://bob:{}5@127.0.0.1/x'",
        "CREATE TABLE holds (id INT PRIMARY KEY, a VARCHAR(60) DEFAULT '{}6')",
        "CREATE VIEW shows AS SELECT '{}7' AS a FROM kept",
        "CREATE PROCEDURE does() SELECT '{}8'",
    ];
    let own: &[&str] = match kind {
        Kind::MariaDb => &[
            "SET PASSWORD FOR ann = PASSWORD('{}9')",
            "GRANT SELECT ON *.* TO ben IDENTIFIED BY '{}10'",
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_USER='r', MASTER_PASSWORD='{}11'",
            "SET STATEMENT lock_wait_timeout=9 FOR CREATE USER cid IDENTIFIED BY '{}12'",
        ],
        Kind::MySql | Kind::Seekdb => &[
            "SET PASSWORD FOR ann = '{}9'",
            "ALTER USER ann IDENTIFIED BY '{}10' REPLACE '{}9' RETAIN CURRENT PASSWORD",
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_USER='r', SOURCE_PASSWORD='{}11'",
        ],
    };
    // Only the administrator changes other users' passwords, and then without the old one.
    let texts = both
        .iter()
        .chain(own)
        .map(|text| text.replace("REPLACE '{}9' ", ""));
    texts.map(|text| text.replace("{}", SECRET)).collect()
}

/// Everything that is written down in a directory and below.
fn files(directory: &Path, out: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, out);
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            out.push((
                path.display().to_string(),
                String::from_utf8_lossy(&bytes).into_owned(),
            ));
        }
    }
}

async fn statements_with_credentials_stay_inside(kind: Kind) {
    let rig = Rig::new(kind, Options::default(), Plan::default(), 1).await;
    let settings = rig
        .settings
        .clone()
        .env("LOG_LEVEL", "TRACE")
        .env("LOG_DIR", rig.settings.dir().join("logs").display().to_string());
    let mut collector = Collector::start_ready(&settings, READY)
        .await
        .expect("a collector");
    let mut conn = connection(&rig).await;
    conn.query_drop("CREATE TABLE kept (id INT PRIMARY KEY, a VARCHAR(60))")
        .await
        .expect("a table");
    let (file, begun) = rig.head().await;
    for sql in statements(kind) {
        conn.query_drop(&sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        conn.query_drop("INSERT INTO kept SELECT COUNT(*), 'a' FROM kept")
            .await
            .expect("a row");
    }
    rig.caught_up(&mut collector).await;
    let mut out = Vec::new();
    for path in ["/", "/health", "/metrics"] {
        out.push((path.to_owned(), collector.get(path).await.expect("an answer").1));
    }
    // Logged as text although it changes a row: the reason to halt repeats nothing of it.
    conn.query_drop("SET SESSION binlog_format = STATEMENT")
        .await
        .expect("a format");
    conn.query_drop(format!("UPDATE kept SET a = '{SECRET}13'"))
        .await
        .expect("a statement");
    collector
        .wait_health("halt", READY, |health| health["status"] == "halted")
        .await
        .expect("a halt");
    out.push((
        "/health".to_owned(),
        collector.get("/health").await.expect("an answer").1,
    ));
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    files(settings.dir(), &mut out);
    for record in rig.emulator.records(PROJECT, TOPIC).expect("the topic") {
        let blob = record.blob().expect("a blob");
        out.push(("a record".to_owned(), String::from_utf8_lossy(blob).into_owned()));
    }
    assert!(
        out.iter()
            .any(|(place, text)| place.contains("logs") && text.contains("definitions changed"))
    );

    // The server logs passwords of users as hashes: those are secrets too. They are in quotes in the binlog's texts.
    let events: Vec<Row> = conn
        .query(format!("SHOW BINLOG EVENTS IN '{file}' FROM {begun}"))
        .await
        .expect("the binlog");
    let texts: Vec<String> = events
        .iter()
        .filter_map(|event| event.get::<Vec<u8>, _>(5))
        .map(|info| String::from_utf8_lossy(&info).into_owned())
        .collect();
    let passed = texts.iter().filter(|text| text.contains(SECRET)).count();
    assert!(passed >= 5, "the binlog holds no secrets: {texts:#?}");
    let mut secrets = vec![SECRET.to_owned()];
    for text in texts
        .iter()
        .filter(|text| text.contains("IDENTIFIED") || text.contains("PASSWORD"))
    {
        let quoted = text.split('\'').skip(1).step_by(2);
        secrets.extend(quoted.filter(|text| text.len() > 30).map(str::to_owned));
    }
    assert!(
        kind == Kind::MariaDb || secrets.len() > 2,
        "no hashes were found: {texts:#?}"
    );
    for secret in &secrets {
        for (place, text) in &out {
            // Bytes as a debugging log would write them.
            let bytes = secret
                .as_bytes()
                .iter()
                .map(u8::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            assert!(
                !text.contains(secret) && !text.contains(&bytes),
                "{secret} in {place}"
            );
        }
    }
    conn.disconnect().await.expect("an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_statements_with_credentials_stay_inside_on_mysql() {
    statements_with_credentials_stay_inside(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_statements_with_credentials_stay_inside_on_mariadb() {
    statements_with_credentials_stay_inside(Kind::MariaDb).await;
}
