//! The official Python SDK reads back what was relayed: another reader than the oracle, written by others.

use std::path::{Path, PathBuf};

use harness::servers::{Kind, Options};
use harness::workload::Plan;

use crate::rig::{ACCESS_ID, ACCESS_KEY, PROJECT, Rig, STOPPED, TOPIC};

/// The interpreter that has the SDK: `$SDK_PYTHON`, else the environment that `scripts/sdk-venv.sh` makes.
fn python(root: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("SDK_PYTHON").map(PathBuf::from);
    named.or_else(|| Some(root.join("target/venv/bin/python")).filter(|python| python.exists()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdk_reads_every_record() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(python) = python(root) else {
        println!("SKIPPED sdk: no Python with the official SDK; make one with scripts/sdk-venv.sh");
        return;
    };
    let rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 3).await;
    let mut collector = rig.start().await;
    rig.workload.run(3_000, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    let committed = rig.workload.log().totals().changes;
    let output = tokio::process::Command::new(python)
        .arg(root.join("tests/sdk/read_topic.py"))
        .args([&rig.emulator.endpoint(), ACCESS_ID, ACCESS_KEY, PROJECT, TOPIC])
        .output()
        .await
        .expect("the interpreter starts");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(out.trim(), format!("records {committed}"), "{err}");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}
