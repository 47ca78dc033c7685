//! How far a phase is: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::grouped;

/// How often progress is shown on a terminal.
pub(crate) const EVERY: Duration = Duration::from_millis(100);
/// How often progress is shown where lines pile up.
const EVERY_LINE: Duration = Duration::from_secs(5);
/// Characters of the bar.
const WIDTH: u64 = 30;

/// A phase's progress.
pub(crate) struct Progress {
    name: String,
    total: u64,
    begun: Instant,
    shown: Instant,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(name: &str, total: u64) -> Progress {
        let now = Instant::now();
        let terminal = std::io::stdout().is_terminal();
        Progress {
            name: name.to_owned(),
            total: total.max(1),
            begun: now,
            shown: now,
            terminal,
        }
    }

    /// Shows how many rows are delivered.
    pub(crate) fn show(&mut self, delivered: u64) {
        if self.terminal {
            let filled = (delivered * WIDTH / self.total).min(WIDTH);
            let bar: String = (0..WIDTH)
                .map(|place| if place < filled { '█' } else { '░' })
                .collect();
            print!("\r  {:<10} {bar} {}\x1b[K", self.name, self.text(delivered));
            // A terminal that is gone is no reason to stop.
            std::io::stdout().flush().ok();
        } else if self.shown.elapsed() >= EVERY_LINE {
            self.shown = Instant::now();
            println!("  {:<10} {}", self.name, self.text(delivered));
        }
    }

    /// Shows the last line; returns how long the phase took.
    pub(crate) fn finish(mut self, delivered: u64) -> Duration {
        let took = self.begun.elapsed();
        self.total = self.total.max(delivered);
        if self.terminal {
            self.show(delivered);
            println!();
        } else {
            println!("  {:<10} {}", self.name, self.text(delivered));
        }
        took
    }

    fn text(&self, delivered: u64) -> String {
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = grouped((delivered as f64 / seconds) as u64);
        format!(
            "{:>7} of {:>7} rows delivered, {rate} rows/s, {seconds:.1} s",
            grouped(delivered),
            grouped(self.total)
        )
    }
}
