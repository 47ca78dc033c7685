//! Large tables are changed by tools that copy them: gh-ost and pt-online-schema-change, in the statements that they
//! send. Their copies are not relayed; the switch is seen, and every row has the columns of its moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use harness::servers::{Kind, Options, SCHEMA};
use harness::workload::Plan;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::task::JoinSet;

use super::topic::{self, Seen};
use super::{connection, more};
use crate::rig::{PROJECT, Rig, STOPPED, TOPIC, i14_conserved};

/// Rows that are there before, and so many are written before and after each switch.
const ROWS: u64 = 30;

const TABLE: &str = "CREATE TABLE orders (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, a VARCHAR(40), b VARCHAR(40), v INT NOT NULL DEFAULT 0)";

/// Writes and changes rows under the old columns' names, which the new table has as well.
async fn write(rig: Arc<Rig>, done: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let mut conn = connection(&rig).await;
    while !stop.load(Ordering::Acquire) {
        let n = done.load(Ordering::Acquire);
        for sql in [
            format!("INSERT INTO orders (a, b) VALUES ('a{n}', 'b{n}')"),
            format!(
                "UPDATE orders SET v = v + 1, a = 'a{n}' WHERE id = {}",
                n % ROWS + 1
            ),
            format!("DELETE FROM orders WHERE id = {}", n + ROWS / 2),
        ] {
            run(&mut conn, &[&sql]).await;
        }
        done.fetch_add(1, Ordering::Release);
    }
    conn.disconnect().await.expect("an end");
}

/// Runs statements, each again for as long as it is chosen to end a deadlock.
async fn run(conn: &mut Conn, statements: &[&str]) {
    for sql in statements {
        loop {
            match conn.query_drop(*sql).await {
                Ok(()) => break,
                Err(mysql_async::Error::Server(error)) if [1205, 1213].contains(&error.code) => {}
                Err(error) => panic!("{sql}: {error}"),
            }
        }
    }
}

/// gh-ost: a changelog table, a ghost table, chunks and replayed events, and a switch under a lock.
async fn gh_ost(rig: &Rig, conn: &mut Conn, done: &AtomicU64) {
    run(
        conn,
        &[
            "CREATE /* gh-ost */ TABLE `test`.`_orders_ghc` (id BIGINT UNSIGNED AUTO_INCREMENT, last_update TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, hint VARCHAR(64) CHARSET ascii NOT NULL, value VARCHAR(4096) CHARSET ascii NOT NULL, PRIMARY KEY (id), UNIQUE KEY hint_uidx (hint))",
            "CREATE /* gh-ost */ TABLE `test`.`_orders_gho` LIKE `test`.`orders`",
            "ALTER /* gh-ost */ TABLE `test`.`_orders_gho` ADD COLUMN c VARCHAR(40) NOT NULL DEFAULT 'c' AFTER id",
            "INSERT /* gh-ost */ INTO `test`.`_orders_ghc` (id, hint, value) VALUES (NULLIF(2, 0), 'state', 'GhostTableMigrated') ON DUPLICATE KEY UPDATE last_update = NOW(), value = VALUES(value)",
        ],
    )
    .await;
    more(done, ROWS).await;
    run(
        conn,
        &[
            "INSERT /* gh-ost `test`.`orders` */ IGNORE INTO `test`.`_orders_gho` (`id`, `a`, `b`, `v`) (SELECT `id`, `a`, `b`, `v` FROM `test`.`orders` FORCE INDEX (`PRIMARY`) WHERE `id` >= 1 AND `id` <= 1000000 LOCK IN SHARE MODE)",
            "CREATE /* gh-ost */ TABLE `test`.`_orders_del` (id INT AUTO_INCREMENT PRIMARY KEY) COMMENT='ghost-cut-over-sentry'",
            "LOCK /* gh-ost */ TABLES `test`.`orders` WRITE, `test`.`_orders_del` WRITE, `test`.`_orders_gho` WRITE",
            // gh-ost reads these from the binlog; what they come to is the same.
            "REPLACE /* gh-ost `test`.`_orders_gho` */ INTO `test`.`_orders_gho` (`id`, `a`, `b`, `v`) SELECT `id`, `a`, `b`, `v` FROM `test`.`orders`",
            "DELETE /* gh-ost `test`.`_orders_gho` */ FROM `test`.`_orders_gho` WHERE `id` NOT IN (SELECT `id` FROM `test`.`orders`)",
        ],
    )
    .await;
    // The rename waits for the lock, and goes before every writer that waits as well.
    let mut other = connection(rig).await;
    let switch = async {
        run(
            &mut other,
            &["RENAME /* gh-ost */ TABLE `test`.`orders` TO `test`.`_orders_del`, `test`.`_orders_gho` TO `test`.`orders`"],
        )
        .await;
    };
    let unlock = async {
        let mut watcher = connection(rig).await;
        loop {
            let waiting: Option<u64> = watcher
                .query_first(
                    "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'RENAME /* gh-ost%'",
                )
                .await
                .expect("the list of processes");
            if waiting > Some(0) {
                break;
            }
        }
        run(
            conn,
            &[
                "DROP /* gh-ost */ TABLE IF EXISTS `test`.`_orders_del`",
                "UNLOCK TABLES",
            ],
        )
        .await;
    };
    tokio::join!(switch, unlock);
    more(done, ROWS).await;
    run(
        conn,
        &[
            "DROP /* gh-ost */ TABLE IF EXISTS `test`.`_orders_ghc`",
            "DROP /* gh-ost */ TABLE IF EXISTS `test`.`_orders_del`",
        ],
    )
    .await;
}

