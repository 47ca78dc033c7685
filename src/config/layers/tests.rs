use super::*;

fn sources(environment: &[(&str, &str)]) -> Sources {
    Sources {
        // A file that is there, so that the one in the working directory stays out of these tests.
        file: Some(PathBuf::from("/dev/null")),
        environment: environment.iter().map(|(n, v)| (n.into(), v.into())).collect(),
        command_line: Vec::new(),
    }
}

fn with_file(yaml: &str, environment: &[(&str, &str)]) -> Raw {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("application.yml");
    std::fs::write(&path, yaml).unwrap();
    Raw::gather(&Sources {
        file: Some(path),
        ..sources(environment)
    })
}

fn text<'a>(raw: &'a Raw, key: &str) -> Option<&'a str> {
    raw.values.get(key).map(|value| value.text.as_str())
}

#[test]
fn later_layers_win_and_are_remembered() {
    let mut sources = sources(&[("DATABASE_PORT", "3"), ("LOG_LEVEL", "debug")]);
    sources
        .command_line
        .push(("logging.level", String::from("trace")));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yml");
    std::fs::write(&path, "database: {port: 2, host: from-file}\n").unwrap();
    sources.file = Some(path.clone());
    let raw = Raw::gather(&sources);
    assert!(raw.problems.is_empty(), "{:?}", raw.problems);
    for (key, value, origin) in [
        ("database.username", "root", Origin::Default),
        ("database.host", "from-file", Origin::File(path)),
        ("database.port", "3", Origin::Environment),
        ("logging.level", "trace", Origin::CommandLine),
    ] {
        let given = &raw.values[key];
        assert_eq!((given.text.as_str(), &given.origin), (value, &origin), "{key}");
    }
}

#[test]
fn every_variable_reaches_its_own_option_as_text() {
    for opt in OPTIONS {
        let raw = Raw::gather(&sources(&[(opt.variable, "0012345")]));
        assert_eq!(text(&raw, opt.key), Some("0012345"), "{}", opt.variable);
        if opt.kind == Kind::Secret {
            let raw = Raw::gather(&sources(&[(&opt.file_variable(), "/x")]));
            assert_eq!(text(&raw, &opt.file_key()), Some("/x"));
        }
    }
}

#[test]
fn an_empty_variable_says_nothing_except_for_the_password() {
    let raw = Raw::gather(&sources(&[("DATABASE_SCHEMA", ""), ("DATABASE_PASSWORD", "")]));
    assert_eq!(text(&raw, "database.schema"), Some("test"));
    assert_eq!(text(&raw, "database.password"), Some(""));
}

#[test]
fn unknown_names_are_answered_with_the_likely_one() {
    for (name, meant) in [
        ("DATABASE_USER", "did you mean DATABASE_USERNAME?"),
        ("DATABASE_PASSWROD", "did you mean DATABASE_PASSWORD?"),
        ("DATAHUB_ACCESSKEY", "did you mean DATAHUB_ACCESS_KEY?"),
        ("DATAHUB_ACCESS_KEYFILE", "did you mean DATAHUB_ACCESS_KEY_FILE?"),
        ("RETRY_MAX_ATTEMPT", "did you mean RETRY_MAX_ATTEMPTS?"),
        (
            "MONITORING_XYZZY",
            "unset it; `cdc-collector config` lists every option",
        ),
    ] {
        let raw = Raw::gather(&sources(&[(name, "secret")]));
        assert_eq!(raw.problems.len(), 1, "{name}");
        assert_eq!(raw.problems[0].variable, name);
        assert_eq!(raw.problems[0].remedy, meant);
        assert_eq!(
            raw.problems[0].value, None,
            "the value may be a secret under a wrong name"
        );
    }
}

