//! A collector that loses its lease without knowing it, the one that takes over, and what the first does when it
//! wakes up behind it.
//!
//! The lease is kept by the product's own `Tenure`, with questions that are answered late. Each of the two has a
//! volume of its own.

use std::time::Duration;

use cdc_collector::delivery::tenure::Tenure;
use cdc_collector::delivery::{Core, Effect};
use cdc_collector::record::{Batch, Outcome, Probe};
use cdc_collector::sink::lookback::{Lengths, Search};

use super::datahub::GROUP;
use super::world::{Event, World, millis};

/// How often a holder asks whether it still is one.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);

/// Effects that a late riser is followed through at most.
const LAST_STEPS: u32 = 200;

/// The lease of the present run.
#[derive(Default)]
pub(super) struct Lease {
    tenure: Tenure,
    /// Once it is lost: who will have it.
    successor: Option<Successor>,
}

/// The collector that takes over.
struct Successor {
    /// When time stops for the one before it.
    sleeps_at: Duration,
    begins_at: Duration,
    tenure: Tenure,
}

/// A collector that has been replaced and does not know it yet.
pub(super) struct Zombie {
    core: Core,
    tenure: Tenure,
    lengths: Lengths,
    epoch: u64,
    /// What it waited for when time stood still for it.
    events: Vec<Event>,
}

impl Zombie {
    fn may_send(&self, now: Duration) -> bool {
        self.tenure.open_until().is_some_and(|until| now < until)
    }
}

impl World {
    /// The collector that starts has the lease: in the tenure that was waited for, or because no other can be left.
    pub(super) fn takes_lease(&mut self) {
        let Some(successor) = self.lease.successor.take() else {
            self.lease.tenure = Tenure::default();
            self.lease.tenure.granted(self.now, self.now);
            self.lease.tenure.clear();
            return;
        };
        self.tally.takeovers += 1;
        self.now = self.now.max(successor.begins_at);
        self.lease.tenure = successor.tenure;
        // Letters and requests are of the volume they are in: with them it is the one that is taken over.
        if self.file.is_empty() && self.request.is_none() {
            std::mem::swap(&mut self.saved, &mut self.elsewhere);
        }
    }

    /// The database gives the lock to another collector, which begins as soon as it may.
    pub(super) fn loses_lease(&mut self) {
        let asked = self.now.saturating_sub(millis(self.rng.u64(..1_000)));
        self.lease.tenure.confirmed(asked);
        let mut tenure = Tenure::default();
        let asked = self.now + millis(self.rng.u64(..1_500));
        let mut answered = asked + millis(self.rng.u64(..900));
        tenure.granted(asked, answered);
        while !tenure.is_settled() {
            let asked = answered + CONFIRM_EVERY;
            answered = asked + millis(self.rng.u64(..900));
            tenure.confirmed(asked);
        }
        tenure.clear();
        let soon = self.now + millis(self.rng.u64(..300));
        self.lease.successor = Some(Successor {
            sleeps_at: if self.chance(75) {
                soon.min(answered)
            } else {
                answered
            },
            begins_at: answered,
            tenure,
        });
    }

    /// Whether the lease is lost already.
    pub(super) fn is_replaced(&self) -> bool {
        self.lease.successor.is_some()
    }

    /// When time stops for the collector that lost the lease.
    pub(super) fn sleeps_at(&self) -> Option<Duration> {
        Some(self.lease.successor.as_ref()?.sleeps_at)
    }

    /// Whether a put may leave.
    pub(super) fn may_send(&self) -> bool {
        let open = self.lease.tenure.open_until();
        !self.is_replaced() || open.is_some_and(|until| self.now < until)
    }

    /// Time stands still for the collector that is replaced. It will wake up, or never.
    pub(super) fn falls_asleep(&mut self, core: Core) {
        self.zombie = Some(Zombie {
            core,
            tenure: self.lease.tenure.clone(),
            lengths: std::mem::take(&mut self.lengths),
            epoch: self.epoch,
            events: self.take_answers(),
        });
        self.die();
        if let Some(successor) = &self.lease.successor {
            let awake = successor.begins_at + millis(self.rng.u64(..600));
            self.at(awake, Event::WakeUp);
        }
    }

    /// The successor is gone, and the one before it is granted the lock again. It goes on if nobody can have sent since;
    /// else it ends, and the next run is its own.
    pub(super) fn grants_again(&mut self) {
        let now = self.now;
        if let Some(zombie) = &mut self.zombie {
            self.tally.granted_again += 1;
            if !zombie.tenure.granted(now, now) {
                self.zombie = None;
            }
        }
    }

    /// What the one that was replaced does before it finds out.
    pub(super) fn wakes_up(&mut self) {
        let Some(mut zombie) = self.zombie.take() else {
            return;
        };
        self.tally.woken += 1;
        let now = self.now;
        for event in std::mem::take(&mut zombie.events) {
            if let Event::Answer(batch, outcome) = event {
                zombie.core.handle_outcome(now, batch.id, outcome);
            } else if let Event::Probed(batch, probe) = event {
                zombie.core.handle_probe(now, batch.id, probe);
            } else if let Event::Listed(shards) = event {
                zombie.core.handle_shards(now, shards);
            }
        }
        for _ in 0..LAST_STEPS {
            let Some(effect) = zombie.core.poll_effect() else {
                match zombie.core.poll_timeout() {
                    Some(at) => zombie.core.handle_timeout(now.max(at)),
                    None => return,
                }
                continue;
            };
            match effect {
                Effect::Send(batch) => {
                    if !zombie.may_send(now) {
                        self.tally.withheld += 1;
                        return;
                    }
                    self.store(&batch, &batch.records);
                    zombie.core.handle_outcome(now, batch.id, Outcome::Acknowledged);
                }
                Effect::Probe(batch) => {
                    let Some(probe) = self.look_up_as(&mut zombie, &batch) else {
                        self.tally.superseded += 1;
                        return;
                    };
                    zombie.core.handle_probe(now, batch.id, probe);
                }
                Effect::RefreshShards => zombie.core.handle_shards(now, Ok(self.hub.list())),
                Effect::Persist(_) => zombie.core.handle_persisted(now, Ok(())),
                // It has a file of its own, and no more rows.
                Effect::DeadLetter { .. }
                | Effect::ReadLetters { .. }
                | Effect::RemoveLetters(_)
                | Effect::DiscardLetters { .. }
                | Effect::Report { .. }
                | Effect::Finished => return,
            }
        }
    }

    /// What the shard has of the batch; `None` where its records say that another collector is at work.
    fn look_up_as(&mut self, zombie: &mut Zombie, batch: &Batch) -> Option<Probe> {
        let mut search = Search::new(batch, GROUP);
        self.search(&mut zombie.lengths, &mut search, batch);
        (search.epoch() <= zombie.epoch).then(|| search.finding(None).probe)
    }
}
