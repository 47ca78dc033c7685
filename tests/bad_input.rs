//! What the world does wrong, one thing at a time, to the real binary: each is named by a stable code, with what
//! was seen and what to do, on a process that lives on, or ends with 1 where that is wanted.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use datahub_emulator::{Clock, Emulator, Options as Service, TopicSpec};
use futures_util::future::join_all;
use harness::collector::{Collector, Settings};
use harness::oracle::{DatabaseRows, check_topic};
use harness::ports::free_port;
use harness::servers::{Kind, Login, Options, RELAY, SCHEMA, Server, skip_without};
use harness::workload::{Plan, Workload};
use serde_json::Value;

use crate::rig::{self, ACCESS_ID, ACCESS_KEY, ARRIVED, PROJECT, READY, Rig, STOPPED, TOPIC};

/// An account without the right to read the binlog.
const POOR: Login = Login {
    user: "poor",
    password: "Poor-Passw0rd-51c2e0",
};

/// Waits that are over quickly, and a replica id of its own: many collectors share one server here.
fn quick(settings: Settings) -> Settings {
    static NEXT: AtomicU32 = AtomicU32::new(70_000);
    settings
        .env(
            "DATABASE_SERVER_ID",
            NEXT.fetch_add(1, Ordering::Relaxed).to_string(),
        )
        .env("RETRY_BACKOFF_MS", "20")
        .env("RETRY_BACKOFF_MAX_MS", "200")
}

/// What `/health` must say.
struct Named {
    status: &'static str,
    code: &'static str,
    /// The code in the log, where causes are named one by one.
    logged: &'static str,
    /// A word of the remedy.
    remedy: &'static str,
}

fn halted(code: &'static str, remedy: &'static str) -> Named {
    Named {
        status: "halted",
        code,
        logged: code,
        remedy,
    }
}

fn passing(code: &'static str) -> Named {
    Named {
        status: "starting",
        code,
        logged: code,
        remedy: "DATABASE_HOST",
    }
}

fn text<'a>(health: &'a Value, key: &str) -> &'a str {
    health.get(key).and_then(Value::as_str).unwrap_or_default()
}

impl Named {
    fn is(&self, health: &Value) -> bool {
        text(health, "status") == self.status && text(health, "reason_code") == self.code
    }

    /// Waits until the collector says it, and looks at all the places where it has to be said.
    async fn wait(&self, collector: &mut Collector) -> Value {
        let health = collector
            .wait_health(self.code, READY, |health| self.is(health))
            .await
            .expect(self.code);
        assert!(
            !text(&health, "summary").is_empty(),
            "{}: no summary: {health}",
            self.code
        );
        let remedy = text(&health, "remedy");
        assert!(
            remedy.contains(self.remedy),
            "{}: the remedy is {remedy:?}",
            self.code
        );
        assert_eq!(
            collector.get("/health/live").await.expect(self.code).0,
            200,
            "{}",
            self.code
        );
        // What may pass by itself is ready until it has happened a few times.
        collector
            .wait_for_status("/health/ready", 503, READY)
            .await
            .expect(self.code);
        let metrics = collector.metrics().await.expect(self.code);
        assert_eq!(
            metrics.sum("cdc_conservation_error_rows").unwrap_or_default(),
            0.0,
            "{}",
            self.code
        );
        logged(collector, self.logged).await;
        assert!(
            collector.exited().expect(self.code).is_none(),
            "{}: it ended",
            self.code
        );
        health
    }
}

