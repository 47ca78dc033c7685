//! The real binary, told things by its environment: what it refuses, what it says, and what it never says.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};

const PASSWORD: &str = "hunter-password-77";
const ACCESS_ID: &str = "hunter-id-77";
const ACCESS_KEY: &str = "hunter-key-77";

const COMPLETE: [(&str, &str); 5] = [
    ("DATABASE_HOST", "127.0.0.1"),
    ("DATABASE_PASSWORD", PASSWORD),
    ("DATAHUB_ENDPOINT", "http://127.0.0.1:1"),
    ("DATAHUB_ACCESS_ID", ACCESS_ID),
    ("DATAHUB_ACCESS_KEY", ACCESS_KEY),
];

/// A command with an environment of its own, in a directory without an `application.yml`.
struct Collector {
    dir: tempfile::TempDir,
    command: Command,
}

struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Collector {
    fn new(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cdc-collector"));
        command.args(arguments).env_clear().current_dir(dir.path());
        Self { dir, command }
    }

    fn complete(arguments: &[&str]) -> Self {
        let mut collector = Self::new(arguments);
        collector.command.envs(COMPLETE);
        collector
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    fn answer(mut self) -> Answer {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command.output().unwrap();
        Answer {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }
}

impl Answer {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn without_secrets(self) -> Self {
        for text in [&self.stdout, &self.stderr] {
            assert!(!text.contains("hunter"), "{text}");
        }
        self
    }
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let answer = Collector::new(&[]).answer().expect(78);
    assert_eq!(answer.stdout, "");
    for name in [
        "DATABASE_HOST",
        "DATAHUB_ENDPOINT",
        "DATAHUB_ACCESS_ID",
        "DATAHUB_ACCESS_KEY",
    ] {
        assert!(
            answer.stderr.contains(&format!("{name} is required")),
            "{}",
            answer.stderr
        );
    }
    assert!(answer.stderr.contains("4 problems"), "{}", answer.stderr);
}

#[test]
fn bad_values_are_shown_with_their_remedy() {
    let answer = Collector::complete(&["run"])
        .set("DATABASE_PORT", "99999")
        .set("RETRY_BACKOFF_MS", "soon")
        .set("HEAP_SIZE", "12 parsecs")
        .answer()
        .expect(78)
        .without_secrets();
    for part in [
        "3 problems",
        "\"99999\"",
        "write a whole number from 1 to 65535",
        "\"soon\"",
        "\"12 parsecs\"",
    ] {
        assert!(answer.stderr.contains(part), "{part} in {}", answer.stderr);
    }
}

#[test]
fn a_name_that_is_almost_right_is_recognised() {
    let answer = Collector::complete(&[])
        .set("DATABASE_PASSWROD", "hunter")
        .set("RETRY_MAX_ATEMPTS", "3")
        .answer()
        .expect(78)
        .without_secrets();
    assert!(
        answer.stderr.contains("did you mean DATABASE_PASSWORD?"),
        "{}",
        answer.stderr
    );
    assert!(
        answer.stderr.contains("did you mean RETRY_MAX_ATTEMPTS?"),
        "{}",
        answer.stderr
    );
}

#[test]
fn i12_no_secret_is_in_any_output() {
    let secrets = [
        ("DATABASE_PASSWORD", PASSWORD),
        ("DATAHUB_SECURITY_TOKEN", "hunter-token-77"),
    ];
    let collector = |arguments: &[&str]| {
        let mut collector = Collector::complete(arguments);
        collector.command.envs(secrets);
        collector
    };
    collector(&["config"]).answer().expect(0).without_secrets();
    collector(&["config"])
        .set("DATABASE_PORT", "x")
        .answer()
        .expect(78)
        .without_secrets();
    collector(&["config"])
        .set("DATAHUB_ACCESS_KEY_FILE", "/nonexistent")
        .answer()
        .expect(78)
        .without_secrets();
    collector(&["healthcheck", "--port", "1"])
        .answer()
        .expect(1)
        .without_secrets();
    for name in ["DATAHUB_ENDPOINT", "DATABASE_HOST"] {
        let misplaced = "https://user:hunter@example.com";
        collector(&["config"])
            .set(name, misplaced)
            .answer()
            .expect(78)
            .without_secrets();
    }
    collector(&["config"])
        .set("EXTRA_JAVA_OPTS", "-Dkey=hunter")
        .answer()
        .expect(0)
        .without_secrets();
    // Unquoted digits, broken documents and secrets in the wrong place are all seen by parsers that like to quote.
    for yaml in [
        "database: {password: hunter: 1}",
        "hunter",
        "database: hunter",
        "database: {port: [hunter]}",
    ] {
        collector(&["config"])
            .file("application.yml", yaml)
            .answer()
            .expect(78)
            .without_secrets();
    }
}

#[test]
fn the_effective_configuration_names_the_origin_of_each_value() {
    let answer = Collector::complete(&["config", "--log-level", "debug"])
        .set("MONITORING_PORT", "9090")
        .file("application.yml", "datahub:\n  topic: from_file\n")
        .answer()
        .expect(0);
    for line in [
        "database:\n",
        "  host: \"127.0.0.1\" # environment, DATABASE_HOST\n",
        "  password: \"***\" # environment, DATABASE_PASSWORD\n",
        "  username: \"root\" # default, DATABASE_USERNAME\n",
        "  topic: \"from_file\" # application.yml, DATAHUB_TOPIC\n",
        "  port: 9090 # environment, MONITORING_PORT\n",
        "  level: \"debug\" # command line, LOG_LEVEL\n",
        "  security_token: null # not set, DATAHUB_SECURITY_TOKEN\n",
    ] {
        assert!(answer.stdout.contains(line), "{line} in {}", answer.stdout);
    }
    assert_eq!(answer.stderr, "");
}

#[test]
fn a_password_of_digits_is_a_password() {
    let answer = Collector::complete(&["config"])
        .set("DATABASE_PASSWORD", "12345")
        .answer()
        .expect(0);
    assert!(!answer.stdout.contains("12345"), "{}", answer.stdout);
    let answer = Collector::complete(&["config"])
        .file("application.yml", "database: {password: 12345}\n")
        .answer()
        .expect(78);
    assert!(
        answer.stderr.contains("put the value in quotes"),
        "{}",
        answer.stderr
    );
    assert!(!answer.stderr.contains("12345"), "{}", answer.stderr);
}

#[test]
fn secrets_can_be_in_files() {
    let collector = Collector::new(&["config"]).file("key", "hunter-from-file\n");
    let key = collector.dir.path().join("key");
    let answer = collector
        .set("DATABASE_HOST", "db")
        .set("DATAHUB_ENDPOINT", "https://dh.example.com")
        .set("DATAHUB_ACCESS_ID", ACCESS_ID)
        .set("DATAHUB_ACCESS_KEY_FILE", key.to_str().unwrap())
        .answer()
        .expect(0)
        .without_secrets();
    assert!(answer.stdout.contains("access_key_file: "), "{}", answer.stdout);
}

#[test]
fn help_names_the_commands_and_what_must_be_given() {
    let answer = Collector::new(&["--help"]).answer().expect(0);
    for part in ["run", "check", "config", "healthcheck", "DATABASE_HOST", "78"] {
        assert!(answer.stdout.contains(part), "{part} in {}", answer.stdout);
    }
    let answer = Collector::new(&["--version"]).answer().expect(0);
    assert!(
        answer
            .stdout
            .starts_with(concat!("cdc-collector ", env!("CARGO_PKG_VERSION"))),
        "{}",
        answer.stdout
    );
    let answer = Collector::new(&["--prot", "1"]).answer().expect(2);
    assert!(answer.stderr.contains("--port"), "{}", answer.stderr);
}

#[test]
fn a_health_check_needs_nothing_but_the_port() {
    for (answer, code) in [("200 OK", 0), ("503 Service Unavailable", 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            stream
                .write_all(format!("HTTP/1.1 {answer}\r\n\r\n{{}}").as_bytes())
                .unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        Collector::new(&["healthcheck"])
            .set("MONITORING_PORT", &port)
            .answer()
            .expect(code);
        assert!(
            server
                .join()
                .unwrap()
                .starts_with("GET /health/live HTTP/1.1\r\n")
        );
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut collector = Collector::complete(&["config"]);
    // The pipe's other end is closed before the first line is written.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = collector.command.stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// The table of options in the README is the one that the product reads. `UPDATE=1` writes it.
#[test]
fn the_readme_has_the_table_of_options() {
    let (begin, end) = ("<!-- options:begin -->\n", "<!-- options:end -->");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (table, after) = rest.split_once(end).unwrap();
    let expected = format!("\n{}\n", cdc_collector::config::options::markdown());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{begin}{expected}{end}{after}")).unwrap();
    } else {
        assert_eq!(table, expected, "UPDATE=1 cargo test the_readme_has writes it");
    }
}

/// What a container's user gets wrong is said before the collector starts.
#[test]
fn the_entrypoint_says_what_cannot_be_written_and_passes_the_rest_on() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/entrypoint.sh");
    let entrypoint = |arguments: &[&str], environment: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new("sh")
            .arg(script)
            .args(arguments)
            .env("CDC_COLLECTOR_BIN", env!("CARGO_BIN_EXE_cdc-collector"))
            .envs(environment.iter().copied())
            .current_dir(dir.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), stdout, stderr)
    };
    let (code, _, stderr) = entrypoint(&[], &[("DATA_DIR", "/dev/null/data")]);
    assert!(
        code == Some(78) && stderr.contains("DATA_DIR=/dev/null/data"),
        "{stderr}"
    );
    let (code, _, stderr) = entrypoint(&["run"], &[("LOG_DIR", "/dev/null/logs")]);
    assert!(
        code == Some(78) && stderr.contains("LOG_DIR=/dev/null/logs"),
        "{stderr}"
    );
    let (code, stdout, _) = entrypoint(&["--version"], &[]);
    assert!(
        code == Some(0) && stdout.starts_with("cdc-collector "),
        "{stdout}"
    );
    let (code, stdout, _) = entrypoint(&["echo", "as", "it", "is"], &[("DATA_DIR", "/dev/null")]);
    assert!(code == Some(0) && stdout == "as it is\n", "{stdout}");
}