/// pt-online-schema-change: triggers that write both tables in one statement, chunks, one rename.
async fn pt_osc(conn: &mut Conn, done: &AtomicU64) {
    run(
        conn,
        &[
            "CREATE TABLE `test`.`_orders_new` LIKE `test`.`orders`",
            "ALTER TABLE `test`.`_orders_new` DROP COLUMN c, ADD COLUMN d INT NOT NULL DEFAULT 4 FIRST",
            "CREATE TRIGGER `pt_osc_test_orders_del` AFTER DELETE ON `test`.`orders` FOR EACH ROW DELETE IGNORE FROM `test`.`_orders_new` WHERE `test`.`_orders_new`.`id` <=> OLD.`id`",
            "CREATE TRIGGER `pt_osc_test_orders_upd` AFTER UPDATE ON `test`.`orders` FOR EACH ROW REPLACE INTO `test`.`_orders_new` (`id`, `a`, `b`, `v`) VALUES (NEW.`id`, NEW.`a`, NEW.`b`, NEW.`v`)",
            "CREATE TRIGGER `pt_osc_test_orders_ins` AFTER INSERT ON `test`.`orders` FOR EACH ROW REPLACE INTO `test`.`_orders_new` (`id`, `a`, `b`, `v`) VALUES (NEW.`id`, NEW.`a`, NEW.`b`, NEW.`v`)",
        ],
    )
    .await;
    more(done, ROWS).await;
    run(
        conn,
        &[
            "INSERT LOW_PRIORITY IGNORE INTO `test`.`_orders_new` (`id`, `a`, `b`, `v`) SELECT `id`, `a`, `b`, `v` FROM `test`.`orders` LOCK IN SHARE MODE /*pt-online-schema-change 4711 copy table*/",
            "ANALYZE TABLE `test`.`_orders_new` /* pt-online-schema-change */",
            "RENAME TABLE `test`.`orders` TO `test`.`_orders_old`, `test`.`_orders_new` TO `test`.`orders`",
        ],
    )
    .await;
    more(done, ROWS).await;
    run(
        conn,
        &[
            "DROP TRIGGER IF EXISTS `test`.`pt_osc_test_orders_del`",
            "DROP TRIGGER IF EXISTS `test`.`pt_osc_test_orders_upd`",
            "DROP TRIGGER IF EXISTS `test`.`pt_osc_test_orders_ins`",
            "DROP TABLE IF EXISTS `test`.`_orders_old`",
        ],
    )
    .await;
}

