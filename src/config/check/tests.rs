use std::path::Path;

use super::*;
use crate::config::{Problem, Sources};

const REQUIRED: [(&str, &str); 4] = [
    ("DATABASE_HOST", "db"),
    ("DATAHUB_ENDPOINT", "https://dh-cn-hangzhou.aliyuncs.com"),
    ("DATAHUB_ACCESS_ID", "id-hunter1"),
    ("DATAHUB_ACCESS_KEY", "key-hunter2"),
];

fn load(environment: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let all = REQUIRED
        .iter()
        .filter(|(name, _)| environment.iter().all(|(n, _)| n != name));
    Config::load(&Sources {
        file: Some(PathBuf::from("/dev/null")),
        environment: all
            .chain(environment)
            .map(|(n, v)| (n.into(), v.into()))
            .collect(),
        command_line: Vec::new(),
    })
}

fn config(environment: &[(&str, &str)]) -> Config {
    load(environment)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .config
}

fn problems(environment: &[(&str, &str)]) -> Vec<Problem> {
    load(environment).expect_err("should be refused").0
}

#[test]
fn the_deployment_guides_defaults_hold() {
    let c = config(&[]);
    assert_eq!((c.database.port, c.database.username.as_str()), (2881, "root"));
    assert_eq!(c.database.password.expose(), "password");
    assert_eq!(c.database.tables, TableFilter::parse("test", "*").unwrap());
    assert_eq!(c.database.start, StartPosition::Latest);
    assert_eq!(
        (c.datahub.project.as_str(), c.datahub.topic.as_str()),
        ("realtime-pipeline", "cdc-events")
    );
    assert_eq!(c.datahub.group, "cdc-collector-group");
    assert_eq!(c.delivery.alarm_attempts, 3);
    assert_eq!(
        c.delivery.delays,
        Delays {
            base: Duration::from_secs(2),
            cap: Duration::from_secs(30)
        }
    );
    assert_eq!(c.delivery.budget_bytes, 512 << 20);
    assert_eq!(c.monitoring.listen, "0.0.0.0:8080".parse().unwrap());
    assert_eq!(c.logging.level, tracing::Level::INFO);
    assert_eq!(c.logging.dir, None);
    assert_eq!(c.shutdown_timeout, Duration::from_secs(25));
    assert!(!c.exit_on_halt);
}

#[test]
fn a_password_of_digits_is_a_text() {
    for password in [
        "12345", "0x1F", "1e9", "true", "null", "[a]", "{a: b}", " spaces ", "a,b=c\"'",
    ] {
        assert_eq!(
            config(&[("DATABASE_PASSWORD", password)])
                .database
                .password
                .expose(),
            password
        );
    }
    assert_eq!(
        config(&[("DATABASE_PASSWORD", "")]).database.password.expose(),
        ""
    );
}

#[test]
fn i12_all_problems_are_told_at_once_and_no_secret_with_them() {
    let found = problems(&[
        ("DATABASE_HOST", ""),
        ("DATABASE_PORT", "tcp://10.0.0.1:2881"),
        ("DATABASE_PASSWORD", "hunter3"),
        ("DATABASE_PASSWORD_FILE", "/nonexistent"),
        ("DATABASE_USR", "hunter4"),
        ("DATAHUB_ENDPOINT", "dh.example.com"),
        ("START_POSITION", "yesterday"),
        ("HEAP_SIZE", "1k"),
        ("RETRY_MAX_ATTEMPTS", "0"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_TLS_CERT", "/nonexistent/cert.pem"),
    ]);
    let variables: Vec<_> = found.iter().map(|p| p.variable.as_str()).collect();
    assert_eq!(
        variables,
        [
            "DATABASE_HOST",
            "DATABASE_PORT",
            "DATABASE_PASSWORD",
            "DATABASE_TLS_CERT",
            "DATABASE_TLS_KEY",
            "START_POSITION",
            "DATAHUB_ENDPOINT",
            "HEAP_SIZE",
            "RETRY_MAX_ATTEMPTS",
            "LOG_LEVEL",
            "DATABASE_USR",
        ]
    );
    let shown = format!("{} {:?}", Problems(found.clone()), found);
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(found.iter().all(|p| !p.remedy.is_empty()));
}

#[test]
fn i12_debug_of_a_configuration_shows_no_secret() {
    let loaded = load(&[
        ("DATABASE_PASSWORD", "hunter3"),
        ("DATAHUB_SECURITY_TOKEN", "hunter4"),
    ])
    .unwrap();
    let shown = format!("{loaded:?} {:#?}", loaded.config);
    assert!(!shown.contains("hunter"), "{shown}");
    assert_eq!(loaded.config.datahub.security_token.unwrap().expose(), "hunter4");
}

#[test]
fn secrets_come_from_files_and_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "first \r\n").unwrap();
    let c = config(&[
        ("DATAHUB_ACCESS_KEY", ""),
        ("DATAHUB_ACCESS_KEY_FILE", path.to_str().unwrap()),
    ]);
    assert_eq!(
        c.datahub.access_key.expose(),
        "first ",
        "only the line's end is dropped"
    );
    std::fs::write(&path, "second").unwrap();
    assert_eq!(c.datahub.access_key.read_again().unwrap().expose(), "second");
    assert_eq!(c.datahub.access_id.read_again().unwrap().expose(), "id-hunter1");
    std::fs::remove_file(&path).unwrap();
    assert!(c.datahub.access_key.read_again().is_err());
}