/// Waits for a complaint in the log; its reader is a little behind the writer.
async fn logged(collector: &Collector, text: &str) {
    let said = async {
        while !collector
            .output()
            .warnings(&[])
            .iter()
            .any(|line| line.contains(text))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(READY, said).await;
    assert!(
        waited.is_ok(),
        "{text}: not in the log:\n{}",
        collector.output().tail()
    );
}

/// The process stays and says why; told to end with a halt, it ends with 1 and has said why as well.
async fn halts(settings: Settings, named: Named) {
    let code = named.code;
    let mut collector = Collector::start(&settings).expect(code);
    named.wait(&mut collector).await;
    let status = collector.stop(STOPPED).await.expect(code);
    assert!(status.success(), "{code}: {status} after SIGTERM");

    let (status, stdout, stderr) = settings
        .env("EXIT_ON_HALT", "true")
        .run_to_end(READY)
        .await
        .expect(code);
    assert_eq!(status.code(), Some(1), "{code}: {stdout}{stderr}");
    assert!(
        stdout.contains(code) && stdout.contains(named.remedy),
        "{code}: {stdout}"
    );
}

/// The process stays, says why and tries again; `EXIT_ON_HALT` changes nothing about what may pass.
async fn keeps_trying(settings: Settings, named: Named) {
    let code = named.code;
    let mut collector = Collector::start(&settings.env("EXIT_ON_HALT", "true")).expect(code);
    named.wait(&mut collector).await;
    let status = collector.stop(STOPPED).await.expect(code);
    assert!(status.success(), "{code}: {status} after SIGTERM");
}

async fn service(options: Service) -> Emulator {
    let options = Service {
        access_id: ACCESS_ID.to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        ..options
    };
    Emulator::start(options).await.expect("an emulator")
}

fn nowhere() -> String {
    format!("127.0.0.1:{}", free_port().expect("a port"))
}

/// Everything that is wrong for one collector and right for its neighbours, on one server.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_and_datahub_refuse_is_named() {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    server
        .execute(&[
            "CREATE TABLE orders (id INT PRIMARY KEY, v TEXT)",
            &format!("CREATE USER {}@'%' IDENTIFIED BY '{}'", POOR.user, POOR.password),
            &format!("GRANT SELECT ON {SCHEMA}.* TO {}@'%'", POOR.user),
        ])
        .await
        .expect("a table and an account");
    let fields = [("id", "TIMESTAMP")];
    let emulator = service(Service {
        create: vec![
            TopicSpec::blob(PROJECT, TOPIC, 2),
            TopicSpec::tuple(PROJECT, "tuples", 1, &fields),
        ],
        ..Service::default()
    })
    .await;
    // An hour back: beyond what any signature is accepted with.
    let hour_ago = harness::workload::now_us() / 1_000 - 3_600_000;
    let slow_clock = service(Service {
        create: vec![TopicSpec::blob(PROJECT, TOPIC, 1)],
        clock: Clock::Fixed(hour_ago),
        ..Service::default()
    })
    .await;
    let endpoint = emulator.endpoint();
    let good = || quick(rig::settings(server.address(), &endpoint));
    let wrong_password = Login {
        password: "Wrong-Passw0rd-e8d1",
        ..RELAY
    };

    let refusals = [
        (
            good().database(server.address(), wrong_password, SCHEMA),
            halted("database_access_denied", "DATABASE_PASSWORD"),
        ),
        (
            good().env("DATABASE_SCHEMA", "nowhere"),
            halted("schema_missing", "DATABASE_SCHEMA"),
        ),
        (
            good().database(server.address(), POOR, SCHEMA),
            halted("replication_privilege_missing", "GRANT REPLICATION SLAVE"),
        ),
        (
            good().env("DATAHUB_ACCESS_KEY", "Wrong-Key-e8d1"),
            halted("datahub_unauthorized", "DATAHUB_ACCESS_KEY"),
        ),
        (
            good().topic("no_such_project", TOPIC),
            halted("datahub_no_such_project", "DATAHUB_PROJECT"),
        ),
        (
            good().topic(PROJECT, "no_such_topic"),
            halted("datahub_no_such_topic", "DATAHUB_CREATE_TOPIC"),
        ),
        (
            good().topic(PROJECT, "tuples"),
            halted("tuple_type_mismatch", "INTEGER or STRING"),
        ),
        (
            quick(rig::settings(server.address(), &slow_clock.endpoint())),
            halted("datahub_clock_skew", "NTP"),
        ),
    ];
    let mut gone = good().without("DATABASE_HOST").without("DATABASE_PORT");
    gone = gone
        .env("DATABASE_HOST", "127.0.0.1")
        .env("DATABASE_PORT", free_port().expect("a port").to_string());
    let passing = [
        (gone, passing("connection_refused")),
        (
            good().env("DATABASE_HOST", "no-such-host.invalid"),
            passing("host_unknown"),
        ),
        (
            good().env("DATAHUB_ENDPOINT", format!("http://{}", nowhere())),
            Named {
                status: "degraded",
                code: "sink_unavailable",
                logged: "datahub_unreachable",
                remedy: "endpoint",
            },
        ),
    ];
    tokio::join!(
        join_all(refusals.map(|(settings, named)| halts(settings, named))),
        join_all(passing.map(|(settings, named)| keeps_trying(settings, named))),
    );

    // What the whole server is wrong about, one after the other.
    for (setting, right, wrong, code, remedy) in [
        (
            "binlog_format",
            "ROW",
            "STATEMENT",
            "binlog_format_not_row",
            "binlog_format",
        ),
        (
            "binlog_row_image",
            "FULL",
            "MINIMAL",
            "row_image_not_full",
            "binlog_row_image",
        ),
    ] {
        server
            .execute(&[&format!("SET GLOBAL {setting} = {wrong}")])
            .await
            .expect("a setting");
        halts(good(), halted(code, remedy)).await;
        server
            .execute(&[&format!("SET GLOBAL {setting} = {right}")])
            .await
            .expect("a setting");
    }
    let mut collector = Collector::start_ready(&good(), READY)
        .await
        .expect("all is well again");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// It claims to have a binlog.
#[tokio::test(flavor = "multi_thread")]
async fn an_oceanbase_without_a_binlog_service_is_named() {
    if skip_without(Kind::Seekdb) {
        return;
    }
    let server = Server::start(Kind::Seekdb, Options::default())
        .await
        .expect("a server");
    server
        .execute(&["CREATE TABLE orders (id BIGINT PRIMARY KEY)"])
        .await
        .expect("a table");
    let emulator = rig::emulator(1).await;
    let settings = quick(rig::settings(server.address(), &emulator.endpoint()));
    let settings = settings.database(server.address(), server.admin(), SCHEMA);
    halts(settings, halted("no_binlog_service", "2883")).await;
}

/// A small workload through a collector, all of which must arrive.
async fn relays(
    server: &Server,
    settings: &Settings,
    emulator: &Emulator,
    project: &str,
    topic: &str,
) -> Collector {
    let mut collector = Collector::start_ready(settings, READY)
        .await
        .expect("a collector that becomes ready");
    let workload = Workload::new(server.opts(server.admin()), SCHEMA, Plan::default())
        .await
        .expect("a workload");
    workload.run(200, |_| {}).await.expect("the workload");
    let committed = workload.log().totals().changes;
    if let Err(held) = emulator
        .wait_for_records(project, topic, committed, ARRIVED)
        .await
    {
        panic!("{held} of {committed} records\n{}", collector.output().tail());
    }
    let mut conn = server.connect().await.expect("a connection");
    let rows = DatabaseRows::read(&mut conn, SCHEMA).await.expect("the rows");
    let report = check_topic(emulator, project, topic, &workload.log(), Some(&rows)).expect("the topic");
    assert!(report.is_exact(), "{report}");
    assert!(collector.exited().expect("a process").is_none());
    collector
}

/// The names that every installation begins with hold a hyphen: warned of, tried, and explained if refused.
#[tokio::test(flavor = "multi_thread")]
async fn names_with_a_hyphen_are_the_services_decision() {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    let (project, topic) = ("realtime-pipeline", "cdc-events");
    let lax = service(Service {
        create: vec![TopicSpec::blob(project, "other", 1)],
        ..Service::default()
    })
    .await;
    let strict = service(Service {
        strict_names: true,
        create: vec![TopicSpec::blob(PROJECT, TOPIC, 1)],
        ..Service::default()
    })
    .await;
    let defaults = |emulator: &Emulator| {
        let settings = quick(rig::settings(server.address(), &emulator.endpoint()));
        settings
            .without("DATAHUB_PROJECT")
            .without("DATAHUB_TOPIC")
            .env("DATAHUB_CREATE_TOPIC", "true")
    };
    halts(
        defaults(&strict),
        halted("datahub_invalid_parameter", "no hyphen"),
    )
    .await;
    let only_the_topic = defaults(&strict).env("DATAHUB_PROJECT", PROJECT);
    halts(only_the_topic, halted("datahub_invalid_parameter", "no hyphen")).await;
    // Also shows that the topic is created where that is wanted, with the shards that were asked for.
    let settings = defaults(&lax).env("DATAHUB_SHARDS", "3");
    let mut collector = relays(&server, &settings, &lax, project, topic).await;
    assert_eq!(lax.shards(project, topic).expect("a topic").len(), 3);
    let warned = collector.output().warnings(&[]);
    for name in [project, topic] {
        assert!(
            warned.iter().any(|line| line.contains(name)),
            "{name}: {warned:?}"
        );
    }
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// Nothing can be asked of it until the port is free; it is alive and says so in the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_waited_for() {
    let rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 1).await;
    let port = free_port().expect("a port");
    let squatter = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port");
    let settings = quick(rig.settings.clone()).on_port(port);
    let (status, stdout, _) = settings
        .clone()
        .env("EXIT_ON_HALT", "true")
        .run_to_end(READY)
        .await
        .expect("an end");
    assert_eq!(status.code(), Some(1), "{stdout}");
    assert!(
        stdout.contains("port_in_use") && stdout.contains("MONITORING_PORT"),
        "{stdout}"
    );

    let mut collector = Collector::start(&settings).expect("a start");
    logged(&collector, "port_in_use").await;
    assert!(
        collector.exited().expect("a process").is_none(),
        "{}",
        collector.output().tail()
    );
    drop(squatter);
    collector
        .wait_ready(READY)
        .await
        .expect("ready once the port is free");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// The one checkpoint in a data directory.
fn checkpoint(settings: &Settings) -> std::path::PathBuf {
    let files = std::fs::read_dir(settings.data_dir()).expect("a data directory");
    let mut found = files.map(|entry| entry.expect("an entry").path());
    found
        .find(|path| path.extension().is_some_and(|e| e == "checkpoint"))
        .expect("a checkpoint")
}

/// Runs until there is a checkpoint, and stops.
async fn leaves_a_checkpoint(settings: &Settings) {
    let mut collector = Collector::start_ready(settings, READY)
        .await
        .expect("a collector");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    assert!(checkpoint(settings).is_file());
}

/// A checkpoint that cannot be used is never thrown away, and neither is a gap passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_used_halts() {
    let (mysql, mariadb) = tokio::join!(
        Server::start(Kind::MySql, Options::default()),
        Server::start(Kind::MariaDb, Options::default()),
    );
    let (mysql, mariadb) = (mysql.expect("MySQL"), mariadb.expect("MariaDB"));
    for server in [&mysql, &mariadb] {
        server
            .execute(&["CREATE TABLE orders (id INT PRIMARY KEY)"])
            .await
            .expect("a table");
    }
    let emulator = rig::emulator(1).await;
    let endpoint = emulator.endpoint();
    let of = |server: &Server| quick(rig::settings(server.address(), &endpoint));

    let damaged = async {
        let settings = of(&mariadb);
        leaves_a_checkpoint(&settings).await;
        let path = checkpoint(&settings);
        let whole = std::fs::read(&path).expect("the checkpoint");
        let flipped: Vec<u8> = whole
            .iter()
            .map(|byte| if *byte == b':' { b';' } else { *byte })
            .collect();
        std::fs::write(&path, &flipped).expect("a damaged checkpoint");
        halts(settings.clone(), halted("checkpoint_corrupt", "START_POSITION")).await;
        assert_eq!(
            std::fs::read(&path).expect("still there"),
            flipped,
            "the evidence is kept"
        );
        std::fs::write(&path, b"").expect("an empty checkpoint");
        halts(settings.clone(), halted("checkpoint_corrupt", "START_POSITION")).await;
        // Root may read everything; nobody can read a directory as a file.
        std::fs::remove_file(&path).expect("no checkpoint");
        std::fs::create_dir(&path).expect("a directory in its place");
        halts(settings, halted("checkpoint_unreadable", "readable")).await;
    };
    let foreign = async {
        let settings = of(&mariadb);
        leaves_a_checkpoint(&settings).await;
        halts(
            settings.database(mysql.address(), RELAY, SCHEMA),
            halted("checkpoint_other_server", "DATABASE_HOST"),
        )
        .await;
    };
    let unusable = async {
        let settings = of(&mariadb);
        let file = settings.dir().join("file");
        std::fs::write(&file, b"").expect("a file");
        let inside = file.join("data").display().to_string();
        halts(
            settings.env("DATA_DIR", inside),
            halted("data_dir_unusable", "DATA_DIR"),
        )
        .await;
    };
    let in_use = async {
        let settings = of(&mariadb);
        let mut first = Collector::start_ready(&settings, READY).await.expect("the first");
        let second = quick(settings.clone()).on_port(free_port().expect("a port"));
        halts(second, halted("data_dir_in_use", "DATA_DIR")).await;
        assert!(first.stop(STOPPED).await.expect("a stop").success());
    };
    let purged = async {
        let settings = of(&mysql);
        leaves_a_checkpoint(&settings).await;
        mysql
            .execute(&["INSERT INTO orders VALUES (1)", "FLUSH BINARY LOGS"])
            .await
            .expect("a change");
        let logs: Vec<mysql_async::Row> = mysql.query("SHOW BINARY LOGS").await.expect("the files");
        let newest: String = logs.last().and_then(|row| row.get(0)).expect("a file");
        mysql
            .execute(&[&format!("PURGE BINARY LOGS TO '{newest}'")])
            .await
            .expect("a purge");
        halts(settings, halted("position_purged", "copy the captured tables")).await;
    };
    tokio::join!(damaged, foreign, unusable, in_use, purged);
}

