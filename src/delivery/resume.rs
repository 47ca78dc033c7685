//! Where a run begins: from the checkpoint file and from what the topic says. Pure.
//!
//! Both are lower bounds of what the topic holds. The checkpoint goes first even where the topic is further: what is kept
//! beside it, the definitions of tables, reaches as far as it does and no further. Without a checkpoint the latest
//! watermark counts, and so it does where the topic has records of a later epoch than the checkpoint's: then another
//! collector of the group was at work since, perhaps for days, and the checkpoint is old. Where they cannot be compared,
//! where the topic is not the one that the checkpoint speaks of, or where it has records of the group and none says how far
//! it goes, nothing is guessed.
//!
//! That the checkpoint is further than the topic's watermarks says nothing: a request carries what was durable before
//! it, and stretches without captured rows move the checkpoint alone. A topic without records of the group says nothing
//! either: their time may be over. So what is taken for another topic than the checkpoint's is one with another time of
//! creation, and only that; where the service gives none, the checkpoint counts.

use std::cmp::Ordering;

use crate::position::{ServerIdentity, Watermark};
use crate::retry::Failure;

/// What the checkpoint file said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The position, and whose it is.
    pub watermark: Watermark,
    /// When the topic was created that it speaks of, seconds since 1970, if that was known.
    pub topic_created_s: Option<u64>,
    /// The epoch of the run that wrote it; 0 where it has none.
    pub epoch: u64,
}

/// The point to begin at; `None` where nothing is known and the configured start applies.
///
/// `watermarks` are the group's newest, at most one a shard; `is_known` says whether the topic has any record of the
/// group, `created_s` when it was created, `epoch` the group's highest there.
///
/// # Errors
/// A halt where the sources contradict each other.
pub fn decide(
    saved: Option<Saved>,
    watermarks: Vec<Watermark>,
    is_known: bool,
    created_s: Option<u64>,
    epoch: u64,
) -> Result<Option<Watermark>, Failure> {
    if let Some(saved) = &saved
        && let (Some(then), Some(now)) = (saved.topic_created_s, created_s)
        && then != now
    {
        return Err(Failure::halt(
            "topic_recreated",
            format!(
                "the checkpoint {} speaks of a topic that was created at {then} (seconds since 1970), this one was created at {now}: what was delivered before is gone",
                saved.watermark.position
            ),
            "remove the checkpoint and set START_POSITION to where the new topic should begin",
        ));
    }
    let mut latest: Option<Watermark> = None;
    for watermark in watermarks {
        latest = Some(match latest {
            None => watermark,
            Some(other) => later(other, watermark, "two shards of the topic")?,
        });
    }
    match (saved, latest) {
        (Some(saved), Some(latest)) => {
            let last = later(saved.watermark.clone(), latest, "the checkpoint and the topic")?;
            let is_old = epoch > saved.epoch;
            Ok(Some(if is_old { last } else { saved.watermark }))
        }
        (Some(saved), None) => Ok(Some(saved.watermark)),
        (None, None) if is_known => Err(Failure::halt(
            "topic_without_watermark",
            "there is no checkpoint, and the topic has records of this group of which none says how far they go",
            "set START_POSITION to where the topic is to be continued, and RESUME_FROM_TOPIC=false until there is a checkpoint",
        )),
        (None, latest) => Ok(latest),
    }
}

fn later(one: Watermark, two: Watermark, what: &str) -> Result<Watermark, Failure> {
    // Files belong to one server; transactions keep their GTIDs on another.
    let comparable = one.position.gtid_set.is_some() || same_server(&one.server, &two.server);
    match one.position.order(&two.position).filter(|_| comparable) {
        Some(Ordering::Less) => Ok(two),
        Some(Ordering::Equal | Ordering::Greater) => Ok(one),
        None => Err(Failure::halt(
            "positions_contradict",
            format!(
                "{what} name positions of different histories: {} and {}",
                one.position, two.position
            ),
            "set RESUME_FROM_TOPIC=false to go by the checkpoint alone, or use a new DATAHUB_CONSUMER_GROUP",
        )),
    }
}