#[test]
fn a_secret_file_that_is_missing_empty_or_endless_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    for path in [
        empty.to_str().unwrap(),
        "/nonexistent/key",
        "/dev/zero",
        dir.path().to_str().unwrap(),
    ] {
        let found = problems(&[("DATAHUB_ACCESS_KEY", ""), ("DATAHUB_ACCESS_KEY_FILE", path)]);
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        assert_eq!(found[0].variable, "DATAHUB_ACCESS_KEY_FILE");
    }
    let empty = [("DATABASE_PASSWORD_FILE", empty.to_str().unwrap())];
    assert_eq!(
        config(&empty).database.password.expose(),
        "",
        "an empty password is one"
    );
}

#[test]
fn a_secret_of_a_higher_layer_replaces_the_file_of_a_lower_one() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = dir.path().join("a.yml");
    std::fs::write(&yaml, "database: {password_file: /nonexistent}\n").unwrap();
    let mut sources = Sources {
        file: Some(yaml),
        environment: REQUIRED.iter().map(|(n, v)| (n.into(), v.into())).collect(),
        command_line: Vec::new(),
    };
    assert!(Config::load(&sources).is_err());
    sources.environment.push(("DATABASE_PASSWORD".into(), "x".into()));
    assert_eq!(
        Config::load(&sources).unwrap().config.database.password.expose(),
        "x"
    );
}

#[test]
fn server_ids_are_stable_distinct_and_never_small() {
    let derived = |group: &str, host: &str, port: &str| {
        config(&[
            ("DATAHUB_CONSUMER_GROUP", group),
            ("DATABASE_HOST", host),
            ("DATABASE_PORT", port),
        ])
        .database
        .server_id
    };
    let id = derived("g", "h", "1");
    assert_eq!(
        id, 2_061_780_737,
        "a changed id would look like another replica after an upgrade"
    );
    assert_eq!(id, derived("g", "h", "1"));
    for other in [
        derived("g2", "h", "1"),
        derived("g", "h2", "1"),
        derived("g", "h", "2"),
    ] {
        assert_ne!(id, other);
        assert!((1 << 30..1 << 31).contains(&other));
    }
    assert_eq!(config(&[("DATABASE_SERVER_ID", "7")]).database.server_id, 7);
    assert!(load(&[("DATABASE_SERVER_ID", "0")]).is_err());
}

#[test]
fn names_that_the_service_may_refuse_are_warned_about_never_refused() {
    let loaded = load(&[]).unwrap();
    let about_names = |loaded: &Loaded| {
        loaded
            .warnings
            .iter()
            .filter(|w| w.contains("naming rules"))
            .count()
    };
    assert_eq!(about_names(&loaded), 2, "the guide's own defaults hold a dash");
    let loaded = load(&[
        ("DATAHUB_PROJECT", "realtime_pipeline"),
        ("DATAHUB_TOPIC", "cdc_events"),
    ])
    .unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert!(
        load(&[("DATAHUB_TOPIC", "a/b")]).is_err(),
        "this would change the URL"
    );
}

#[test]
fn java_options_are_accepted_with_one_warning() {
    let loaded = load(&[("EXTRA_JAVA_OPTS", "-XX:+UseG1GC -Xmx512m")]).unwrap();
    assert_eq!(
        loaded
            .warnings
            .iter()
            .filter(|w| w.contains("EXTRA_JAVA_OPTS"))
            .count(),
        1
    );
}

