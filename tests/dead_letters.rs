//! Records that the service does not take, from the first refusal to the replay: with the real binary and its commands.

use std::time::Duration;

use datahub_emulator::{Action, Rule, When};
use harness::collector::Collector;
use harness::servers::{Kind, Options};
use harness::workload::Plan;
use serde_json::Value;

use crate::rig::{ARRIVED, PROJECT, READY, Rig, STOPPED, TOPIC, i14_conserved};

/// How long a command may take that waits for a collector.
const CARRIED_OUT: Duration = Duration::from_secs(60);

/// A database with a table, and a service that refuses what contains `poison`.
async fn rig(largest_file: &str) -> Rig {
    let mut rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 1).await;
    rig.server
        .execute(&[
            "SET GLOBAL max_allowed_packet = 16777216",
            "CREATE TABLE notes (id INT PRIMARY KEY, v LONGTEXT)",
            "CREATE TABLE others (id INT PRIMARY KEY, v INT)",
        ])
        .await
        .expect("tables");
    rig.settings = rig
        .settings
        .env("RETRY_BACKOFF_MS", "20")
        .env("RETRY_BACKOFF_MAX_MS", "200")
        .env("DATABASE_TABLES", "notes,others")
        .env("POISON_POLICY", "dead_letter")
        .env("DEAD_LETTER_MAX_BYTES", largest_file);
    rig.refuse();
    rig
}

impl Rig {
    fn refuse(&self) {
        self.emulator.add_fault(Rule::on_put(Action::FailRecords {
            indexes: Vec::new(),
            contains: Some("poison".to_owned()),
            code: "MalformedRecord".to_owned(),
            message: Some("malformed".to_owned()),
        }));
    }

    async fn run(&self, statements: &[&str]) {
        self.server.execute(statements).await.expect("statements");
    }

    /// Runs `cdc-collector dead-letters …`; whether it was content, and what it said on both streams.
    async fn command(&self, words: &[&str]) -> (bool, String) {
        let settings = self.settings.clone().arg("dead-letters");
        let settings = words.iter().fold(settings, |settings, word| settings.arg(*word));
        let (status, out, err) = settings.run_to_end(CARRIED_OUT).await.expect("an end");
        (status.success(), format!("{out}{err}"))
    }