fn same_server(one: &ServerIdentity, two: &ServerIdentity) -> bool {
    one.server_uuid == two.server_uuid && (!one.server_uuid.is_empty() || one.server_id == two.server_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{FilePosition, Flavour, Position};

    fn at(server_id: u64, file: &str) -> Watermark {
        Watermark {
            position: Position {
                gtid_set: None,
                file: file.parse::<FilePosition>().unwrap(),
                open: None,
                parked: Vec::new(),
            },
            server: ServerIdentity {
                flavour: Flavour::MariaDb,
                server_uuid: String::new(),
                server_id,
            },
        }
    }

    fn saved(file: &str, topic_created_s: Option<u64>) -> Option<Saved> {
        Some(Saved {
            watermark: at(1, file),
            topic_created_s,
            epoch: 3,
        })
    }

    #[test]
    fn the_checkpoint_is_taken_and_without_one_the_latest_watermark() {
        let cases = [
            (None, vec![], None),
            (None, vec![at(1, "b.1:9"), at(1, "b.2:4")], Some(at(1, "b.2:4"))),
            (
                saved("b.1:9", Some(7)),
                vec![at(1, "b.2:5")],
                Some(at(1, "b.1:9")),
            ),
        ];
        for (saved, watermarks, expected) in cases {
            let is_known = !watermarks.is_empty();
            assert_eq!(decide(saved, watermarks, is_known, Some(7), 3), Ok(expected));
        }
    }

    #[test]
    fn a_checkpoint_that_is_further_than_the_topic_counts_unless_that_is_another_one() {
        let behind = [vec![at(1, "b.1:5")], vec![]];
        for (then, now) in [(None, None), (None, Some(7)), (Some(7), None), (Some(7), Some(7))] {
            for watermarks in behind.clone() {
                let is_known = !watermarks.is_empty();
                let begin = decide(saved("b.1:9", then), watermarks, is_known, now, 3);
                assert_eq!(begin, Ok(Some(at(1, "b.1:9"))), "{then:?} {now:?}");
            }
        }
        // Earlier as well as later: a clock may have been set back.
        for (then, now) in [(7, 8), (8, 7)] {
            for watermarks in behind.clone() {
                let begin = decide(saved("b.1:9", Some(then)), watermarks, false, Some(now), 3);
                assert_eq!(begin.unwrap_err().reason.code, "topic_recreated");
            }
        }
    }

    #[test]
    fn a_checkpoint_from_before_another_collector_was_at_work_yields_to_the_topic() {
        for (epoch, expected) in [(2, "b.1:9"), (3, "b.1:9"), (4, "b.2:5")] {
            let begin = decide(
                saved("b.1:9", Some(7)),
                vec![at(1, "b.2:5")],
                true,
                Some(7),
                epoch,
            );
            assert_eq!(begin, Ok(Some(at(1, expected))), "epoch {epoch}");
        }
        // It was not further than this one had been.
        let begin = decide(saved("b.1:9", Some(7)), vec![at(1, "b.1:5")], true, Some(7), 4);
        assert_eq!(begin, Ok(Some(at(1, "b.1:9"))));
    }

    #[test]
    fn contradictions_are_for_a_person() {
        let cases = [
            (
                saved("b.1:9", Some(7)),
                vec![at(2, "b.1:9")],
                "positions_contradict",
            ),
            (None, vec![at(1, "b.1:9"), at(1, "c.1:9")], "positions_contradict"),
            (None, vec![], "topic_without_watermark"),
        ];
        for (saved, watermarks, code) in cases {
            let failure = decide(saved, watermarks, true, Some(7), 3).unwrap_err();
            assert_eq!(failure.reason.code, code);
        }
    }
}