#[test]
fn a_longer_first_wait_raises_the_longest_unless_that_was_chosen() {
    assert_eq!(
        config(&[("RETRY_BACKOFF_MS", "60000")]).delivery.delays.cap,
        Duration::from_secs(60)
    );
    assert!(load(&[("RETRY_BACKOFF_MS", "6000"), ("RETRY_BACKOFF_MAX_MS", "5000")]).is_err());
}

#[test]
fn a_bad_table_list_names_the_right_option() {
    let found = problems(&[("DATABASE_SCHEMA", "a.b"), ("DATABASE_TABLES", "`x")]);
    let keys: Vec<_> = found.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["database.schema", "database.tables"]);
}

#[test]
fn tls_needs_both_halves_of_a_client_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("x.pem");
    std::fs::write(&pem, "x").unwrap();
    let pem = pem.to_str().unwrap();
    let both = config(&[
        ("DATABASE_TLS_CERT", pem),
        ("DATABASE_TLS_KEY", pem),
        ("DATABASE_TLS_MODE", "VERIFY-IDENTITY"),
    ]);
    assert!(both.database.tls.client.is_some());
    assert_eq!(both.database.tls.mode, TlsMode::VerifyIdentity);
    assert_eq!(
        problems(&[("DATABASE_TLS_KEY", pem)])[0].variable,
        "DATABASE_TLS_CERT"
    );
    assert_eq!(
        load(&[("DATABASE_TLS_CA", pem)])
            .unwrap()
            .warnings
            .iter()
            .filter(|w| w.contains("TLS_CA"))
            .count(),
        1
    );
}

/// `application.yml` of the repository says what the built-in defaults say, and leaves nothing out.
#[test]
fn the_file_in_the_repository_repeats_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("application.yml");
    let text = std::fs::read_to_string(&path).unwrap();
    let raw = Raw::gather(&Sources {
        file: Some(path.clone()),
        ..Sources::default()
    });
    assert!(raw.problems.is_empty(), "{:?}", raw.problems);
    for opt in options::OPTIONS {
        let (_, name) = opt.key.split_once('.').unwrap();
        assert!(text.contains(&format!("  {name}:")), "{} is missing", opt.key);
        assert!(text.contains(opt.doc), "{} is explained differently", opt.key);
        assert!(
            text.contains(&format!("[{}]", opt.variable)),
            "{} is not named",
            opt.variable
        );
        match raw.values.get(opt.key) {
            Some(given) => {
                assert_eq!(Some(given.text.as_str()), opt.default, "{}", opt.key);
                assert_eq!(given.origin, Origin::File(path.clone()), "{}", opt.key);
            }
            None => assert_eq!(opt.default, None, "{}", opt.key),
        }
    }
}

#[test]
fn an_observer_has_what_the_database_has_unless_it_is_said() {
    assert!(config(&[]).database.observer.is_none());
    let one = config(&[("DATABASE_USERNAME", "cdc@shop"), ("DATABASE_PASSWORD", "p")]).database;
    assert_eq!(
        (&one.of_tables().host, one.of_tables().port),
        (&one.host, one.port)
    );
    let of = |more: &[(&str, &str)]| {
        let mut all = vec![("DATABASE_USERNAME", "cdc@shop"), ("DATABASE_PASSWORD", "p")];
        all.extend([("DATABASE_PORT", "8100"), ("DATABASE_OBSERVER_HOST", "observer")]);
        all.extend_from_slice(more);
        let database = config(&all).database;
        assert_eq!((database.port, database.username.as_str()), (8100, "cdc@shop"));
        let tables = database.of_tables();
        let password = tables.password.expose().to_owned();
        (
            tables.host.clone(),
            tables.port,
            tables.username.clone(),
            password,
        )
    };
    let expected = |port, username: &str, password: &str| {
        (
            String::from("observer"),
            port,
            username.to_owned(),
            password.to_owned(),
        )
    };
    assert_eq!(of(&[]), expected(2881, "cdc@shop", "p"));
    let own = [
        ("DATABASE_OBSERVER_PORT", "2882"),
        ("DATABASE_OBSERVER_USERNAME", "look@shop"),
        ("DATABASE_OBSERVER_PASSWORD", "q"),
    ];
    assert_eq!(of(&own), expected(2882, "look@shop", "q"));
    for one in [own[1], own[2]] {
        let found = problems(&[one]);
        let variables: Vec<_> = found.iter().map(|p| p.variable.as_str()).collect();
        assert_eq!(variables, ["DATABASE_OBSERVER_HOST"], "{one:?}");
    }
    assert_eq!(
        problems(&[("DATABASE_OBSERVER_HOST", "a:1")])[0].message,
        "is not a host name"
    );
}
