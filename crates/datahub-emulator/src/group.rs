//! Consumer groups: who reads which shard.
//!
//! Shards are dealt out in turn to the members in order of joining. A shard changes hands only after its holder
//! let go of it (or is gone), and a child of a split or merge is dealt out once its parents were read to the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::subscription;
use crate::topic::{Moment, Topic};

const DEFAULT_TIMEOUT_MS: u64 = 60_000;

#[derive(Debug)]
struct Member {
    last_seen_ms: u64,
    timeout_ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    /// By order of joining.
    members: BTreeMap<u64, Member>,
    joined: u64,
    /// Which member was last told to read a shard and has not let go of it.
    holders: BTreeMap<u32, u64>,
    read_to_end: BTreeSet<u32>,
    plan: u64,
}

/// Answers a group call of a subscription.
pub(crate) fn handle(
    topic: &mut Topic,
    id: &str,
    request: &Value,
    now: Moment<'_>,
) -> Result<Value, Refusal> {
    let shards: Vec<(u32, Vec<u32>)> = topic.shards.iter().map(|s| (s.id, s.parents.clone())).collect();
    let subscription = subscription::find(topic, id)?;
    if !subscription.online {
        return Err(Refusal::new(
            "SubscriptionOffline",
            "The subscription is switched off.",
        ));
    }
    let group = &mut subscription.group;
    group.expire(now.ms());
    let action = request
        .get("Action")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if action == "joingroup" {
        let timeout = request
            .get("SessionTimeout")
            .and_then(Value::as_u64)
            .unwrap_or(DEFAULT_TIMEOUT_MS);
        let number = group.join(timeout, now.ms());
        return Ok(
            json!({"ConsumerId": format!("{id}-{number}"), "VersionId": 1, "SessionTimeout": timeout}),
        );
    }
    let member = group.member(request, now.ms())?;
    for shard in numbers(request, "ReadEndShardList") {
        group.read_to_end.insert(shard);
        group.holders.remove(&shard);
    }
    match action.as_str() {
        "heartbeat" => {
            let mine = group.assigned(member, &shards);
            let mine: Vec<String> = mine.iter().map(u32::to_string).collect();
            let plan = format!("{:?}", group.holders);
            Ok(json!({"PlanVersion": group.plan, "ShardList": mine, "TotalPlan": plan}))
        }
        "syncgroup" => {
            for shard in numbers(request, "ReleaseShardList") {
                group.release(shard, member);
            }
            Ok(json!({}))
        }
        "leavegroup" => {
            group.leave(member);
            Ok(json!({}))
        }
        _ => Err(Refusal::parameter(format!("Action is invalid: {action}"))),
    }
}

impl Group {
    fn join(&mut self, timeout_ms: u64, now_ms: u64) -> u64 {
        self.joined += 1;
        self.plan += 1;
        self.members.insert(
            self.joined,
            Member {
                last_seen_ms: now_ms,
                timeout_ms,
            },
        );
        self.joined
    }

    fn leave(&mut self, member: u64) {
        self.members.remove(&member);
        self.holders.retain(|_, holder| *holder != member);
        self.plan += 1;
    }

    fn expire(&mut self, now_ms: u64) {
        let gone = |member: &Member| now_ms > member.last_seen_ms.saturating_add(member.timeout_ms);
        let gone: Vec<u64> = self
            .members
            .iter()
            .filter(|(_, member)| gone(member))
            .map(|(number, _)| *number)
            .collect();
        gone.into_iter().for_each(|number| self.leave(number));
    }

    fn release(&mut self, shard: u32, member: u64) {
        if self.holders.get(&shard) == Some(&member) {
            self.holders.remove(&shard);
        }
    }

    /// The member that a request is from; it was seen now.
    fn member(&mut self, request: &Value, now_ms: u64) -> Result<u64, Refusal> {
        let id = request
            .get("ConsumerId")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let number = id
            .rsplit_once('-')
            .and_then(|(_, number)| number.parse::<u64>().ok());
        let member = number.and_then(|number| self.members.get_mut(&number).map(|member| (number, member)));
        let (number, member) = member
            .ok_or_else(|| Refusal::new("NoSuchConsumer", format!("The consumer does not exist: {id}")))?;
        member.last_seen_ms = now_ms;
        Ok(number)
    }

    /// What a member is to read now: its part of the plan, less what others still hold.
    fn assigned(&mut self, member: u64, shards: &[(u32, Vec<u32>)]) -> Vec<u32> {
        let ready = |parents: &[u32]| parents.iter().all(|parent| self.read_to_end.contains(parent));
        let open: Vec<u32> = shards
            .iter()
            .filter(|(id, parents)| !self.read_to_end.contains(id) && ready(parents))
            .map(|(id, _)| *id)
            .collect();
        let order: Vec<u64> = self.members.keys().copied().collect();
        let turn = order.iter().position(|number| *number == member).unwrap_or(0);
        let mut mine = Vec::new();
        for shard in open.into_iter().skip(turn).step_by(order.len().max(1)) {
            if *self.holders.entry(shard).or_insert(member) == member {
                mine.push(shard);
            }
        }
        mine
    }
}

fn numbers(request: &Value, key: &str) -> Vec<u32> {
    let list = request.get(key).and_then(Value::as_array);
    let number = |id: &Value| id.as_str().and_then(|id| id.parse().ok());
    list.map(|ids| ids.iter().filter_map(number).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards() -> Vec<(u32, Vec<u32>)> {
        vec![(0, vec![]), (1, vec![]), (2, vec![0]), (3, vec![0])]
    }

    #[test]
    fn a_shard_changes_hands_only_after_it_was_released() {
        let mut group = Group::default();
        let first = group.join(1000, 0);
        assert_eq!(group.assigned(first, &shards()), [0, 1]);
        let second = group.join(1000, 0);
        assert_eq!(group.assigned(second, &shards()), [] as [u32; 0]);
        assert_eq!(group.assigned(first, &shards()), [0]);
        group.release(1, first);
        assert_eq!(group.assigned(second, &shards()), [1]);
        group.expire(1001);
        assert!(group.members.is_empty() && group.holders.is_empty());
    }

    #[test]
    fn children_come_after_their_parents_end() {
        let mut group = Group::default();
        let member = group.join(1000, 0);
        group.read_to_end.insert(0);
        assert_eq!(group.assigned(member, &shards()), [1, 2, 3]);
    }
}