/// A file system of its own, too small to be filled up by accident for long.
struct TinyDisk {
    path: std::path::PathBuf,
}

impl TinyDisk {
    /// `None` where mounting is not allowed.
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir_all(path).expect("a mount point");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(path);
        let mounted = mount.status().is_ok_and(|status| status.success());
        mounted.then(|| Self {
            path: path.to_owned(),
        })
    }

    /// Writes until nothing fits any more.
    fn fill(&self) {
        use std::io::Write as _;
        let mut filler = std::fs::File::create(self.path.join("filler")).expect("a file");
        let full = (0..1_000).any(|_| filler.write_all(&[0; 1_024]).is_err());
        assert!(full, "the disk does not fill up");
    }

    fn free(&self) {
        std::fs::remove_file(self.path.join("filler")).expect("the file");
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.path)
            .status();
        if !unmounted.is_ok_and(|status| status.success()) {
            println!("{} stays mounted", self.path.display());
        }
    }
}

/// A full disk stops checkpoints, not rows; space brings them back without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_checkpoints_and_not_rows() {
    let mut rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 1).await;
    let directory = tempfile::tempdir().expect("a directory");
    let Some(disk) = TinyDisk::mount(&directory.path().join("disk")) else {
        println!("SKIPPED full disk: a tmpfs cannot be mounted here");
        return;
    };
    rig.settings = quick(rig.settings.clone()).env("DATA_DIR", disk.path.display().to_string());
    let mut collector = rig.start().await;
    rig.workload.run(100, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;

    disk.fill();
    rig.workload.run(100, |_| {}).await.expect("the workload");
    let full = Named {
        status: "degraded",
        code: "checkpoint_write",
        logged: "checkpoint_write",
        remedy: "DATA_DIR",
    };
    let health = full.wait(&mut collector).await;
    let component = &health["components"]["checkpoint"];
    assert_eq!(component["state"], "failing", "{health}");
    let committed = rig.workload.log().totals().changes;
    rig.emulator
        .wait_for_records(PROJECT, TOPIC, committed, ARRIVED)
        .await
        .expect("rows flow all the same");
    disk.free();
    collector
        .wait_for_status("/health/ready", 200, READY)
        .await
        .expect("ready once there is room");
    rig.caught_up(&mut collector).await;
    let report = rig.verdict().await;
    assert!(report.is_exact(), "{report}");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// An option that does not exist is a mistake of whoever typed it: all of them are told at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_option_exits_with_78() {
    let settings = rig::settings("127.0.0.1:1".parse().expect("an address"), "http://127.0.0.1:1");
    let file = settings.dir().join("application.yml");
    std::fs::write(&file, "delivery:\n  batch_max_record: 5\ndatbase:\n  host: a\n").expect("a file");
    let (status, stdout, stderr) = settings.run_to_end(READY).await.expect("an end");
    assert_eq!(status.code(), Some(78), "{stdout}{stderr}");
    for name in ["delivery.batch_max_record", "datbase", "2 problems"] {
        assert!(stderr.contains(name), "{name}: {stderr}");
    }
    let (status, _, stderr) = settings
        .arg("--no-such-option")
        .run_to_end(READY)
        .await
        .expect("an end");
    assert_eq!(status.code(), Some(2), "{stderr}");
}
