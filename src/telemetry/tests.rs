use super::*;
use std::collections::BTreeSet;

/// The text of a recorder on which every metric has been used once.
fn rendered() -> String {
    let recorder = builder().unwrap().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        first_values();
        for metric in METRICS {
            match metric.shape {
                Shape::Counter => metrics::counter!(metric.name).increment(1),
                Shape::Gauge => gauge!(metric.name).set(1.0),
                Shape::Histogram(_) => metrics::histogram!(metric.name).record(0.003),
            }
        }
    });
    handle.run_upkeep();
    Metrics {
        handle,
        dropped: Vec::new(),
    }
    .render()
}

#[test]
fn every_metric_has_help_type_and_its_unit_in_the_name() {
    let text = rendered();
    for metric in METRICS {
        let name = metric.name;
        let kind = match metric.shape {
            Shape::Counter => "counter",
            Shape::Gauge => "gauge",
            Shape::Histogram(_) => "histogram",
        };
        assert!(
            text.contains(&format!("# HELP {name} {}\n", metric.help)),
            "{name}"
        );
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        assert_eq!(
            name.ends_with("_total"),
            matches!(metric.shape, Shape::Counter),
            "{name}"
        );
        let base = name.trim_end_matches("_total");
        assert_eq!(
            base.ends_with("_seconds"),
            metric.unit == metrics::Unit::Seconds,
            "{name}"
        );
        assert_eq!(
            base.ends_with("_bytes"),
            metric.unit == metrics::Unit::Bytes,
            "{name}"
        );
    }
}

#[test]
fn the_text_is_well_formed() {
    let text = rendered();
    let mut typed = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(
                typed.insert(rest.split(' ').next().unwrap().to_owned()),
                "typed twice: {line}"
            );
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix).filter(|base| typed.contains(*base)))
            .unwrap_or(name);
        assert!(typed.contains(family), "{line} comes before its TYPE");
    }
    assert!(
        text.contains(&format!(
            "cdc_build_info{{version=\"{VERSION}\",commit=\"{COMMIT}\"}} 1"
        )),
        "{text}"
    );
    assert!(text.contains("process_resident_memory_bytes "));
    assert!(text.contains("cdc_put_duration_seconds_bucket{le=\"0.005\"} 1"));
}

#[test]
fn counters_start_at_zero_instead_of_missing() {
    let recorder = builder().unwrap().build_recorder();
    metrics::with_local_recorder(&recorder, first_values);
    let text = recorder.handle().render();
    assert!(text.contains("cdc_rows_acked_total 0\n") && text.contains("cdc_conservation_error_rows 0\n"));
}

#[test]
fn log_files_that_cannot_be_opened_are_an_answer_not_a_panic() {
    let error = open_files(Path::new("/dev/null/logs")).unwrap_err();
    assert!(!error.is_empty());
    let dir = tempfile::tempdir().unwrap();
    assert!(open_files(&dir.path().join("made/on/demand")).is_ok());
}

#[test]
fn a_full_log_disk_is_an_error_that_changes_nothing_else() {
    struct Full(bool);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(bytes.len())
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut watched = Watched::new(Full(true));
    assert!(watched.write(b"line").is_err() && watched.failing);
    watched.inner.0 = false;
    assert!(watched.write(b"line").is_ok() && !watched.failing);
}
