use std::collections::BTreeSet;

use super::judge::{facts, findings};
use super::observe::{BinlogStatus, Listing, Observation, flavour};
use super::tables::{Captured, Column};
use super::*;
use crate::change::TableId;
use crate::config::TypePolicy;
use crate::position::Flavour;
use crate::retry::{Disposition, Reason};
use crate::source::refusal;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const OUR_ID: u32 = 4711;

fn table(name: &str) -> TableId {
    TableId {
        db: "shop".to_owned(),
        table: name.to_owned(),
    }
}

fn column(column_type: &str, extra: &str) -> Column {
    Column {
        table: table("orders"),
        name: "c".to_owned(),
        column_type: column_type.to_owned(),
        charset: None,
        extra: extra.to_owned(),
    }
}

/// A server as it should be.
fn good(flavour: Flavour) -> Observation {
    let set = format!("{UUID}:1-9");
    let (version, comment) = match flavour {
        Flavour::MySql => ("9.7.4", "MySQL Community Server - GPL"),
        Flavour::MariaDb => ("10.11.19-MariaDB-log", "Debian 12"),
        Flavour::OceanBase => ("5.7.25-OceanBase-v4.3.5.3", "OceanBase 4.3.5.3"),
    };
    let mut seen = Observation {
        flavour,
        has_observer: false,
        version: Some(version.to_owned()),
        version_comment: comment.to_owned(),
        variables: [
            ("server_id", "1"),
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_checksum", "CRC32"),
            ("binlog_expire_logs_seconds", "2592000"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into(),
        status: Listing::Rows(vec![BinlogStatus {
            file: "binlog.000007".to_owned(),
            pos: 4321,
            ..BinlogStatus::default()
        }]),
        binlogs: Listing::Rows(vec![
            ("binlog.000006".to_owned(), 9000),
            ("binlog.000007".to_owned(), 4321),
        ]),
        account: "cdc@%".to_owned(),
        grants: Listing::Rows(vec![
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `cdc`@`%`".to_owned(),
            "GRANT SELECT ON `shop`.* TO `cdc`@`%`".to_owned(),
        ]),
        replicas: Listing::Rows(Vec::new()),
        sources: Listing::Rows(Vec::new()),
        captured: Captured {
            schemas: vec!["shop".to_owned()],
            tables: vec![table("orders")],
            ..Captured::default()
        },
    };
    if flavour != Flavour::MariaDb {
        for (name, value) in [
            ("server_uuid", UUID),
            ("gtid_mode", "ON"),
            ("gtid_executed", &set),
            ("gtid_purged", ""),
        ] {
            seen.variables.insert(name, value.to_owned());
        }
    }
    if flavour == Flavour::OceanBase {
        seen.grants = Listing::NoResultSet;
    }
    seen
}

fn codes(seen: &Observation, severity: Severity) -> BTreeSet<&'static str> {
    let found = findings(seen, OUR_ID);
    for finding in &found {
        assert_eq!(
            finding.remedy.is_empty(),
            finding.severity == Severity::Info,
            "{finding:?}"
        );
        assert!(
            !finding.seen.is_empty() && !finding.remedy.ends_with('.'),
            "{finding:?}"
        );
    }
    found
        .iter()
        .filter(|f| f.severity == severity)
        .map(|f| f.code)
        .collect()
}

fn refused<T>(code: &'static str, message: &str) -> Listing<T> {
    Listing::Refused(Reason {
        code,
        message: message.to_owned(),
    })
}

#[test]
fn a_good_server_has_no_findings_to_act_on() {
    for flavour in [Flavour::MySql, Flavour::MariaDb, Flavour::OceanBase] {
        let seen = good(flavour);
        assert_eq!(codes(&seen, Severity::Fatal), BTreeSet::new(), "{flavour}");
        assert_eq!(codes(&seen, Severity::Warning), BTreeSet::new(), "{flavour}");
        assert_eq!(verdict(&findings(&seen, OUR_ID)), Ok(()));
    }
    // A binlog instance, and an observer beside it.
    let mut two = good(Flavour::OceanBase);
    two.has_observer = true;
    assert_eq!(verdict(&findings(&two, OUR_ID)), Ok(()));
}

type Spoil = fn(&mut Observation);

fn set(seen: &mut Observation, name: &'static str, value: &str) {
    seen.variables.insert(name, value.to_owned());
}

fn status(seen: &mut Observation) -> &mut BinlogStatus {
    match &mut seen.status {
        Listing::Rows(rows) => &mut rows[0],
        Listing::NoResultSet | Listing::Refused(_) => panic!("no status"),
    }
}

fn no_binlog(seen: &mut Observation) {
    seen.status = refused(refusal::STATEMENT_UNSUPPORTED, "error 1064 near 'MASTER STATUS'");
    seen.binlogs = refused(refusal::STATEMENT_UNSUPPORTED, "error 1064");
}

/// Each misconfiguration yields its code, and nothing else that is fatal.
#[test]
fn each_misconfiguration_has_its_code() {
    use Flavour::{MariaDb, MySql, OceanBase};
    let fatal: &[(Flavour, &str, Spoil)] = &[
        (MySql, "binlog_disabled", |s| {
            set(s, "log_bin", "OFF");
            s.status = Listing::Rows(Vec::new());
        }),
        (MariaDb, "binlog_disabled", |s| {
            set(s, "log_bin", "OFF");
            s.status = Listing::Rows(Vec::new());
            s.binlogs = refused("binlog_disabled", "error 1381");
        }),
        (MySql, "replication_privilege_missing", |s| {
            s.status = refused(
                "replication_privilege_missing",
                "error 1227: you need REPLICATION CLIENT",
            );
        }),
        (MySql, "replication_privilege_missing", |s| {
            s.grants = Listing::Rows(vec![
                "GRANT SELECT, REPLICATION CLIENT ON *.* TO `c`@`%`".to_owned(),
            ]);
        }),
        (MariaDb, "replication_privilege_missing", |s| {
            s.grants = Listing::Rows(vec![
                "GRANT `r` TO `c`@`%`".to_owned(),
                "GRANT SELECT, BINLOG MONITOR ON *.* TO `c`@`%`".to_owned(),
            ]);
        }),
        (MySql, "select_privilege_missing", |s| {
            s.grants = Listing::Rows(vec![
                "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `c`@`%`".to_owned(),
                "GRANT INSERT ON `shop`.* TO `c`@`%`".to_owned(),
            ]);
        }),
        (MySql, "binlog_format_not_row", |s| {
            set(s, "binlog_format", "STATEMENT");
        }),
        (MariaDb, "binlog_format_not_row", |s| {
            set(s, "binlog_format", "MIXED");
        }),
        (MySql, "row_image_not_full", |s| {
            set(s, "binlog_row_image", "MINIMAL");
        }),
        (MariaDb, "row_image_not_full", |s| {
            set(s, "binlog_row_image", "NOBLOB");
        }),
        (MariaDb, "row_image_not_full", |s| {
            set(s, "binlog_row_image", "FULL_NODUP");
        }),
        (OceanBase, "row_image_not_full", |s| {
            set(s, "binlog_row_image", "MINIMAL");
        }),
        (MySql, "row_values_partial", |s| {
            set(s, "binlog_row_value_options", "PARTIAL_JSON");
        }),
        (OceanBase, "row_values_partial", |s| {
            set(s, "log_row_value_options", "partial_json");
        }),
        (MySql, "transaction_compression_on", |s| {
            set(s, "binlog_transaction_compression", "ON");
        }),
        (MariaDb, "log_bin_compress_on", |s| {
            set(s, "log_bin_compress", "ON");
        }),
        (MariaDb, "schema_not_logged", |s| {
            status(s).do_db = "crm,erp".to_owned();
        }),
        (MySql, "schema_not_logged", |s| {
            status(s).ignore_db = "erp, shop".to_owned();
        }),
        (MariaDb, "replica_updates_not_logged", |s| {
            s.sources = Listing::Rows(vec![()]);
            set(s, "log_slave_updates", "OFF");
        }),
        (MySql, "gtid_tags_unsupported", |s| {
            set(s, "gtid_executed", &format!("{UUID}:1-9:tag:1-2"));
        }),
        (MySql, "server_id_of_source", |s| set(s, "server_id", "4711")),
        (OceanBase, "no_binlog_service", no_binlog),
        (OceanBase, "no_binlog_service", |s| {
            s.status = Listing::NoResultSet;
        }),
        (OceanBase, "binlog_instance_direct", |s| {
            s.version = None;
            s.captured = Captured::default();
        }),
        (OceanBase, "no_binlog_service", |s| {
            s.has_observer = true;
            s.status = refused(refusal::STATEMENT_UNSUPPORTED, "error 1064 near 'MASTER STATUS'");
        }),
        (MySql, "observer_other_server", |s| s.has_observer = true),
        (MariaDb, "observer_other_server", |s| s.has_observer = true),
        (MySql, "schema_missing", |s| s.captured = Captured::default()),
        (MySql, "schema_missing", |s| {
            s.captured.missing = vec!["crm".to_owned()];
        }),
        (OceanBase, "schema_missing", |s| s.captured = Captured::default()),
        (MySql, "column_type_unsupported", |s| {
            s.captured.columns = vec![column("vector(3)", "")];
        }),
        (OceanBase, "column_type_unsupported", |s| {
            s.captured.columns = vec![column("VECTOR(3)", "")];
        }),
        (MariaDb, "column_type_unsupported", |s| {
            s.captured.columns = vec![column("varchar(9) /*M!100301 COMPRESSED*/", "")];
        }),
        (MariaDb, "column_type_unsupported", |s| {
            let charset = Some("swe7".to_owned());
            s.captured.columns = vec![Column {
                charset,
                ..column("varchar(9)", "")
            }];
        }),
    ];
    for (flavour, code, spoil) in fatal {
        let mut seen = good(*flavour);
        spoil(&mut seen);
        assert_eq!(
            codes(&seen, Severity::Fatal),
            BTreeSet::from([*code]),
            "{flavour}: {seen:#?}"
        );
        let failure = verdict(&findings(&seen, OUR_ID)).unwrap_err();
        assert_eq!(failure.reason.code, *code);
        assert!(matches!(failure.disposition, Disposition::Halt { .. }));
    }
}

/// An instance that was just made has no file, and says so by a result without a row.
#[test]
fn a_binlog_that_has_not_begun_is_waited_for() {
    for has_observer in [false, true] {
        let mut seen = good(Flavour::OceanBase);
        seen.has_observer = has_observer;
        seen.status = Listing::Rows(Vec::new());
        seen.binlogs = Listing::Rows(Vec::new());
        assert_eq!(codes(&seen, Severity::Fatal), BTreeSet::from([NOT_STARTED]));
        let failure = verdict(&findings(&seen, OUR_ID)).unwrap_err();
        assert_eq!(failure.reason.code, NOT_STARTED);
        assert!(matches!(failure.disposition, Disposition::Retry { .. }));
        // What waiting does not put right is not waited for.
        seen.captured = Captured::default();
        let failure = verdict(&findings(&seen, OUR_ID)).unwrap_err();
        assert_eq!(failure.reason.code, "schema_missing");
        assert!(failure.reason.message.contains(NOT_STARTED), "{failure}");
        assert!(matches!(failure.disposition, Disposition::Halt { .. }));
    }
    // Elsewhere no file is no binlog.
    let mut seen = good(Flavour::MySql);
    seen.status = Listing::Rows(Vec::new());
    assert_eq!(codes(&seen, Severity::Fatal), BTreeSet::from(["binlog_disabled"]));
}

#[test]
fn each_risk_has_its_code() {
    use Flavour::{MariaDb, MySql, OceanBase};
    let risky: &[(Flavour, &str, Spoil)] = &[
        (MySql, "checksum_off", |s| set(s, "binlog_checksum", "NONE")),
        (MySql, "gtid_off", |s| set(s, "gtid_mode", "OFF")),
        (MySql, "gtid_off", |s| set(s, "gtid_mode", "ON_PERMISSIVE")),
        (OceanBase, "gtid_set_unknown", |s| set(s, "gtid_executed", "")),
        (MySql, "retention_short", |s| {
            set(s, "binlog_expire_logs_seconds", "600");
        }),
        (MySql, "replica_id_registered", |s| {
            s.replicas = Listing::Rows(vec![(9, String::new()), (4711, "box".to_owned())]);
        }),
        (MariaDb, "no_table_captured", |s| s.captured.tables.clear()),
        (MariaDb, "primary_key_missing", |s| {
            s.captured.keyless = vec![table("log")];
        }),
        (MySql, "table_left_out", |s| {
            s.captured.types = TypePolicy::SkipTable;
            s.captured.columns = vec![column("vector(3)", ""), column("int", "")];
        }),
        (OceanBase, "generated_column_virtual", |s| {
            s.captured.columns = vec![column("int(11)", "VIRTUAL GENERATED")];
        }),
    ];
    for (flavour, code, spoil) in risky {
        let mut seen = good(*flavour);
        spoil(&mut seen);
        assert_eq!(
            codes(&seen, Severity::Warning),
            BTreeSet::from([*code]),
            "{flavour}"
        );
        assert_eq!(
            verdict(&findings(&seen, OUR_ID)),
            Ok(()),
            "{code} is no reason to stop"
        );
    }
}

/// What only looks like a fault.
#[test]
fn ordinary_answers_are_not_held_against_a_server() {
    let mut old = good(Flavour::MySql);
    old.variables
        .retain(|name, _| *name != "binlog_row_image" && *name != "binlog_format");
    old.replicas = Listing::Rows(vec![(12, "replica".to_owned())]);
    old.captured.columns = vec![column("bigint unsigned", ""), column("int", "VIRTUAL GENERATED")];
    status(&mut old).ignore_db = "scratch".to_owned();
    assert_eq!(codes(&old, Severity::Fatal), BTreeSet::new());
    assert_eq!(codes(&old, Severity::Warning), BTreeSet::new());

    let mut relayed = good(Flavour::MariaDb);
    relayed.sources = Listing::Rows(vec![()]);
    set(&mut relayed, "log_slave_updates", "ON");
    assert_eq!(codes(&relayed, Severity::Fatal), BTreeSet::new());

    // Canned or answered by another server there.
    let mut oceanbase = good(Flavour::OceanBase);
    set(&mut oceanbase, "log_bin", "OFF");
    set(&mut oceanbase, "binlog_format", "");
    set(&mut oceanbase, "server_id", "4711");
    assert_eq!(codes(&oceanbase, Severity::Fatal), BTreeSet::new());
}

#[test]
fn services_that_damage_large_values_are_named_with_the_columns() {
    let mut seen = good(Flavour::OceanBase);
    seen.captured.columns = vec![column("bigint(20) unsigned", "")];
    assert_eq!(codes(&seen, Severity::Warning), BTreeSet::new());
    set(&mut seen, "gtid_executed", "");
    assert_eq!(
        codes(&seen, Severity::Warning),
        BTreeSet::from(["gtid_set_unknown", "value_damage_possible"])
    );
    no_binlog(&mut seen);
    assert_eq!(
        codes(&seen, Severity::Warning),
        BTreeSet::new(),
        "there is no service to warn of"
    );
}

#[test]
fn facts_are_what_was_seen() {
    let facts_of = |flavour| facts(&good(flavour));
    let mysql = facts_of(Flavour::MySql);
    assert_eq!(
        mysql.identity,
        ServerIdentity {
            flavour: Flavour::MySql,
            server_uuid: UUID.to_owned(),
            server_id: 1
        }
    );
    assert_eq!(
        (mysql.oldest.to_string(), mysql.head.to_string()),
        ("binlog.000006:4".into(), "binlog.000007:4321".into())
    );
    assert!(mysql.gtid && mysql.gtid_purged == Some(GtidSet::default()));
    assert_eq!(mysql.gtid_executed.unwrap().to_string(), format!("{UUID}:1-9"));
    assert_eq!(mysql.expire_seconds, Some(2_592_000));
    let mariadb = facts_of(Flavour::MariaDb);
    assert!(!mariadb.gtid && mariadb.gtid_executed.is_none() && mariadb.gtid_purged.is_none());
    assert!(facts_of(Flavour::OceanBase).gtid);

    let mut seen = good(Flavour::OceanBase);
    set(&mut seen, "gtid_executed", "");
    status(&mut seen).executed = format!("{UUID}:1-5,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:1");
    assert!(facts(&seen).gtid, "the status row has the set as well");
    set(&mut seen, "binlog_expire_logs_seconds", "0");
    assert_eq!(facts(&seen).expire_seconds, None);
    set(&mut seen, "expire_logs_days", "3.000000");
    assert_eq!(facts(&seen).expire_seconds, Some(3 * 86_400));
}

#[test]
fn servers_are_known_by_what_they_call_themselves() {
    for (version, comment, expected) in [
        (Some("9.7.4"), "MySQL Community Server - GPL", Flavour::MySql),
        (
            Some("10.11.19-MariaDB-0+deb12u1-log"),
            "Debian 12",
            Flavour::MariaDb,
        ),
        (
            Some("11.8.2"),
            "mariadb.org binary distribution",
            Flavour::MariaDb,
        ),
        (
            Some("5.7.25-OceanBase seekdb-v1.4.0.0"),
            "OceanBase 4.3.5.3",
            Flavour::OceanBase,
        ),
        (Some("8.0.30"), "OceanBase_CE 4.3.1.0", Flavour::OceanBase),
        (Some("5.7.35-obs"), "", Flavour::OceanBase),
        (None, "MySQL Community Server - GPL", Flavour::OceanBase),
    ] {
        assert_eq!(flavour(version, comment), expected, "{version:?} {comment}");
    }
}

#[test]
fn a_verdict_names_the_first_fault_and_counts_the_others() {
    let mut seen = good(Flavour::MySql);
    set(&mut seen, "binlog_format", "STATEMENT");
    set(&mut seen, "binlog_transaction_compression", "ON");
    let failure = verdict(&findings(&seen, OUR_ID)).unwrap_err();
    assert_eq!(failure.reason.code, "binlog_format_not_row");
    assert!(
        failure
            .reason
            .message
            .ends_with("; also: transaction_compression_on"),
        "{failure}"
    );
}

#[test]
fn long_lists_of_names_are_cut() {
    let mut seen = good(Flavour::MySql);
    seen.captured.keyless = (0..25).map(|n| table(&format!("t{n}"))).collect();
    let found = findings(&seen, OUR_ID);
    let finding = found.iter().find(|f| f.code == "primary_key_missing").unwrap();
    assert!(finding.seen.ends_with("shop.t9 and 15 more"), "{}", finding.seen);
}