#[test]
fn names_that_others_use_are_only_warned_about_when_close() {
    let raw = Raw::gather(&sources(&[
        ("LOG_LEVLE", "x"),
        ("LOG_ROTATE_COUNT", "3"),
        ("PATH", "/bin"),
    ]));
    assert!(raw.problems.is_empty());
    assert_eq!(raw.warnings.len(), 1, "{:?}", raw.warnings);
    assert!(raw.warnings[0].contains("LOG_LEVEL"));
}

#[test]
fn variables_that_kubernetes_makes_are_not_mistaken_for_options() {
    let raw = Raw::gather(&sources(&[
        ("DATABASE_SERVICE_HOST", "10.0.0.1"),
        ("DATABASE_SERVICE_PORT_MYSQL", "2881"),
        ("DATABASE_PORT_2881_TCP", "tcp://10.0.0.1:2881"),
        ("DATABASE_PORT_2881_TCP_ADDR", "10.0.0.1"),
    ]));
    assert!(raw.problems.is_empty(), "{:?}", raw.problems);
    assert_eq!(raw.warnings.len(), 4);
}

#[test]
fn the_file_must_keep_texts_as_texts() {
    let raw = with_file(
        "database:\n  password: 12345\n  port: 2883\n  schema: [a, b]\n",
        &[],
    );
    assert_eq!(raw.problems.len(), 1, "{:?}", raw.problems);
    assert_eq!(raw.problems[0].key, "database.password");
    assert!(!format!("{:?}", raw.problems).contains("2345"));
    assert_eq!(text(&raw, "database.port"), Some("2883"));
    assert_eq!(text(&raw, "database.schema"), Some("a,b"));
}

#[test]
fn unknown_keys_of_the_file_are_answered_too() {
    let raw = with_file("database:\n  hots: x\nlogging: {level: INFO, colour: 1}\n", &[]);
    let remedies: Vec<_> = raw
        .problems
        .iter()
        .map(|p| (p.key.as_str(), p.remedy.as_str()))
        .collect();
    assert_eq!(
        remedies,
        [
            ("database.hots", "did you mean `database.host`?"),
            (
                "logging.colour",
                "remove it; `cdc-collector config` lists every option"
            ),
        ]
    );
}

#[test]
fn a_file_that_is_no_configuration_is_one_problem_that_quotes_nothing() {
    for yaml in ["hunter2", "database: [", "- a\n- b\n", "a: b: hunter2", "\u{1}"] {
        let raw = with_file(yaml, &[]);
        assert_eq!(raw.problems.len(), 1, "{yaml:?}: {:?}", raw.problems);
        assert!(!format!("{:?}", raw.problems).contains("hunter2"));
    }
    for yaml in ["", "# only this\n", "database:\n", "database: {}\n", "---\n"] {
        let raw = with_file(yaml, &[]);
        assert!(raw.problems.is_empty(), "{yaml:?}: {:?}", raw.problems);
    }
}

#[test]
fn a_named_file_must_exist() {
    let raw = Raw::gather(&sources(&[]));
    assert!(raw.problems.is_empty());
    let mut missing = sources(&[("APPLICATION_YML", "/nonexistent/b.yml")]);
    missing.file = None;
    let raw = Raw::gather(&missing);
    assert_eq!(raw.problems.len(), 1);
    assert_eq!(raw.problems[0].key, "/nonexistent/b.yml");
}

#[test]
fn what_is_shown_holds_no_secret_and_reads_back() {
    let raw = Raw::gather(&sources(&[
        ("DATABASE_PASSWORD", "hunter2"),
        ("DATABASE_SCHEMA", "a\"b: #c"),
    ]));
    let yaml = raw.to_yaml();
    assert!(!yaml.contains("hunter2") && yaml.contains("password: \"***\" # environment, DATABASE_PASSWORD"));
    let again = with_file(&yaml, &[]);
    assert!(again.problems.is_empty(), "{:?}", again.problems);
    assert_eq!(text(&again, "database.schema"), Some("a\"b: #c"));
}
