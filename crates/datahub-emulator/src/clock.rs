//! The service's clock: the machine's, or one that stands still so that recorded requests can be replayed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the emulator reads the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Always this many milliseconds since 1970.
    Fixed(u64),
}

impl Clock {
    /// Microseconds since 1970.
    pub(crate) fn now_us(self) -> u64 {
        match self {
            Clock::System => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a service of its own, with a clock of its own"
                )]
                let now = SystemTime::now();
                let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
            }
            Clock::Fixed(ms) => ms.saturating_mul(1000),
        }
    }
}