/// Which of the three shapes an image has: before, behind gh-ost, behind pt-online-schema-change.
fn shape(record: &Seen) -> usize {
    let image = record
        .after
        .as_ref()
        .or(record.before.as_ref())
        .expect("an image");
    let begins = |text: &str| record.text.contains(text);
    match image.len() {
        4 => 0,
        5 if image.contains_key("c") && begins(r#"{"id":"#) => 1,
        5 if image.get("d") == Some(&serde_json::json!(4)) && begins(r#"{"d":4,"id":"#) => 2,
        _ => panic!("a row of no moment: {}", record.text),
    }
}

async fn migrations_are_seen_as_one_change(kind: Kind) {
    let rig = Arc::new(Rig::new(kind, Options::default(), Plan::default(), 3).await);
    let mut conn = connection(&rig).await;
    run(&mut conn, &[TABLE]).await;
    let mut collector = rig.start().await;
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut writer = JoinSet::new();
    writer.spawn(write(Arc::clone(&rig), Arc::clone(&done), Arc::clone(&stop)));
    more(&done, ROWS).await;
    gh_ost(&rig, &mut conn, &done).await;
    rig.caught_up(&mut collector).await;
    pt_osc(&mut conn, &done).await;
    stop.store(true, Ordering::Release);
    writer.join_next().await.expect("the writer").expect("its end");
    run(&mut conn, &["UPDATE orders SET v = v + 1"]).await;
    rig.caught_up(&mut collector).await;

    let seen = topic::read(&rig.emulator, PROJECT, TOPIC);
    let mut counts = [0u64; 3];
    let mut newest = 0;
    let mut rows = std::collections::BTreeMap::new();
    for (place, record) in &seen {
        assert_eq!(record.table, "orders", "{place:?}: {}", record.text);
        let shape = shape(record);
        assert!(
            shape >= newest,
            "{place:?}: older columns come back: {}",
            record.text
        );
        newest = shape;
        counts[shape] += 1;
        let image = record
            .after
            .as_ref()
            .or(record.before.as_ref())
            .expect("an image");
        let id = image["id"].as_i64().expect("an id");
        match &record.after {
            Some(after) => rows.insert(id, after.clone()),
            None => rows.remove(&id),
        };
    }
    assert!(counts.iter().all(|count| *count >= ROWS), "{counts:?}");
    // The copy holds what the tools copied without a record; the last update showed all of it.
    let selected: Vec<(i32, i64, String, String, i32)> = conn
        .query(format!("SELECT d, id, a, b, v FROM {SCHEMA}.orders"))
        .await
        .expect("the rows");
    assert_eq!(selected.len(), rows.len());
    for (d, id, a, b, v) in selected {
        let expected = serde_json::json!({"d": d, "id": id, "a": a, "b": b, "v": v});
        assert_eq!(serde_json::Value::Object(rows[&id].clone()), expected);
    }
    let metrics = collector.metrics().await.expect("metrics");
    assert!(metrics.sum("cdc_rows_filtered_total") > Some(3.0 * ROWS as f64));
    i14_conserved(&collector).await;
    conn.disconnect().await.expect("an end");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    let log = collector.output().stdout();
    for ghost in ["_orders_gho", "_orders_ghc", "_orders_new"] {
        let lines = log
            .lines()
            .filter(|line| line.contains("left out") && line.contains(ghost));
        assert_eq!(lines.count(), 1, "{ghost} is named once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_seen_as_one_change_on_mysql() {
    migrations_are_seen_as_one_change(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_seen_as_one_change_on_mariadb() {
    migrations_are_seen_as_one_change(Kind::MariaDb).await;
}
