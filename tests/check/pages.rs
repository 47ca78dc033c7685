//! Every code that the product can show has a page, and every page a code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cdc_collector::explain;

/// Words in the form of a code that are none, by the file that has them.
const NO_CODES: &[(&str, &[&str])] = &[
    // Names and values of options, and schemas of the servers.
    (
        "config/",
        &[
            "dead_letter",
            "dts_legacy",
            "information_schema",
            "park_table",
            "performance_schema",
            "skip_table",
            "verify_ca",
            "verify_identity",
        ],
    ),
    // What an encoded record says.
    (
        "encode/",
        &[
            "dts_after_flag",
            "dts_before_flag",
            "dts_db_name",
            "dts_instance_id",
            "dts_operation_flag",
            "dts_record_id",
            "dts_table_name",
            "dts_utc_timestamp",
            "primary_key_columns",
            "source_database",
            "source_table",
            "system_time",
            "ts_ms",
        ],
    ),
    ("record", &["held_back", "snake_case"]),
    ("store/", &["snake_case"]),
    // Words of /health and of a letter that say what something does, or labels of a metric.
    (
        "app/",
        &[
            "backing_off",
            "dead_lettering",
            "in_doubt",
            "payload_bytes",
            "taking_over",
        ],
    ),
    ("pipeline/", &["in_part"]),
    // System variables of the servers.
    (
        "source/preflight/",
        &[
            "binlog_checksum",
            "binlog_expire_logs_auto_purge",
            "binlog_expire_logs_seconds",
            "binlog_expire_logs_size",
            "binlog_format",
            "binlog_row_image",
            "binlog_row_metadata",
            "binlog_row_value_options",
            "binlog_transaction_compression",
            "expire_logs_days",
            "gtid_mode",
            "gtid_purged",
            "log_bin",
            "log_bin_compress",
            "log_replica_updates",
            "log_row_value_options",
            "log_slave_updates",
            "max_binlog_total_size",
            "net_write_timeout",
            "server_id",
            "server_uuid",
            "system_time_zone",
            "version_comment",
        ],
    ),
    // Texts of the servers that tell one refusal from another.
    ("source/refusal/", &["max_allowed_packet"]),
    // Words of statements and options of tables, names of character sets, labels of metrics.
    (
        "source/decode/statement",
        &["access_id", "access_key", "option_list"],
    ),
    (
        "source/",
        &[
            "format_description",
            "gb18030_2022",
            "gtid_executed",
            "previous_gtids",
            "repeated_transactions",
            "stray_rows",
            "table_map",
            "transactions_before_start",
        ],
    ),
    (
        "source/schema/",
        &[
            "auto_increment",
            "autoextend_size",
            "avg_row_length",
            "delay_key_write",
            "insert_method",
            "key_block_size",
            "max_rows",
            "min_rows",
            "pack_keys",
            "page_checksum",
            "page_compressed",
            "row_format",
            "stats_auto_recalc",
            "stats_persistent",
            "stats_sample_pages",
        ],
    ),
];

/// Parts whose words are metrics.
const METRICS: [&str; 2] = ["cdc_", "process_"];

/// What stands in front of a code of one word: a finding, a failure, a verdict, an event of the log.
const INTRODUCED: [&str; 8] = [
    "info(",
    "warning(",
    "fatal(",
    "halt(",
    "retry(",
    "ready(State::",
    "code = ",
    "code: ",
];

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut dirs: Vec<PathBuf> = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(&root).expect("below src").display().to_string();
            if path.is_dir() {
                dirs.push(path);
            } else if name.ends_with(".rs") && !name.contains("tests") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let product = text.split("#[cfg(test)]\nmod tests {").next().expect("a part");
                found.push((name.trim_end_matches(".rs").to_owned(), product.to_owned()));
            }
        }
    }
    found
}

fn is_snake(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !word.is_empty()
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && !word.ends_with('_')
        && word.chars().all(plain)
}

/// The string literals of a text, each with what stands before it.
fn literals(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut before = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, part) in line.split('"').enumerate() {
            if at % 2 == 1 {
                all.push((before.trim_end().to_owned(), part.to_owned()));
            }
            before.push_str(part);
        }
        before.push(' ');
        let cut = before.len().saturating_sub(80);
        if before.is_char_boundary(cut) {
            before.drain(..cut);
        }
    }
    all
}

fn is_no_code(file: &str, word: &str) -> bool {
    METRICS.iter().any(|prefix| word.starts_with(prefix))
        || NO_CODES
            .iter()
            .any(|(place, words)| file.starts_with(place) && words.contains(&word))
}

/// The words of a file that are codes by their form and their place.
fn codes_in(file: &str, text: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (before, word) in literals(text).into_iter().filter(|(_, word)| is_snake(word)) {
        let introduced = INTRODUCED.iter().any(|sign| {
            before.ends_with(sign.trim_end())
                || before.ends_with(',')
                    && before.rsplit('(').next().is_some_and(|arguments| {
                        sign.strip_prefix("ready(")
                            .is_some_and(|kind| arguments.trim_start().starts_with(kind))
                    })
        });
        // A constant that says of itself that it is one.
        let constant = before.ends_with("&str =");
        let is_code = if word.contains('_') {
            !is_no_code(file, &word)
        } else {
            introduced || constant && explain::codes().any(|code| code == word)
        };
        if is_code {
            codes.insert(word);
        }
    }
    codes
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let mut shown = BTreeSet::new();
    for (file, text) in sources() {
        if file != "explain" {
            shown.extend(codes_in(&file, &text));
        }
    }
    let explained: BTreeSet<String> = explain::codes().map(str::to_owned).collect();
    let without: Vec<_> = shown.difference(&explained).collect();
    assert!(
        without.is_empty(),
        "no page in docs/errors, or not in src/explain.rs: {without:?}"
    );
    let orphans: Vec<_> = explained.difference(&shown).collect();
    assert!(
        orphans.is_empty(),
        "pages on codes that nothing shows: {orphans:?}"
    );
}

#[test]
fn every_page_in_the_directory_is_in_the_program() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors");
    let files: BTreeSet<String> = std::fs::read_dir(dir)
        .expect("the pages")
        .map(|entry| entry.expect("a page").file_name().into_string().expect("a name"))
        .collect();
    let expected: BTreeSet<String> = explain::codes().map(|code| format!("{code}.md")).collect();
    assert_eq!(files, expected);
}

/// The search sees what it must not overlook.
#[test]
fn a_code_without_a_page_is_seen() {
    for (text, code) in [
        ("Failure::halt(\n    \"brand_new\",\n", "brand_new"),
        ("tracing::warn!(code = \"brandnew\", \"words\");", "brandnew"),
        ("Finding::info(\"brandnew\", \"some words\")", "brandnew"),
        (
            "Verdict::unready(\n State::Degraded,\n \"brandnew\",\n",
            "brandnew",
        ),
        ("(\"text of a server\", \"brand_new\", Do::Retry),", "brand_new"),
    ] {
        let seen = codes_in("anywhere", text);
        assert!(seen.contains(code), "{text}: {seen:?}");
    }
    assert!(codes_in("anywhere", "// \"brand_new\"").is_empty());
    assert!(codes_in("source/preflight/x", "variable(\"log_bin\")").is_empty());
    assert!(codes_in("anywhere", "name(\"word\")").is_empty());
}
