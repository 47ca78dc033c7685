//! How fast the binlog grows, and whether the topic's shards take as much.

use std::time::Duration;

use mysql_async::Conn;
use tokio::time::{Instant, sleep};

use crate::config::DatabaseConfig;
use crate::retry::Failure;
use crate::source::connection::{self, Answer, cell};
use crate::source::preflight::Finding;

/// What a shard takes a second, bytes: DataHub's published limit.
const SHARD_BYTES: u64 = 5 * 1024 * 1024;

/// What the binlog grew by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    bytes: u64,
    watched: Duration,
}

/// Compares the sizes of the binlog's files now with those after a while.
pub(super) async fn measure(
    conn: &mut Conn,
    config: &DatabaseConfig,
    watched: Duration,
) -> Result<Rate, Failure> {
    let begun = Instant::now();
    let before = files(conn, config).await?;
    sleep(watched).await;
    let after = files(conn, config).await?;
    Ok(Rate {
        bytes: growth(&before, &after),
        watched: begun.elapsed(),
    })
}

async fn files(conn: &mut Conn, config: &DatabaseConfig) -> Result<Vec<(String, u64)>, Failure> {
    Ok(
        match connection::query(conn, "SHOW BINARY LOGS", config.connect_timeout).await? {
            Answer::Rows(rows) => rows
                .iter()
                .filter_map(|row| Some((cell(row, 0)?, cell(row, 1)?.parse().ok()?)))
                .collect(),
            Answer::NoResultSet => Vec::new(),
        },
    )
}

/// Files that were purged meanwhile take nothing away, and new ones count as a whole.
fn growth(before: &[(String, u64)], after: &[(String, u64)]) -> u64 {
    let known = |name: &str| {
        before
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, size)| *size)
    };
    after
        .iter()
        .map(|(name, size)| size.saturating_sub(known(name).unwrap_or_default()))
        .sum()
}

impl Rate {
    fn bytes_a_second(self) -> u64 {
        let millis = u64::try_from(self.watched.as_millis()).unwrap_or(u64::MAX).max(1);
        self.bytes.saturating_mul(1000) / millis
    }

    /// The rate itself.
    pub(super) fn finding(self) -> Finding {
        let seconds = self.watched.as_secs_f64();
        Finding::info(
            "source_rate",
            format!(
                "the binlog grew by {} a second, watched for {seconds:.1} s",
                size(self.bytes_a_second())
            ),
        )
    }

    /// Whether so many shards take it.
    pub(super) fn against(self, shards: usize) -> Option<Finding> {
        let rate = self.bytes_a_second();
        let needed = rate.div_ceil(SHARD_BYTES).max(1);
        let shards = u64::try_from(shards).unwrap_or(u64::MAX);
        (needed > shards).then(|| {
            Finding::warning(
                "shards_too_few",
                format!(
                    "the binlog grows by {} a second, and {shards} shards take {}",
                    size(rate),
                    size(shards.saturating_mul(SHARD_BYTES))
                ),
                format!(
                    "split shards in the DataHub console until there are {needed} or more; a topic that is created takes \
                     `DATAHUB_SHARDS={needed}`"
                ),
            )
        })
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[(&str, u64)]) -> Vec<(String, u64)> {
        of.iter()
            .map(|(name, size)| ((*name).to_owned(), *size))
            .collect()
    }

    #[test]
    fn growth_is_of_all_files_that_are_there() {
        let before = files(&[("b.1", 100), ("b.2", 50)]);
        for (after, expected) in [
            (files(&[("b.1", 100), ("b.2", 50)]), 0),
            (files(&[("b.1", 100), ("b.2", 70), ("b.3", 4)]), 24),
            (files(&[("b.3", 4)]), 4),
            (files(&[]), 0),
        ] {
            assert_eq!(growth(&before, &after), expected, "{after:?}");
        }
    }

    #[test]
    fn shards_are_compared_with_what_they_take() {
        let rate = |mebibytes: u64| Rate {
            bytes: mebibytes << 20,
            watched: Duration::from_secs(2),
        };
        assert_eq!(rate(0).against(1), None);
        assert_eq!(rate(10).against(1), None);
        let finding = rate(31).against(3).unwrap();
        assert!(
            finding
                .seen
                .contains("15.5 MiB a second, and 3 shards take 15.0 MiB"),
            "{}",
            finding.seen
        );
        assert!(finding.remedy.contains("DATAHUB_SHARDS=4"), "{}", finding.remedy);
        assert!(rate(0).against(0).is_some());
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1 << 19), "512 KiB");
    }
}
