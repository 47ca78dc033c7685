//! Cursors: opaque to clients, here a time and a sequence in the shape of the real ones.

use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::shard::Shard;
use crate::topic::{Moment, Topic};

/// `3000`, 8 digits of epoch seconds, 16 digits of sequence, `0000`.
pub(crate) fn text(shard: &Shard, sequence: usize) -> String {
    let time_ms = shard
        .records
        .get(sequence)
        .or(shard.records.last())
        .map_or(0, |r| r.system_time_ms);
    let seconds = (time_ms / 1000) & 0xffff_ffff;
    format!("3000{seconds:08x}{sequence:016x}0000")
}

/// The sequence that a cursor points at; one behind the last record is fine.
pub(crate) fn parse(cursor: &str, shard: &Shard) -> Result<usize, Refusal> {
    let bad = || {
        Refusal::new(
            "InvalidCursor",
            format!("Invalid cursor: {}", cursor.chars().take(64).collect::<String>()),
        )
    };
    let hex = cursor.len() == 32 && cursor.starts_with('3') && cursor.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = cursor.get(12..28).filter(|_| hex).ok_or_else(bad)?;
    let sequence = u64::from_str_radix(digits, 16).map_err(|_| bad())?;
    usize::try_from(sequence)
        .ok()
        .filter(|sequence| (shard.oldest..=shard.records.len()).contains(sequence))
        .ok_or_else(bad)
}

