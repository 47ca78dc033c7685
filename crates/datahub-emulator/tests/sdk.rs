//! The official Python SDK's own calls pass against the emulator.

use std::path::{Path, PathBuf};
use std::time::Duration;

use datahub_emulator::{Emulator, Options};

/// The interpreter that has the SDK: `$SDK_PYTHON`, else the environment that `scripts/sdk-venv.sh` makes.
fn python(root: &Path) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test's switch, not configuration")]
    let named = std::env::var("SDK_PYTHON").ok().map(PathBuf::from);
    named.or_else(|| Some(root.join("target/venv/bin/python")).filter(|python| python.exists()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_sdk_is_served() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Some(python) = python(&root) else {
        println!("SKIPPED sdk: no Python with the official SDK; make one with scripts/sdk-venv.sh");
        return;
    };
    let options = Options {
        shard_guard: Duration::from_millis(500),
        ..Options::default()
    };
    let (id, key) = (options.access_id.clone(), options.access_key.clone());
    let emulator = Emulator::start(options).await.unwrap();
    let (script, endpoint) = (root.join("tests/sdk/official_sdk.py"), emulator.endpoint());
    let run = move || {
        std::process::Command::new(python)
            .arg(script)
            .args([endpoint, id, key])
            .output()
    };
    let output = tokio::task::spawn_blocking(run)
        .await
        .unwrap()
        .expect("the interpreter starts");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && out.ends_with("ok all\n"),
        "{out}\n{err}"
    );
}
