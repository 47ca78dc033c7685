//! Where a run begins: from the checkpoint file and from what the topic says. Pure.
//!
//! Both are lower bounds of what the topic holds. The checkpoint goes first even where the topic is further: what is kept
//! beside it, the definitions of tables, reaches as far as it does and no further. Without a checkpoint the latest
//! watermark counts. Where they cannot be compared, or where the topic is not the one that the checkpoint speaks of,
//! nothing is guessed.

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
}

/// The point to begin at; `None` where nothing is known and the configured start applies.
///
/// `watermarks` are the group's newest, one a shard; `created_s` is when the topic was created.
///
/// # Errors
/// A halt where the sources contradict each other.
pub fn decide(
    saved: Option<Saved>,
    watermarks: Vec<Watermark>,
    created_s: Option<u64>,
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
            later(saved.watermark.clone(), latest, "the checkpoint and the topic")?;
            Ok(Some(saved.watermark))
        }
        (Some(saved), None) => Ok(Some(saved.watermark)),
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
        })
    }

    #[test]
    fn the_checkpoint_is_taken_and_without_one_the_latest_watermark() {
        let cases = [
            (None, vec![], None),
            (None, vec![at(1, "b.1:9"), at(1, "b.2:4")], Some(at(1, "b.2:4"))),
            (saved("b.1:9", None), vec![], Some(at(1, "b.1:9"))),
            (
                saved("b.1:9", Some(7)),
                vec![at(1, "b.1:5")],
                Some(at(1, "b.1:9")),
            ),
            (
                saved("b.1:9", Some(7)),
                vec![at(1, "b.2:5")],
                Some(at(1, "b.1:9")),
            ),
        ];
        for (saved, watermarks, expected) in cases {
            assert_eq!(decide(saved, watermarks, Some(7)), Ok(expected));
        }
    }

    #[test]
    fn contradictions_are_for_a_person() {
        let cases = [
            (saved("b.1:9", Some(6)), vec![], "topic_recreated"),
            (
                saved("b.1:9", Some(7)),
                vec![at(2, "b.1:9")],
                "positions_contradict",
            ),
            (None, vec![at(1, "b.1:9"), at(1, "c.1:9")], "positions_contradict"),
        ];
        for (saved, watermarks, code) in cases {
            assert_eq!(decide(saved, watermarks, Some(7)).unwrap_err().reason.code, code);
        }
    }
}
