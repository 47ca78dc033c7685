//! Each kind of definition change by itself, while rows are written: the columns of every record are exactly those
//! that its row had, in their order, up to the last row before the change and from the first one behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use harness::collector::Collector;
use harness::servers::{Kind, Options};
use harness::workload::Plan;
use mysql_async::prelude::Queryable;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::{connection, more, topic};
use crate::rig::{ARRIVED, PROJECT, Rig, STOPPED, TOPIC};

/// Rows on either side of the change.
const ROWS: u64 = 10;

/// `{t}` stands for the table, `{n}` for the row's number.
struct Case {
    name: &'static str,
    /// `None`: both servers.
    only: Option<Kind>,
    create: &'static str,
    change: &'static [&'static str],
    /// What is written before and after; where the first is refused, the second is tried.
    insert: [&'static str; 2],
    /// The row images before and after, in the order of their columns.
    image: [&'static str; 2],
}

const PLAIN: &str = "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(40), b VARCHAR(40))";
const INSERT: &str = "INSERT INTO {t} (id, a, b) VALUES ({n}, 'a{n}', 'b{n}')";
const IMAGE: &str = r#"{"id":{n},"a":"a{n}","b":"b{n}"}"#;

/// A case that starts from `PLAIN`.
const fn plain(name: &'static str, change: &'static [&'static str], image: &'static str) -> Case {
    Case {
        name,
        only: None,
        create: PLAIN,
        change,
        insert: [INSERT, INSERT],
        image: [IMAGE, image],
    }
}

const fn on(only: Kind, case: Case) -> Case {
    Case {
        only: Some(only),
        ..case
    }
}

const CASES: [Case; 33] = [
    plain(
        "add_first",
        &["ALTER TABLE {t} ADD COLUMN x INT NOT NULL DEFAULT 7 FIRST"],
        r#"{"x":7,"id":{n},"a":"a{n}","b":"b{n}"}"#,
    ),
    plain(
        "add_after",
        &["ALTER TABLE {t} ADD COLUMN x VARCHAR(9) DEFAULT 'x' AFTER a"],
        r#"{"id":{n},"a":"a{n}","x":"x","b":"b{n}"}"#,
    ),
    plain(
        "add_last",
        &["ALTER TABLE {t} ADD COLUMN x BIGINT"],
        r#"{"id":{n},"a":"a{n}","b":"b{n}","x":null}"#,
    ),
    plain(
        "add_instant",
        &["ALTER TABLE {t} ADD COLUMN x INT DEFAULT 7 AFTER id, ALGORITHM=INSTANT"],
        r#"{"id":{n},"x":7,"a":"a{n}","b":"b{n}"}"#,
    ),
    Case {
        create: "CREATE TABLE {t} (id INT PRIMARY KEY, y INT, a VARCHAR(40), b VARCHAR(40))",
        image: [
            r#"{"id":{n},"y":null,"a":"a{n}","b":"b{n}"}"#,
            r#"{"id":{n},"a":"a{n}","b":"b{n}"}"#,
        ],
        ..plain(
            "drop_instant",
            &["ALTER TABLE {t} DROP COLUMN y, ALGORITHM=INSTANT"],
            IMAGE,
        )
    },
    Case {
        insert: [INSERT, "INSERT INTO {t} (id, b) VALUES ({n}, 'b{n}')"],
        ..plain(
            "drop_column",
            &["ALTER TABLE {t} DROP COLUMN a"],
            r#"{"id":{n},"b":"b{n}"}"#,
        )
    },
    plain(
        "widen_integer",
        &["ALTER TABLE {t} MODIFY id BIGINT NOT NULL"],
        IMAGE,
    ),
    plain(
        "lengthen_text",
        &["ALTER TABLE {t} MODIFY a VARCHAR(400), MODIFY b TEXT"],
        IMAGE,
    ),
    Case {
        create: "CREATE TABLE {t} (id INT PRIMARY KEY, a SMALLINT)",
        insert: ["INSERT INTO {t} (id, a) VALUES ({n}, -{n})"; 2],
        image: [r#"{"id":{n},"a":-{n}}"#, r#"{"id":{n},"a":"-{n}"}"#],
        ..plain("integer_to_text", &["ALTER TABLE {t} MODIFY a VARCHAR(20)"], "")
    },
    Case {
        create: "CREATE TABLE {t} (id INT PRIMARY KEY, a TINYINT UNSIGNED)",
        insert: [
            "INSERT INTO {t} (id, a) VALUES ({n}, 200)",
            "INSERT INTO {t} (id, a) VALUES ({n}, -56)",
        ],
        image: [r#"{"id":{n},"a":200}"#, r#"{"id":{n},"a":-56}"#],
        ..plain(
            "change_sign",
            &["ALTER TABLE {t} DROP COLUMN a, ADD COLUMN a TINYINT"],
            "",
        )
    },
    Case {
        insert: [INSERT, "INSERT INTO {t} (id, c, b) VALUES ({n}, 'a{n}', 'b{n}')"],
        ..plain(
            "rename_column",
            &["ALTER TABLE {t} RENAME COLUMN a TO c"],
            r#"{"id":{n},"c":"a{n}","b":"b{n}"}"#,
        )
    },
    Case {
        insert: [INSERT, "INSERT INTO {t} (id, c, b) VALUES ({n}, 'a{n}', 'b{n}')"],
        ..plain(
            "change_column",
            &["ALTER TABLE {t} CHANGE a c VARCHAR(40) AFTER b"],
            r#"{"id":{n},"b":"b{n}","c":"a{n}"}"#,
        )
    },
    plain(
        "swap_columns",
        &["ALTER TABLE {t} RENAME COLUMN a TO b, RENAME COLUMN b TO a"],
        r#"{"id":{n},"b":"b{n}","a":"a{n}"}"#,
    ),
    plain(
        "swap_by_change",
        &["ALTER TABLE {t} CHANGE a b VARCHAR(40), CHANGE b a VARCHAR(40)"],
        r#"{"id":{n},"b":"b{n}","a":"a{n}"}"#,
    ),
    plain(
        "reorder",
        &["ALTER TABLE {t} MODIFY b VARCHAR(40) FIRST"],
        r#"{"b":"b{n}","id":{n},"a":"a{n}"}"#,
    ),
    Case {
        insert: ["INSERT INTO {t} (id, a, b) VALUES ({n}, 'é{n}', '中{n}')"; 2],
        image: [r#"{"id":{n},"a":"é{n}","b":"中{n}"}"#; 2],
        ..plain(
            "charset_of_table",
            &["ALTER TABLE {t} CONVERT TO CHARACTER SET gbk"],
            "",
        )
    },
    Case {
        insert: ["INSERT INTO {t} (id, a, b) VALUES ({n}, 'é{n}', '中{n}')"; 2],
        image: [r#"{"id":{n},"a":"é{n}","b":"中{n}"}"#; 2],
        ..plain(
            "charset_of_column",
            &["ALTER TABLE {t} MODIFY a VARCHAR(40) CHARACTER SET latin1"],
            "",
        )
    },
    Case {
        create: "CREATE TABLE {t} (id INT PRIMARY KEY, a ENUM('x','y'))",
        insert: ["INSERT INTO {t} (id, a) VALUES ({n}, 'x')"; 2],
        image: [r#"{"id":{n},"a":"x"}"#; 2],
        ..plain("labels", &["ALTER TABLE {t} MODIFY a ENUM('w','y','x')"], "")
    },
    plain("key_dropped", &["ALTER TABLE {t} DROP PRIMARY KEY"], IMAGE),
    plain(
        "key_changed",
        &["ALTER TABLE {t} MODIFY b VARCHAR(40) NOT NULL, DROP PRIMARY KEY, ADD PRIMARY KEY (b, id)"],
        IMAGE,
    ),
    plain(
        "rename_table_and_back",
        &[
            "RENAME TABLE {t} TO {t}_away",
            "ALTER TABLE {t}_away ADD COLUMN x INT FIRST",
            "ALTER TABLE {t}_away RENAME TO {t}",
        ],
        r#"{"x":null,"id":{n},"a":"a{n}","b":"b{n}"}"#,
    ),
    plain(
        "swap_tables",
        &[
            "CREATE TABLE {t}_other (id INT PRIMARY KEY, b VARCHAR(40), a VARCHAR(40))",
            "RENAME TABLE {t} TO {t}_between, {t}_other TO {t}, {t}_between TO {t}_other",
        ],
        r#"{"id":{n},"b":"b{n}","a":"a{n}"}"#,
    ),
    plain(
        "create_like",
        &[
            "CREATE TABLE {t}_like LIKE {t}",
            "DROP TABLE {t}",
            "ALTER TABLE {t}_like DROP COLUMN a, ADD COLUMN a VARCHAR(40)",
            "RENAME TABLE {t}_like TO {t}",
        ],
        r#"{"id":{n},"b":"b{n}","a":"a{n}"}"#,
    ),
    plain("truncate", &["TRUNCATE TABLE {t}"], IMAGE),
    plain(
        "drop_and_create",
        &[
            "DROP TABLE {t}",
            "CREATE TABLE {t} (b VARCHAR(40), a VARCHAR(40), id BIGINT PRIMARY KEY)",
        ],
        r#"{"b":"b{n}","a":"a{n}","id":{n}}"#,
    ),
    plain(
        "create_or_replace",
        &[
            "DROP TABLE {t}",
            "CREATE TABLE {t} (id INT PRIMARY KEY, b VARCHAR(40), a VARCHAR(40))",
        ],
        r#"{"id":{n},"b":"b{n}","a":"a{n}"}"#,
    ),
    Case {
        create: "CREATE TABLE {t} (id INT PRIMARY KEY, a VARCHAR(40), b VARCHAR(40)) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (3), PARTITION p1 VALUES LESS THAN (100000))",
        ..plain(
            "partitions",
            &[
                "ALTER TABLE {t} ADD PARTITION (PARTITION p2 VALUES LESS THAN (200000))",
                "ALTER TABLE {t} REORGANIZE PARTITION p1, p2 INTO (PARTITION p1 VALUES LESS THAN (200000))",
                "ALTER TABLE {t} DROP PARTITION p0",
                "ALTER TABLE {t} TRUNCATE PARTITION p1",
                "ALTER TABLE {t} REMOVE PARTITIONING",
            ],
            IMAGE,
        )
    },
    plain(
        "behind_comments",
        &[
            "/* why */ # because\n-- of\nALTER /* this */ TABLE {t} RENAME COLUMN a TO b, RENAME COLUMN b TO a",
        ],
        r#"{"id":{n},"b":"b{n}","a":"a{n}"}"#,
    ),
    plain(
        "versioned_comment",
        &["/*!50000 ALTER TABLE {t} RENAME COLUMN a TO b, RENAME COLUMN b TO a */"],
        r#"{"id":{n},"b":"b{n}","a":"a{n}"}"#,
    ),
    // What no statement announces, but every table map shows.
    plain(
        "unlogged",
        &[
            "SET SESSION sql_log_bin=0",
            "ALTER TABLE {t} ADD COLUMN x INT FIRST",
            "SET SESSION sql_log_bin=1",
        ],
        r#"{"x":null,"id":{n},"a":"a{n}","b":"b{n}"}"#,
    ),
    on(
        Kind::MariaDb,
        plain(
            "set_statement",
            &[
                "SET STATEMENT lock_wait_timeout=20 FOR ALTER TABLE {t} CHANGE a b VARCHAR(40), CHANGE b a VARCHAR(40)",
            ],
            r#"{"id":{n},"b":"b{n}","a":"a{n}"}"#,
        ),
    ),
    on(
        Kind::MariaDb,
        plain(
            "in_two_phases",
            &[
                "SET SESSION binlog_alter_two_phase=1",
                "ALTER TABLE {t} CHANGE a b VARCHAR(40), CHANGE b a VARCHAR(40), ALGORITHM=COPY",
            ],
            r#"{"id":{n},"b":"b{n}","a":"a{n}"}"#,
        ),
    ),
    on(
        Kind::MariaDb,
        plain(
            "replace_table",
            &["CREATE OR REPLACE TABLE {t} (id INT PRIMARY KEY, b VARCHAR(40), a VARCHAR(40))"],
            r#"{"id":{n},"b":"b{n}","a":"a{n}"}"#,
        ),
    ),
];

impl Case {
    fn table(&self) -> String {
        format!("k_{}", self.name)
    }

    fn sql(&self, text: &str, n: u64) -> String {
        text.replace("{t}", &self.table()).replace("{n}", &n.to_string())
    }
}

/// Writes rows until it is told to stop; `side` tells which of the two statements was taken last.
async fn write(rig: Arc<Rig>, case: &'static Case, done: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let mut conn = connection(&rig).await;
    for n in 1.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        // In between a table may be gone for a moment.
        let wrote = async {
            while conn.query_drop(case.sql(case.insert[0], n)).await.is_err()
                && conn.query_drop(case.sql(case.insert[1], n)).await.is_err()
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(ARRIVED, wrote).await.expect("a row");
        done.fetch_add(1, Ordering::Release);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    conn.disconnect().await.expect("an end");
}

async fn run(rig: Arc<Rig>, collector: Arc<Mutex<Collector>>, case: &'static Case) {
    let mut conn = connection(&rig).await;
    let create = case.sql(case.create, 0);
    conn.query_drop(&create).await.expect("a table");
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut writer = JoinSet::new();
    writer.spawn(write(
        Arc::clone(&rig),
        case,
        Arc::clone(&done),
        Arc::clone(&stop),
    ));
    more(&done, ROWS).await;
    // The collector knows the table when it changes.
    rig.caught_up(&mut *collector.lock().await).await;
    for sql in case.change {
        let sql = case.sql(sql, 0);
        conn.query_drop(&sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    more(&done, ROWS).await;
    stop.store(true, Ordering::Release);
    writer.join_next().await.expect("the writer").expect("its end");
    conn.disconnect().await.expect("an end");
}

async fn each_kind_alone(kind: Kind) {
    let rig = Arc::new(Rig::new(kind, Options::default(), Plan::default(), 3).await);
    let collector = Arc::new(Mutex::new(rig.start().await));
    let cases: Vec<&'static Case> = CASES
        .iter()
        .filter(|case| case.only.is_none_or(|only| only == kind))
        .collect();
    for some in cases.chunks(6) {
        let mut running = JoinSet::new();
        for case in some {
            running.spawn(run(Arc::clone(&rig), Arc::clone(&collector), case));
        }
        while let Some(done) = running.join_next().await {
            done.expect("a case");
        }
    }
    let mut collector = collector.lock().await;
    rig.caught_up(&mut collector).await;
    let seen = topic::read(&rig.emulator, PROJECT, TOPIC);
    let mut wrong = Vec::new();
    for case in &cases {
        // Behind the last record of the first sort there is none of it any more.
        let mut sides = [0u64, 0];
        for (place, record) in seen.iter().filter(|(_, record)| record.table == case.table()) {
            let n = record
                .after
                .as_ref()
                .and_then(|after| after["id"].as_u64())
                .expect("a number");
            let is = |side: usize| {
                record
                    .text
                    .contains(&format!("\"after\":{}", case.sql(case.image[side], n)))
            };
            if sides[1] == 0 && is(0) {
                sides[0] += 1;
            } else if is(1) {
                sides[1] += 1;
            } else {
                wrong.push(format!(
                    "{} at {place:?} behind {sides:?}: {}",
                    case.name, record.text
                ));
                break;
            }
        }
        // Where both images are the same, all are on the first side.
        if sides[0] < ROWS
            || sides[0] + sides[1] < 2 * ROWS
            || (case.image[0] != case.image[1] && sides[1] == 0)
        {
            wrong.push(format!("{}: {sides:?} rows before and after", case.name));
        }
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_each_kind_of_change_alone_on_mysql() {
    each_kind_alone(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_each_kind_of_change_alone_on_mariadb() {
    each_kind_alone(Kind::MariaDb).await;
}
