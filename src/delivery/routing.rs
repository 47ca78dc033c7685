//! Which shard a key belongs to, and when the list of shards is read again.
//!
//! Routes as the service itself does: a key goes to the shard with the greatest begin key that is not above its
//! hash, sealed shards left out. Pure decisions over a list; moving the records is `delivery.rs`.

use std::time::Duration;

use super::lane::Lane;
use crate::record::{Shard, ShardId, ShardState};
use crate::retry::Reason;

/// One shard that takes keys from `begin` up to the next route's begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) shard: ShardId,
    pub(super) begin: u128,
    pub(super) open: bool,
}

/// The shards that keys are dealt to, by begin key.
pub(super) fn routes(shards: &[Shard]) -> Vec<Route> {
    let is_parent_of = |shard: &Shard, state: ShardState| {
        shards
            .iter()
            .any(|child| child.state == state && child.parents.contains(&shard.id))
    };
    let has_active_parent = |shard: &Shard| {
        shards
            .iter()
            .any(|other| other.state == ShardState::Active && shard.parents.contains(&other.id))
    };
    // While a split or merge is under way a list may show both generations: the parents count as long as no
    // child takes records, the children from then on.
    let takes_keys = |shard: &&Shard| match shard.state {
        ShardState::Active => !is_parent_of(shard, ShardState::Active),
        ShardState::Opening => !has_active_parent(shard),
        ShardState::Closed => false,
    };
    let mut routes: Vec<Route> = shards
        .iter()
        .filter(takes_keys)
        .map(|shard| Route {
            shard: ShardId::clone(&shard.id),
            begin: shard.begin,
            open: shard.state == ShardState::Active,
        })
        .collect();
    routes.sort_by_key(|route| (route.begin, !route.open));
    routes.dedup_by_key(|route| route.begin);
    routes
}

/// The lane that takes this hash; `None` below the first begin key, and where there is no lane.
pub(super) fn lane_of(lanes: &[Lane], hash_key: u128) -> Option<usize> {
    lanes
        .partition_point(|lane| lane.begin <= hash_key)
        .checked_sub(1)
}

/// Whether the lane at `index` keeps exactly its keys under `routes`.
pub(super) fn keeps_its_keys(lanes: &[Lane], index: usize, routes: &[Route]) -> bool {
    let Some(lane) = lanes.get(index) else {
        return false;
    };
    let own_end = lanes.get(index + 1).map(|next| next.begin);
    let at = routes
        .iter()
        .position(|route| route.shard == lane.shard && route.begin == lane.begin);
    at.is_some_and(|at| routes.get(at + 1).map(|next| next.begin) == own_end)
}

/// When to list the shards: at the start, now and then, and when the service says that they have changed.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    running: bool,
    /// Somebody asked while a listing was running, which may be older than what made them ask.
    again: bool,
    next_at: Duration,
    pub(super) failures: u32,
    pub(super) last_failure: Option<Reason>,
    /// Listings in a row that left keys without a shard that takes records.
    pub(super) unsettled: u32,
}

impl Refresh {
    /// When the next listing is due, unless one is running.
    pub(super) fn due_at(&self) -> Option<Duration> {
        (!self.running).then_some(self.next_at)
    }

    /// Asks for a listing as soon as possible.
    pub(super) fn request(&mut self) {
        self.again = self.running;
        // A failing listing keeps its pace: asking more often would not make it succeed.
        if self.failures == 0 {
            self.next_at = Duration::ZERO;
        }
    }

    pub(super) fn started(&mut self) {
        self.running = true;
    }

    pub(super) fn succeeded(&mut self, next_at: Duration) {
        self.running = false;
        self.failures = 0;
        self.next_at = if std::mem::take(&mut self.again) {
            Duration::ZERO
        } else {
            next_at
        };
    }

    pub(super) fn failed(&mut self, reason: Reason, retry_at: Duration) {
        self.running = false;
        self.again = false;
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(reason);
        self.next_at = retry_at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, state: ShardState, begin: u128, parents: &[&str]) -> Shard {
        Shard {
            id: ShardId::from(id),
            state,
            begin,
            end: u128::MAX,
            parents: parents.iter().copied().map(ShardId::from).collect(),
        }
    }

    fn chosen(shards: &[Shard]) -> Vec<(String, bool)> {
        let routes = routes(shards);
        routes.iter().map(|r| (r.shard.to_string(), r.open)).collect()
    }

    #[test]
    fn a_split_moves_keys_only_once_its_children_take_records() {
        use ShardState::{Active, Closed, Opening};
        let split = |parent, left, right| {
            chosen(&[
                shard("0", parent, 0, &[]),
                shard("1", Active, 50, &[]),
                shard("2", left, 0, &["0"]),
                shard("3", right, 25, &["0"]),
            ])
        };
        let named = |names: &[(&str, bool)]| -> Vec<(String, bool)> {
            names.iter().map(|(id, open)| ((*id).to_owned(), *open)).collect()
        };
        let before = named(&[("0", true), ("1", true)]);
        assert_eq!(split(Active, Opening, Opening), before);
        let half = named(&[("2", true), ("3", false), ("1", true)]);
        assert_eq!(split(Closed, Active, Opening), half);
        let after = named(&[("2", true), ("3", true), ("1", true)]);
        assert_eq!(split(Closed, Active, Active), after);
        assert_eq!(split(Active, Active, Active), after, "a stale parent state");
    }

    #[test]
    fn a_key_goes_to_the_greatest_begin_that_is_not_above_it() {
        let lanes = [Lane::new("0".into(), 10, true), Lane::new("1".into(), 20, true)];
        let cases = [
            (9, None),
            (10, Some(0)),
            (19, Some(0)),
            (20, Some(1)),
            (u128::MAX, Some(1)),
        ];
        for (hash, lane) in cases {
            assert_eq!(lane_of(&lanes, hash), lane, "{hash}");
        }
        assert_eq!(lane_of(&[], 5), None);
    }

    #[test]
    fn i4_a_lane_keeps_its_keys_only_if_both_ends_of_its_range_stay() {
        let lanes = [Lane::new("0".into(), 0, true), Lane::new("1".into(), 50, true)];
        let keeps = |shards: &[Shard]| [0, 1].map(|at| keeps_its_keys(&lanes, at, &routes(shards)));
        let active = |id, begin| shard(id, ShardState::Active, begin, &[]);
        assert_eq!(keeps(&[active("0", 0), active("1", 50)]), [true, true]);
        assert_eq!(
            keeps(&[active("0", 0), active("2", 50), active("3", 75)]),
            [true, false]
        );
        assert_eq!(
            keeps(&[active("2", 0), active("3", 25), active("1", 50)]),
            [false, true]
        );
        assert_eq!(keeps(&[active("0", 0)]), [false, false]);
    }
}
