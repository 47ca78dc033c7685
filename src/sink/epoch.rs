//! In which tenure of its group this client writes, and whether a later one has begun.
//!
//! Every record carries the number. A collector begins with one more than any that it finds, so whoever finds a higher one
//! than its own has been replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::DataHub;
use crate::record::Shard;
use crate::retry::Failure;

/// Code of a collector that another one of its group has replaced.
pub const SUPERSEDED: &str = "superseded";

/// That another collector of the group is at work, as `seen` says.
pub fn superseded(seen: &str) -> Failure {
    Failure::halt(
        SUPERSEDED,
        format!("another collector of this group has taken over: {seen}"),
        "start this one again: it stands by then, and continues where the other one ends",
    )
}

/// What this client's records say.
#[derive(Debug)]
pub(super) struct Epoch {
    number: u64,
    text: Arc<str>,
    /// Whether nobody else of the group may write.
    exclusive: bool,
    /// Whether the topic certainly has a record of it, which a successor reads.
    seen: AtomicBool,
}

impl Epoch {
    pub(super) fn is_in_the_topic(&self) {
        self.seen.store(true, Ordering::Relaxed);
    }

    /// Whether the newest epoch of the group in the topic is a successor's. One that found nothing of ours has our number.
    fn is_over(&self, newest: u64) -> bool {
        let seen = self.seen.load(Ordering::Relaxed);
        self.exclusive && (newest > self.number || (newest == self.number && !seen))
    }
}

impl DataHub {
    /// Says in which epoch this client writes; once, before the first put. `exclusive`: a record of a later one means that
    /// this collector is replaced.
    pub fn begin_epoch(&self, number: u64, exclusive: bool) {
        self.epoch.get_or_init(|| Epoch {
            number,
            text: number.to_string().into(),
            exclusive,
            seen: AtomicBool::new(false),
        });
    }

    /// The epoch, once it has begun.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch.get().map(|epoch| epoch.number)
    }

    pub(super) fn epoch_text(&self) -> Arc<str> {
        self.epoch
            .get()
            .map_or_else(|| Arc::from("0"), |epoch| Arc::clone(&epoch.text))
    }

    /// Refuses to go on where a read-back saw a later epoch of the group.
    pub(super) fn not_replaced(&self, seen: u64) -> Result<(), Failure> {
        match self.epoch.get().filter(|epoch| epoch.exclusive) {
            Some(epoch) if seen > epoch.number => Err(superseded(&format!(
                "the topic has records of its epoch {seen}, this one is {}",
                epoch.number
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a later epoch of the group has begun, by the newest records of these shards.
    ///
    /// # Errors
    /// As [`DataHub::trace`].
    pub async fn is_replaced(&self, shards: &[Shard]) -> Result<bool, Failure> {
        let Some(epoch) = self.epoch.get() else {
            return Ok(false);
        };
        for shard in shards {
            if epoch.is_over(self.trace(&shard.id).await?.epoch) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_epoch_ends_this_one_and_an_equal_one_that_is_not_its_own() {
        let epoch = |exclusive| Epoch {
            number: 5,
            text: "5".into(),
            exclusive,
            seen: AtomicBool::new(false),
        };
        let ours = epoch(true);
        let over = |epoch: &Epoch| [4, 5, 6].map(|newest| epoch.is_over(newest));
        assert_eq!(over(&ours), [false, true, true]);
        ours.is_in_the_topic();
        assert_eq!(over(&ours), [false, false, true]);
        assert_eq!(over(&epoch(false)), [false; 3]);
    }
}
