use std::time::Duration;

use super::*;

fn options() -> Options {
    Options {
        shard_guard: Duration::from_secs(5),
        ..Options::default()
    }
}

fn at(options: &Options, seconds: u64) -> Moment<'_> {
    Moment {
        us: seconds * 1_000_000,
        options,
    }
}

fn topic(options: &Options, shards: u32) -> Topic {
    Topic::new("p", "t", RecordKind::Blob, shards, at(options, 100))
}

#[test]
fn a_split_seals_the_parent_and_keeps_it_listed() {
    let options = options();
    let mut topic = topic(&options, 2);
    let early = topic.split("0", None, at(&options, 104)).unwrap_err();
    assert_eq!(early.code, "LimitExceeded");
    let now = at(&options, 105);
    let answer = topic.split("0", None, now).unwrap();
    assert_eq!(
        answer["NewShards"][0]["EndHashKey"],
        "3FFFFFFFFFFFFFFFBFFFFFFFFFFFFFFF"
    );
    assert_eq!(answer["NewShards"][1]["ShardId"], "3");
    let list = topic.list_shards(now);
    let states: Vec<_> = list["Shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["State"].clone())
        .collect();
    assert_eq!(states, ["CLOSED", "ACTIVE", "ACTIVE", "ACTIVE"]);
    assert_eq!(list["Shards"][2]["ParentShardIds"][0], "0");
    assert_eq!(list["Shards"][1]["LeftShardId"], "3");
    assert_eq!(
        topic.split("0", None, now).unwrap_err().code,
        "InvalidShardOperation"
    );
    assert_eq!(topic.split("9", None, now).unwrap_err().code, "NoSuchShard");
    assert_eq!(topic.split("x", None, now).unwrap_err().code, "InvalidShardId");
}

#[test]
fn split_keys_lie_strictly_inside() {
    let options = options();
    let mut topic = topic(&options, 2);
    let now = at(&options, 200);
    for key in [
        "0",
        "7FFFFFFFFFFFFFFF7FFFFFFFFFFFFFFF",
        "F0000000000000000000000000000000",
        "zz",
        "",
    ] {
        assert_eq!(
            topic.split("0", Some(key), now).unwrap_err().code,
            "InvalidParameter",
            "{key}"
        );
    }
    topic.split("0", Some("1"), now).unwrap();
    assert_eq!(topic.route(0), Some(2));
    assert_eq!(topic.route(1), Some(3));
    assert_eq!(topic.route(u128::MAX), Some(1));
}

#[test]
fn neighbours_merge_in_either_order() {
    let options = options();
    let mut topic = topic(&options, 3);
    let now = at(&options, 200);
    assert_eq!(topic.merge("0", "2", now).unwrap_err().code, "InvalidParameter");
    assert_eq!(topic.merge("0", "0", now).unwrap_err().code, "InvalidParameter");
    assert_eq!(topic.merge("0", "7", now).unwrap_err().code, "NoSuchShard");
    let answer = topic.merge("1", "0", now).unwrap();
    assert_eq!(answer["ShardId"], "3");
    assert_eq!(answer["BeginHashKey"], "0".repeat(32));
    assert_eq!(answer["EndHashKey"], "A".repeat(32));
    assert_eq!(
        topic.merge("0", "1", now).unwrap_err().code,
        "InvalidShardOperation"
    );
    assert_eq!(topic.route(5), Some(3));
}

#[test]
fn extend_mode_only_adds() {
    let options = options();
    let mut topic = topic(&options, 2);
    let now = at(&options, 200);
    assert_eq!(topic.extend_to(3, now).unwrap_err().code, "OperationDenied");
    topic.extend = true;
    topic.extend_to(4, now).unwrap();
    assert_eq!(topic.shards.len(), 4);
    assert!(topic.extend_to(4, now).is_err());
    assert!(topic.split("0", None, now).is_err());
    assert!(topic.extend_to(usize::MAX, now).is_err());
}