/// Answers a cursor call.
pub(crate) fn seek(topic: &Topic, id: &str, request: &Value, now: Moment<'_>) -> Result<Value, Refusal> {
    let shard = topic.shard(id).map_err(|refusal| match refusal.code.as_str() {
        "InvalidShardId" => Refusal::parameter(refusal.message),
        _ => refusal,
    })?;
    let count = shard.visible(now.us, now.lag_us());
    let kind = request
        .get("Type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_ascii_uppercase();
    let number = |key: &str| {
        request
            .get(key)
            .and_then(Value::as_i64)
            .ok_or_else(|| Refusal::parameter(format!("{key} is missing or invalid")))
    };
    let sequence = match kind.as_str() {
        "OLDEST" => shard.oldest,
        // The newest record itself, not the place behind it, as long as there is one.
        "LATEST" => count.saturating_sub(1).max(shard.oldest),
        "SYSTEM_TIME" => {
            let time = u64::try_from(number("SystemTime")?).unwrap_or(0);
            if time > now.ms() {
                return Err(out_of_range("SystemTime is in the future"));
            }
            shard
                .records
                .partition_point(|record| record.system_time_ms < time)
                .min(count)
                .max(shard.oldest)
        }
        "SEQUENCE" => {
            let wanted = number("Sequence")?;
            let wanted = usize::try_from(wanted)
                .map_err(|_| Refusal::parameter(format!("Invalid sequence: {wanted}")))?;
            if wanted > count {
                return Err(out_of_range(&format!(
                    "Sequence {wanted} is behind the end at {count}"
                )));
            }
            if wanted < shard.oldest {
                return Err(out_of_range(&format!(
                    "The time of sequence {wanted} is over; {} is the oldest",
                    shard.oldest
                )));
            }
            wanted
        }
        _ => return Err(Refusal::parameter(format!("Invalid cursor type: {kind}"))),
    };
    let time = shard
        .records
        .get(sequence)
        .or(shard.records.last())
        .map_or(0, |record| record.system_time_ms);
    Ok(json!({"Cursor": text(shard, sequence), "RecordTime": time, "Sequence": sequence}))
}

fn out_of_range(why: &str) -> Refusal {
    Refusal::new("SeekOutOfRange", format!("Seek out of range: {why}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::options::Options;
    use crate::shard::{Kept, Stored};
    use crate::topic::RecordKind;

    fn topic(options: &Options, records: u64) -> Topic {
        let now = Moment { us: 0, options };
        let mut topic = Topic::new("p", "t", RecordKind::Blob, 1, now);
        for i in 0..records {
            let (system_time_ms, data) = (1000 + 10 * i, Kept::Blob(Bytes::new()));
            let record = Stored {
                system_time_ms,
                arrival_us: 1000 * system_time_ms,
                attributes: Bytes::new(),
                data,
            };
            topic.shards[0].append(record);
        }
        topic
    }

    fn sought(topic: &Topic, request: Value) -> Result<u64, String> {
        let options = Options::default();
        let now = Moment {
            us: 2_000_000,
            options: &options,
        };
        let answer = seek(topic, "0", &request, now).map_err(|refusal| refusal.code)?;
        let cursor = answer["Cursor"].as_str().unwrap();
        assert_eq!(
            parse(cursor, &topic.shards[0]).unwrap() as u64,
            answer["Sequence"].as_u64().unwrap()
        );
        Ok(answer["Sequence"].as_u64().unwrap())
    }

    #[test]
    fn records_whose_time_is_over_cannot_be_found() {
        let options = Options::default();
        let mut topic = topic(&options, 10);
        topic.shards[0].oldest = 8;
        let at = |topic: &Topic, kind: &str| sought(topic, json!({"Type": kind}));
        assert_eq!((at(&topic, "OLDEST"), at(&topic, "LATEST")), (Ok(8), Ok(9)));
        for (sequence, found) in [(7, Err("SeekOutOfRange".into())), (8, Ok(8)), (10, Ok(10))] {
            assert_eq!(
                sought(&topic, json!({"Type": "SEQUENCE", "Sequence": sequence})),
                found
            );
        }
        assert_eq!(
            sought(&topic, json!({"Type": "SYSTEM_TIME", "SystemTime": 1000})),
            Ok(8)
        );
        assert!(parse(&text(&topic.shards[0], 7), &topic.shards[0]).is_err());
        topic.shards[0].oldest = 10;
        assert_eq!((at(&topic, "OLDEST"), at(&topic, "LATEST")), (Ok(10), Ok(10)));
    }

    #[test]
    fn an_empty_shard_has_one_place() {
        let options = Options::default();
        let topic = topic(&options, 0);
        let now = Moment {
            us: 2_000_000,
            options: &options,
        };
        for kind in ["OLDEST", "LATEST"] {
            let answer = seek(&topic, "0", &json!({"Type": kind}), now).unwrap();
            assert_eq!(answer["Cursor"], format!("3{}", "0".repeat(31)));
        }
        assert_eq!(sought(&topic, json!({"Type": "SEQUENCE", "Sequence": 0})), Ok(0));
        assert_eq!(
            sought(&topic, json!({"Type": "SEQUENCE", "Sequence": 1})),
            Err("SeekOutOfRange".into())
        );
    }

    #[test]
    fn every_documented_case() {
        let options = Options::default();
        let topic = topic(&options, 10);
        let time = |ms: u64| json!({"Type": "SYSTEM_TIME", "SystemTime": ms});
        let sequence = |n: i64| json!({"Type": "SEQUENCE", "Sequence": n});
        assert_eq!(sought(&topic, json!({"Type": "OLDEST"})), Ok(0));
        assert_eq!(sought(&topic, json!({"Type": "LATEST"})), Ok(9));
        assert_eq!(sought(&topic, time(1000)), Ok(0));
        assert_eq!(sought(&topic, time(1001)), Ok(1));
        assert_eq!(sought(&topic, time(1091)), Ok(10));
        assert_eq!(sought(&topic, time(2001)), Err("SeekOutOfRange".into()));
        assert_eq!(sought(&topic, sequence(10)), Ok(10));
        assert_eq!(sought(&topic, sequence(11)), Err("SeekOutOfRange".into()));
        assert_eq!(sought(&topic, sequence(-1)), Err("InvalidParameter".into()));
        assert_eq!(
            sought(&topic, json!({"Type": "sideways"})),
            Err("InvalidParameter".into())
        );
        let now = Moment {
            us: 2_000_000,
            options: &options,
        };
        assert_eq!(
            seek(&topic, "4", &json!({"Type": "OLDEST"}), now)
                .unwrap_err()
                .code,
            "NoSuchShard"
        );
        let refusal = seek(&topic, "not_exist_shard", &json!({"Type": "OLDEST"}), now).unwrap_err();
        assert_eq!(refusal.code, "InvalidParameter");
    }

    #[test]
    fn damaged_cursors_are_refused() {
        let options = Options::default();
        let topic = topic(&options, 3);
        for bad in ["", "3", "é", &"4".repeat(32), &"3".repeat(32), &"z".repeat(32)] {
            assert_eq!(
                parse(bad, &topic.shards[0]).unwrap_err().code,
                "InvalidCursor",
                "{bad}"
            );
        }
    }
}
