//! The collector against a server with the shape of OceanBase's binlog service, one behaviour at a time; see
//! `docs/OCEANBASE_DOUBLE.md` for the list of behaviours, and for what is seen when the collector is not prepared.
//!
//! Every test ends with the oracle: nothing lost, nothing repeated, every row accounted for. Where reading has to stop,
//! it stops with the right reason, and what was committed before is there.

mod content;
mod failover;
mod handshake;
mod network;
mod resume;
mod stream;

use std::time::Duration;

use datahub_emulator::Emulator;
use harness::collector::{Collector, Settings};
use harness::oceanbase::{Door, Profile, Script, Tenant};
use harness::oracle::{Report, TopicRecord, check};

use harness::workload::Table;
use serde_json::Value;

use crate::rig::{self, PROJECT, READY, STOPPED, TOPIC, i14_conserved};

/// How long everything committed may take to arrive, the transaction of a million rows on a busy machine included.
const ARRIVED: Duration = Duration::from_secs(120);

/// A tenant behind its proxy, the emulator, and the settings of a collector between them.
struct Service {
    tenant: Tenant,
    emulator: Emulator,
    settings: Settings,
    _door: Door,
}

impl Service {
    /// With a few transactions that happened before.
    async fn new(seed: u64) -> Service {
        Service::scripted(seed, |_| {}).await
    }

    async fn scripted(seed: u64, script: impl FnOnce(&mut Script)) -> Service {
        let tenant = Tenant::scripted(seed, script);
        tenant.load(5, 20);
        let door = tenant.open(Profile::Proxy).await.expect("a port");
        let emulator = rig::emulator(2).await;
        let settings = rig::settings(door.address(), &emulator.endpoint())
            .env("START_POSITION", "earliest")
            .env("RETRY_BACKOFF_MS", "20")
            .env("RETRY_BACKOFF_MAX_MS", "200");
        Service {
            tenant,
            emulator,
            settings,
            _door: door,
        }
    }

    fn set(mut self, name: &str, value: &str) -> Service {
        self.settings = self.settings.env(name, value);
        self
    }

    async fn start(&self) -> Collector {
        Collector::start_ready(&self.settings, READY)
            .await
            .expect("a collector that becomes ready")
    }

    /// Waits until everything committed so far is acknowledged and behind the checkpoint.
    async fn caught_up(&self, collector: &mut Collector) {
        let (file, pos) = self.tenant.end();
        let set = self.tenant.executed();
        let there = |health: &Value| {
            let position = &health["position"];
            let by_file = position["file"] == file.as_str() && position["pos"] == pos;
            position["rows"] == 0 && (position["gtid"] == set.as_str() || by_file)
        };
        let health = collector
            .wait_health("checkpoint at the end", ARRIVED, |health| {
                health["status"] == "halted" || there(health)
            })
            .await
            .expect("to catch up");
        assert!(there(&health), "{health}\n{}", collector.output().tail());
    }

    /// What the oracle says of the records of the workload's tables.
    fn verdict(&self) -> Report {
        let stored: Vec<_> = self
            .emulator
            .records(PROJECT, TOPIC)
            .expect("the topic")
            .collect();
        let shards: Vec<String> = stored.iter().map(|record| record.shard.to_string()).collect();
        let records = stored.iter().zip(&shards).map(|(record, shard)| TopicRecord {
            shard,
            sequence: record.sequence,
            id: record.attribute("cdc.id"),
            payload: record.blob().expect("a blob"),
            stored_us: None,
        });
        let records = records.filter(|record| Table::named(&table_of(record.payload)).is_some());
        check(&self.tenant.log(), records, Some(&self.tenant.rows()))
    }

    /// Everything committed so far arrives exactly, and every row is accounted for.
    async fn exact(&self, collector: &mut Collector) {
        self.caught_up(collector).await;
        i14_conserved(collector).await;
        let report = self.verdict();
        assert!(
            report.is_exact() && report.committed > 0,
            "{report}\n{}",
            collector.output().tail()
        );
    }

    /// The same, and then the collector ends.
    async fn ends_exact(&self, mut collector: Collector) {
        self.exact(&mut collector).await;
        let status = collector.stop(STOPPED).await.expect("a clean stop");
        assert!(status.success(), "{status}");
    }

    /// As [`Service::ends_exact`], with rows of tables that the oracle does not know among them.
    async fn ends_exact_with(&self, mut collector: Collector, tables: &[&str]) {
        self.exact(&mut collector).await;
        let others = tables.iter().map(|table| self.images(table).len()).sum::<usize>();
        let stored = self.emulator.records(PROJECT, TOPIC).expect("the topic").count();
        let known = self.verdict().records;
        assert_eq!(known + others as u64, stored as u64);
        let status = collector.stop(STOPPED).await.expect("a clean stop");
        assert!(status.success(), "{status}");
    }

    /// Has the collector ask for a new dump, and sends it what `change` makes in one go: it is read and met together.
    async fn in_one_go(&self, change: impl FnOnce(&Tenant)) {
        self.tenant
            .script(|script| (script.holds, script.batch) = (true, 10_000));
        let before = self.tenant.dumps_requested();
        self.tenant.end_dumps();
        let asked = async {
            while self.tenant.dumps_requested() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(READY, asked).await.expect("a new dump");
        change(&self.tenant);
        self.tenant.script(|script| script.holds = false);
    }

    /// Reading stops for this reason; at most so many of the last changes are missing, and nothing else is wrong.
    async fn halts(&self, collector: &mut Collector, code: &str, missing: u64) -> Value {
        let halted = collector.wait_health("a halt", READY, |health| health["status"] == "halted");
        let health = halted.await.expect("a halt");
        assert_eq!(health["reason_code"], code, "{health}");
        // What was read in front of it is still delivered.
        let delivered = async {
            while self.verdict().lost > missing {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let delivered = tokio::time::timeout(READY, delivered).await;
        let report = self.verdict();
        assert!(delivered.is_ok(), "{report}\n{}", collector.output().tail());
        let others = (
            report.repeated(),
            report.out_of_order,
            report.wrong_content,
            report.foreign,
        );
        assert_eq!(others, (0, 0, 0, 0), "{report}");
        i14_conserved(collector).await;
        health
    }

    /// The images behind the changes of a table that the oracle does not know, in order.
    fn images(&self, table: &str) -> Vec<Value> {
        let stored = self.emulator.records(PROJECT, TOPIC).expect("the topic");
        let read = stored
            .map(|record| serde_json::from_slice::<Value>(record.blob().expect("a blob")).expect("JSON"));
        read.filter(|envelope| envelope["source"]["table"] == table)
            .map(|envelope| envelope["after"].clone())
            .collect()
    }
}

/// Waits until the source gives this reason.
async fn source_says(collector: &mut Collector, code: &str) {
    let said = |health: &Value| health["components"]["source"]["last_error"]["code"] == code;
    collector
        .wait_health("the reason", READY, said)
        .await
        .expect("a reason");
}

fn table_of(payload: &[u8]) -> String {
    let envelope: Value = serde_json::from_slice(payload).expect("JSON");
    envelope["source"]["table"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
