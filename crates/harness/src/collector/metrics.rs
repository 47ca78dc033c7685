//! Prometheus text, as far as a test needs it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// Labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// What becomes of a row: the sum of these is the number of rows that were decoded.
const SETTLED: [&str; 5] = [
    "cdc_rows_acked_total",
    "cdc_rows_suppressed_total",
    "cdc_rows_filtered_total",
    "cdc_rows_dead_lettered_total",
    "cdc_rows_in_flight",
];

/// A scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: BTreeMap<String, Vec<(Labels, f64)>>,
    /// Names that have a HELP and a TYPE line.
    described: BTreeMap<String, (bool, bool)>,
}

impl Metrics {
    /// Reads the text form.
    ///
    /// # Errors
    /// Names the first line that is not a comment or a sample.
    pub fn parse(text: &str) -> Result<Metrics> {
        let mut metrics = Metrics::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                metrics.describe(comment);
                continue;
            }
            let (name, labels, value) = sample(line).with_context(|| format!("not a sample: {line}"))?;
            metrics.samples.entry(name).or_default().push((labels, value));
        }
        Ok(metrics)
    }

    fn describe(&mut self, comment: &str) {
        let mut words = comment.split(' ');
        if let (Some(kind), Some(name)) = (words.next(), words.next()) {
            let entry = self.described.entry(name.to_owned()).or_default();
            entry.0 |= kind == "HELP";
            entry.1 |= kind == "TYPE";
        }
    }

    /// The sum of all samples of a metric; `None` if it has none.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.samples
            .get(name)
            .map(|samples| samples.iter().map(|(_, value)| value).sum())
    }

    /// The sum of the samples that carry these labels; `None` if there are none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |found: &Labels| {
            labels
                .iter()
                .all(|(key, value)| found.get(*key).is_some_and(|v| v == value))
        };
        let fitting: Vec<f64> = self
            .samples
            .get(name)?
            .iter()
            .filter(|(found, _)| fits(found))
            .map(|(_, value)| *value)
            .collect();
        (!fitting.is_empty()).then(|| fitting.iter().sum())
    }

    /// The sum of a counter or gauge that counts whole things; 0 if it has no sample.
    pub fn count(&self, name: &str) -> u64 {
        // Rust's `as` saturates and has 0 for NaN.
        self.sum(name).unwrap_or(0.0).round() as u64
    }

    /// Every row that was decoded is accounted for, and so the collector says itself.
    ///
    /// # Errors
    /// The two sides of the account.
    pub fn conserved(&self) -> Result<()> {
        let settled: u64 = SETTLED.iter().map(|name| self.count(name)).sum();
        let decoded = self.count("cdc_rows_decoded_total");
        let error = self.sum("cdc_conservation_error_rows");
        if decoded != settled || error != Some(0.0) {
            bail!(
                "rows are unaccounted for: {decoded} decoded, {settled} settled, the collector says {error:?}"
            );
        }
        Ok(())
    }

    /// All names that have samples.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(String::as_str)
    }

    /// Whether a metric has both its HELP and its TYPE line.
    pub fn is_described(&self, name: &str) -> bool {
        self.described.get(name) == Some(&(true, true))
    }
}

/// `name{label="value",…} 1.5`
fn sample(line: &str) -> Result<(String, Labels, f64)> {
    let (name, rest) = match line.find(['{', ' ']) {
        Some(at) => line.split_at(at),
        None => bail!("no value"),
    };
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (Labels::new(), rest),
    };
    let number = rest.split_whitespace().next().context("no value")?;
    let value = match number {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().with_context(|| format!("{number} is no number"))?,
    };
    Ok((name.to_owned(), labels, value))
}

/// Reads up to the closing brace; values may hold escaped quotes, backslashes and line ends.
fn read_labels(mut rest: &str) -> Result<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (key, after) = rest.split_once("=\"").context("a label without a value")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().context("an open quote")? {
                (at, '"') => break at,
                (_, '\\') => match chars.next().context("an open escape")? {
                    (_, 'n') => value.push('\n'),
                    (_, other) => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(key.to_owned(), value);
        rest = after.split_at(end + 1).1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_samples_labels_and_descriptions() {
        let text = "# HELP a_total All.\n# TYPE a_total counter\na_total{x=\"1\",y=\"q\\\"\\\\\\n}\"} 2\n\
                    a_total{x=\"2\"} 3 1700000000\n\nb 1.5e3\nc_bucket{le=\"+Inf\"} +Inf\n";
        let metrics = Metrics::parse(text).unwrap();
        assert_eq!(metrics.count("a_total"), 5);
        assert_eq!(
            metrics.value("a_total", &[("x", "1"), ("y", "q\"\\\n}")]),
            Some(2.0)
        );
        assert_eq!(metrics.value("a_total", &[("x", "3")]), None);
        assert_eq!(metrics.sum("b"), Some(1500.0));
        assert_eq!(metrics.sum("c_bucket"), Some(f64::INFINITY));
        assert!(metrics.is_described("a_total") && !metrics.is_described("b"));
        assert_eq!(metrics.count("absent"), 0);
    }

    #[test]
    fn every_row_has_to_be_accounted_for() {
        let scrape = |acked, error| {
            let text = format!(
                "cdc_rows_decoded_total 9\ncdc_rows_acked_total{{shard=\"0\"}} 5\ncdc_rows_acked_total{{shard=\"1\"}} {acked}\n\
                 cdc_rows_filtered_total 1\ncdc_rows_in_flight 1\ncdc_conservation_error_rows {error}\n"
            );
            Metrics::parse(&text).unwrap().conserved()
        };
        assert!(scrape(2, 0).is_ok());
        assert!(scrape(1, 0).is_err() && scrape(3, 0).is_err() && scrape(2, 1).is_err());
        assert!(Metrics::default().conserved().is_err());
    }

    #[test]
    fn refuses_what_is_no_sample() {
        for line in ["name", "name{", "name{a=\"", "name{a} 1", "name x"] {
            assert!(Metrics::parse(line).is_err(), "{line}");
        }
    }
}
