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
