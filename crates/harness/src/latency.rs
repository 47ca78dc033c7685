//! Latencies: percentiles of what was measured.

use std::fmt;
use std::time::Duration;

/// Measured durations.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    micros: Vec<u64>,
    sorted: bool,
}

impl Latencies {
    /// Adds a measurement.
    pub fn push(&mut self, latency: Duration) {
        self.push_us(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds a measurement in microseconds.
    pub fn push_us(&mut self, micros: u64) {
        self.micros.push(micros);
        self.sorted = false;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.micros.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.micros.is_empty()
    }

    /// The smallest measurement that `percent` of all (0–100) do not exceed; `None` if there are none.
    pub fn percentile(&mut self, percent: f64) -> Option<Duration> {
        if !self.sorted {
            self.micros.sort_unstable();
            self.sorted = true;
        }
        let rank = (percent.clamp(0.0, 100.0) / 100.0 * self.micros.len() as f64).ceil() as usize;
        self.micros.get(rank.max(1) - 1).map(|micros| Duration::from_micros(*micros))
    }

    /// Median, 99th percentile and maximum; `None` if there are none.
    pub fn summary(&mut self) -> Option<Summary> {
        Some(Summary {
            p50: self.percentile(50.0)?,
            p99: self.percentile(99.0)?,
            max: self.percentile(100.0)?,
            count: self.len(),
        })
    }
}

/// The figures one quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Median.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// The worst.
    pub max: Duration,
    /// How many measurements.
    pub count: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { p50, p99, max, count } = self;
        write!(f, "p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?} (n {count})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measurements() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50.0), None);
        for micros in (1..=100).rev() {
            latencies.push_us(micros);
        }
        let at = |latencies: &mut Latencies, percent| latencies.percentile(percent).unwrap().as_micros();
        assert_eq!(at(&mut latencies, 0.0), 1);
        assert_eq!(at(&mut latencies, 50.0), 50);
        assert_eq!(at(&mut latencies, 99.0), 99);
        assert_eq!(at(&mut latencies, 100.0), 100);
    }
}
