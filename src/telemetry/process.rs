//! What the kernel knows of this process, under the names that every Prometheus client uses.
//!
//! Read when somebody asks, from /proc, which lives in memory; a value that cannot be read is left out.

use std::fmt::Write as _;
use std::fs;

/// Clock ticks a second in /proc: the kernel shows 100 to programs on every architecture of interest.
const TICKS: f64 = 100.0;

/// The `process_*` metrics in text form.
pub(super) fn render() -> String {
    let mut out = String::new();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses and may hold anything; fields count from behind it.
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map_or_else(Vec::new, |(_, rest)| rest.split(' ').collect());
    let field = |n: usize| fields.get(n - 3).and_then(|text| text.parse::<f64>().ok());
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        let seconds = (user + system) / TICKS;
        family(
            &mut out,
            "process_cpu_seconds_total",
            "counter",
            "CPU time spent, user and system.",
            seconds,
        );
    }
    if let (Some(ticks), Some(boot)) = (field(22), boot_time()) {
        let start = boot + ticks / TICKS;
        family(
            &mut out,
            "process_start_time_seconds",
            "gauge",
            "Start of the process, seconds since 1970.",
            start,
        );
    }
    if let Some(kib) = status_kib("VmRSS:") {
        let bytes = kib * 1024.0;
        family(
            &mut out,
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory.",
            bytes,
        );
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        // One of them is the listing itself.
        let count = u32::try_from(descriptors.count().saturating_sub(1)).unwrap_or(u32::MAX);
        family(
            &mut out,
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            f64::from(count),
        );
    }
    out
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

fn status_kib(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn family(out: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    let written = write!(
        out,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n"
    );
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

/// One counter family in text form, for a number that is not kept by the recorder.
pub(super) fn counter(out: &mut String, name: &str, help: &str, value: u64) {
    let written = write!(
        out,
        "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n\n"
    );
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_answers_with_plausible_numbers() {
        let text = super::render();
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")))
                .unwrap();
            line.split(' ').nth(1).unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_start_time_seconds") > 1_500_000_000.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
