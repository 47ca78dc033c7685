//! The service's clock: the machine's, one that is wrong, or one that stands still so that recorded requests can
//! be replayed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the emulator reads the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// The machine's clock and this many seconds more: what a client with a wrong clock sees.
    Shifted(i64),
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
            Clock::Shifted(seconds) => Clock::System
                .now_us()
                .saturating_add_signed(seconds.saturating_mul(1_000_000)),
            Clock::Fixed(ms) => ms.saturating_mul(1000),
        }
    }

    /// The value of a `Date` header.
    pub(crate) fn http_date(self) -> String {
        // The format ends with the year 9999.
        let seconds = (self.now_us() / 1_000_000).min(253_402_300_799);
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
    }
}