    /// The letters, as the command lists them.
    async fn letters(&self) -> Vec<Value> {
        let (good, text) = self.command(&["list", "--json"]).await;
        assert!(good, "{text}");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// What the topic has of the rows of a table with this id: the values, in order.
    fn topic(&self, table: &str, id: i64) -> Vec<String> {
        let mut values = Vec::new();
        for record in self.emulator.records(PROJECT, TOPIC).expect("the topic") {
            let row: Value = serde_json::from_slice(record.blob().expect("a blob")).expect("JSON");
            if row["source"]["table"] == table && row["after"]["id"] == id {
                let value = &row["after"]["v"];
                values.push(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
        values
    }

    async fn start_again(&self, collector: &mut Collector) {
        collector.kill9().expect("a kill");
        *collector = self.start().await;
    }
}

fn codes(letters: &[Value]) -> Vec<&str> {
    letters
        .iter()
        .map(|letter| letter["reason_code"].as_str().expect("a code"))
        .collect()
}

async fn gauge(collector: &Collector, name: &str) -> Option<f64> {
    collector.metrics().await.expect("metrics").sum(name)
}

/// One row is refused; its later changes go behind it, across restarts; everything else flows; a replay brings all of
/// them into the topic in order, in front of what comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_waits_behind_its_dead_letter_until_it_is_replayed() {
    let rig = rig("64m").await;
    let mut collector = rig.start().await;
    rig.run(&[
        "INSERT INTO notes VALUES (1,'a'),(2,'poison'),(3,'a'),(4,'a')",
        "UPDATE notes SET v = 'b'",
        "INSERT INTO others VALUES (1, 1), (2, 1)",
        "UPDATE notes SET v = 'c' WHERE id = 2",
    ])
    .await;
    rig.caught_up(&mut collector).await;
    assert_eq!(rig.topic("notes", 2), [""; 0], "nothing of the key passes");
    for id in [1, 3, 4] {
        assert_eq!(rig.topic("notes", id), ["a", "b"]);
    }
    assert_eq!(
        rig.topic("others", 2),
        ["1"],
        "the same key in another table is another key"
    );

    let letters = rig.letters().await;
    assert_eq!(
        codes(&letters),
        ["datahub_malformed_record", "key_fenced", "key_fenced"]
    );
    for letter in &letters {
        assert_eq!(letter["table"]["table"], "notes");
        assert!(
            letter["position"]["pos"].as_u64().is_some_and(|pos| pos > 4),
            "{letter}"
        );
        assert!(
            letter["written"].as_str().is_some_and(|time| time.ends_with('Z')),
            "{letter}"
        );
        assert_eq!(letter["attributes"]["cdc.id"], letter["id"]);
    }
    let first = letters[0]["id"].as_str().expect("an id");
    let (good, shown) = rig.command(&["show", first]).await;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert!(good && shown["fields"][0]["after"]["v"] == "poison", "{shown}");

    let health = collector.health().await.expect("health");
    assert_eq!(health["reason_code"], "keys_fenced", "{health}");
    let aside = &health["components"]["dead_letters"];
    assert_eq!(
        (aside["letters"].as_u64(), aside["keys"].as_u64()),
        (Some(3), Some(1)),
        "{health}"
    );
    assert_eq!(gauge(&collector, "cdc_dead_letters").await, Some(3.0));
    assert_eq!(gauge(&collector, "cdc_dead_letter_keys").await, Some(1.0));
    assert_eq!(gauge(&collector, "cdc_rows_dead_lettered_total").await, Some(3.0));
    i14_conserved(&collector).await;

    // The fence is as durable as the letters.
    rig.start_again(&mut collector).await;
    rig.run(&["UPDATE notes SET v = 'd' WHERE id IN (2, 3)"]).await;
    rig.caught_up(&mut collector).await;
    assert_eq!(rig.topic("notes", 3), ["a", "b", "d"]);
    assert_eq!(codes(&rig.letters().await)[1..], ["key_fenced"; 3]);

    // Refused again: everything stays, in its order.
    let before = rig.letters().await;
    let (good, said) = rig.command(&["replay", "--all"]).await;
    assert!(
        !good && said.contains("0 replayed") && said.contains("1 refused again"),
        "{said}"
    );
    assert_eq!(rig.letters().await, before);

    // The service takes the letters, and the collector is killed before it learns of that.
    rig.emulator.clear_faults();
    let hang = rig
        .emulator
        .add_fault(Rule::on_put(Action::Hang { when: When::After }).times(1));
    let cut_short = async {
        while rig.emulator.fault_fired(hang) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        rig.start_again(&mut collector).await;
        rig.run(&["UPDATE notes SET v = 'e' WHERE id = 2"]).await;
        rig.caught_up(&mut collector).await;
    };
    tokio::join!(cut_short, async {
        // Nothing may be left for it to do by the time that somebody looks.
        let (_, said) = rig.command(&["replay", "--all"]).await;
        println!("{said}");
    });
    assert_eq!(
        rig.topic("notes", 2),
        ["poison", "b", "c", "d", "e"],
        "once each, and in order"
    );
    assert!(rig.letters().await.is_empty());
    let well = |health: &Value| health["status"] == "ok";
    collector
        .wait_health("well again", READY, well)
        .await
        .expect("well");
    i14_conserved(&collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// A replay of a running collector: what waited goes on behind the letters.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_collector_replays_and_gives_up_what_it_is_asked_to() {
    let rig = rig("64m").await;
    let mut collector = rig.start().await;
    rig.run(&[
        "INSERT INTO notes VALUES (1,'poison'),(2,'poison'),(3,'poison')",
        "UPDATE notes SET v = 'b'",
        "UPDATE notes SET v = 'c'",
    ])
    .await;
    rig.caught_up(&mut collector).await;
    let letters = rig.letters().await;
    assert_eq!(letters.len(), 9);
    rig.emulator.clear_faults();

    // By id: with what is older of its key, and nothing younger.
    let hash = letters[0]["hash_key"].as_str().expect("a hash");
    let mut of_key = letters.iter().filter(|letter| letter["hash_key"] == hash);
    let second = of_key.nth(1).expect("a second letter of the key");
    let id = second["id"].as_str().expect("an id");
    let (good, said) = rig.command(&["replay", id]).await;
    assert!(good && said.contains("2 replayed"), "{said}");
    assert_eq!(rig.topic("notes", 1), ["poison", "b"]);
    rig.run(&["UPDATE notes SET v = 'd' WHERE id = 1"]).await;
    rig.caught_up(&mut collector).await;
    assert_eq!(
        rig.topic("notes", 1),
        ["poison", "b"],
        "the key is fenced as long as it has a letter"
    );

    // By key.
    let (good, said) = rig.command(&["replay", "--key", hash]).await;
    assert!(good && said.contains("2 replayed"), "{said}");
    rig.run(&["UPDATE notes SET v = 'e' WHERE id = 1"]).await;
    rig.caught_up(&mut collector).await;
    assert_eq!(rig.topic("notes", 1), ["poison", "b", "c", "d", "e"]);

    // Given up, one letter and then what is left; the rest goes on.
    let malformed = |letter: &&Value| letter["reason_code"] == "datahub_malformed_record";
    let gone = letters.iter().filter(malformed).nth(1).expect("a second refusal");
    let gone = gone["id"].as_str().expect("an id");
    let (good, said) = rig.command(&["discard", gone, "--reason", " "]).await;
    assert!(!good && said.contains("discard_without_reason"), "{said}");
    let (good, said) = rig
        .command(&["discard", gone, "--reason", "known to be wrong"])
        .await;
    assert!(good && said.contains("1 discarded"), "{said}");
    let (good, said) = rig.command(&["replay", "--all"]).await;
    assert!(good && said.contains("5 replayed"), "{said}");
    assert_eq!(rig.topic("notes", 2), ["b", "c"]);
    assert_eq!(rig.topic("notes", 3), ["poison", "b", "c"]);
    let (good, said) = rig.command(&["replay", "--all"]).await;
    assert!(!good && said.contains("no_such_dead_letter"), "{said}");
    let audit = rig
        .settings
        .data_dir()
        .join("cdc-collector-group.dead-letters.audit.jsonl");
    let audit = std::fs::read_to_string(audit).expect("the audit file");
    let lines: Vec<Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 1, "{audit}");
    assert_eq!(
        (lines[0]["id"].as_str(), lines[0]["reason"].as_str()),
        (Some(gone), Some("known to be wrong"))
    );
    i14_conserved(&collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// A file without room blocks, loses nothing, says so, and goes on when there is room. A collector that is stopped needs
/// none to replay.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_blocks_until_there_is_room() {
    let rig = rig("1m").await;
    let mut collector = rig.start().await;
    rig.run(&[
        "INSERT INTO notes VALUES (1, CONCAT('poison', REPEAT('x', 300000)))",
        "INSERT INTO notes VALUES (2, CONCAT('poison', REPEAT('x', 300000)))",
        "INSERT INTO notes VALUES (3, CONCAT('poison', REPEAT('x', 300000)))",
        "INSERT INTO notes VALUES (4, 'a')",
    ])
    .await;
    let full = |health: &Value| health["reason_code"] == "dead_letters_full";
    let health = collector
        .wait_health("full file", ARRIVED, full)
        .await
        .expect("full");
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["ready"], false, "{health}");
    assert!(
        health["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("dead-letters")),
        "{health}"
    );
    assert_eq!(rig.topic("notes", 4), [""; 0], "the lane waits");
    let letters = rig.letters().await;
    assert_eq!(letters.len(), 2);
    i14_conserved(&collector).await;

    let id = letters[0]["id"].as_str().expect("an id");
    let (good, said) = rig.command(&["discard", id, "--reason", "too large"]).await;
    assert!(good, "{said}");
    rig.caught_up(&mut collector).await;
    assert_eq!(rig.topic("notes", 4), ["a"]);
    assert_eq!(rig.letters().await.len(), 2);
    collector.wait_ready(READY).await.expect("ready again");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());

    // Nobody holds the directory: the command does the work itself, and stays where it is while the cause is there.
    let (good, said) = rig.command(&["replay", "--all"]).await;
    assert!(!good && said.contains("2 refused again"), "{said}");
    rig.emulator.clear_faults();
    let (good, said) = rig.command(&["replay", "--all"]).await;
    assert!(good && said.contains("2 replayed"), "{said}");
    for id in [2, 3] {
        assert_eq!(rig.topic("notes", id).len(), 1);
    }
    assert!(rig.letters().await.is_empty());
    let mut collector = rig.start().await;
    rig.run(&["UPDATE notes SET v = 'b'"]).await;
    rig.caught_up(&mut collector).await;
    for id in [2, 3] {
        assert_eq!(rig.topic("notes", id).len(), 2, "once, and what came later");
    }
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}
