//! What the core does about dead letters: burying what waits behind a fence, and the requests of a person.
//!
//! A request is carried out step by step, one at a time: the letters of a round are read, sent in front of their lanes'
//! rows, and taken out of the file; or letters are given up. A letter that is refused again stays, and with it those of
//! its key that follow. A request that is interrupted is made again by whoever made it: nothing of it is remembered.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::lane::Stage;
use super::letters::{Phase, Round, Step, Work, Write, key_fenced};
use super::{Core, Effect, routing};
use crate::record::letter::{Action, REPORTED_REFUSALS, Report, Request, Selection, Wanted};
use crate::record::{Key, Record, Seq, Turn};
use crate::retry::{Disposition, Failure, Reason};

/// The part of the budget that letters may take in memory, on top of it.
const ROUND_PART: usize = 4;
/// Each round rewrites the file: larger ones write less, but from here on that buys little.
const LARGEST_ROUND_BYTES: usize = 16 << 20;

impl Core {
    /// Takes the keys of the letters that are in the file, and how many each has. To be told before the first chunk.
    pub fn handle_fences(&mut self, keys: impl IntoIterator<Item = (Key, u64)>) {
        for (key, letters) in keys {
            self.letters.add(key, letters);
        }
    }

    /// Whether a request may be made: no other one is being carried out, and the run goes on.
    pub fn takes_requests(&self) -> bool {
        !self.letters.is_at_work() && !self.draining && self.halted.is_none()
    }

    /// Whether there are letters that a request could be about.
    pub fn has_letters(&self) -> bool {
        !self.letters.fences.is_empty()
    }

    /// Takes a person's request; its report comes as [`Effect::Report`]. It is not there if the run ends before.
    ///
    /// # Panics
    /// If another one is being carried out.
    pub fn handle_request(&mut self, now: Duration, request: Request) {
        assert!(!self.letters.is_at_work(), "one request at a time");
        let all = || self.letters.fences.keys();
        let wanted = match &request.selection {
            Selection::Id(id) => Wanted::UpTo(id.clone()),
            Selection::Key(hash) => Wanted::Keys(Arc::new(
                all().filter(|key| key.hash_text() == *hash).cloned().collect(),
            )),
            Selection::All => Wanted::Keys(Arc::new(all().cloned().collect())),
        };
        let step = match &request.action {
            Action::Replay => Step::Read,
            Action::Discard { reason } => Step::Discard(reason.clone()),
        };
        self.letters.work = Some(Work {
            request,
            wanted,
            phase: Phase::Due(step, now),
            failures: 0,
            report: Report::default(),
        });
        self.advance(now);
    }

    /// Takes the answer to [`Effect::ReadLetters`]: the letters in their order, or none if nothing is left.
    ///
    /// # Panics
    /// If nothing was to be read.
    pub fn handle_letters(&mut self, now: Duration, read: Result<Vec<Record>, Failure>) {
        match read {
            Ok(letters) if letters.is_empty() || self.draining || self.halted.is_some() => {
                if letters.is_empty() {
                    self.report();
                } else {
                    self.letters.work = None;
                }
            }
            Ok(letters) => {
                let numbered = letters.into_iter().zip(0..).map(|(letter, seq)| Record {
                    seq,
                    turn: Turn::Letter,
                    ..letter
                });
                let pending: Vec<Record> = numbered.collect();
                self.letters.held = pending.iter().map(|letter| letter.hash_key).collect();
                let work = self.work();
                work.failures = 0;
                work.phase = Phase::Sending(Round {
                    pending,
                    ..Round::default()
                });
            }
            Err(failure) => self.step_failed(now, Step::Read, failure),
        }
        self.advance(now);
    }

    /// Takes the answer to [`Effect::RemoveLetters`].
    ///
    /// # Panics
    /// If nothing was to be removed.
    pub fn handle_removed(&mut self, now: Duration, done: Result<(), Failure>) {
        let Phase::Running(Step::Remove(sent)) =
            std::mem::replace(&mut self.work().phase, Phase::Due(Step::Read, now))
        else {
            panic!("letters were removed that nobody wanted removed");
        };
        match done {
            Ok(()) => {
                self.work().failures = 0;
                for letter in &sent {
                    self.letters.remove(&letter.key(), 1);
                }
                self.letters.held.clear();
                self.room(now);
                self.next_round();
            }
            Err(failure) => self.step_failed(now, Step::Remove(sent), failure),
        }
        self.advance(now);
    }

    /// Takes the answer to [`Effect::DiscardLetters`]: how many letters are gone, and how many each key has now.
    ///
    /// # Panics
    /// If nothing was to be discarded.
    pub fn handle_discarded(&mut self, now: Duration, done: Result<(u64, HashMap<Key, u64>), Failure>) {
        match done {
            Ok((gone, left)) => {
                self.work().report.discarded = gone;
                self.letters.discarded = self.letters.discarded.saturating_add(gone);
                // A try that failed may have done it all the same: only the file knows.
                self.letters.forget();
                self.handle_fences(left);
                self.room(now);
                self.report();
            }
            Err(failure) => {
                let Phase::Running(step) =
                    std::mem::replace(&mut self.work().phase, Phase::Due(Step::Read, now))
                else {
                    panic!("letters were discarded that nobody wanted discarded");
                };
                self.step_failed(now, step, failure);
            }
        }
        self.advance(now);
    }

    /// Takes the answer to rows that were written behind a fence; whether it was about such.
    pub(super) fn fenced_written(&mut self, now: Duration, seq: Seq, done: &Result<(), Failure>) -> bool {
        let Write::Running(rows) = &self.letters.write else {
            return false;
        };
        if rows.first() != Some(&seq) {
            return false;
        }
        let rows = rows.clone();
        match done {
            Ok(()) => {
                for seq in &rows {
                    if let Some(record) = self.letters.waiting.remove(seq) {
                        self.letters.add(record.key(), 1);
                        self.held_bytes = self.held_bytes.saturating_sub(record.cost());
                        self.counts.dead_lettered = self.counts.dead_lettered.saturating_add(1);
                    }
                }
                self.ledger.resolve(rows.into_iter());
                self.letters.write = Write::Idle;
                self.letters.failures = 0;
            }
            Err(failure) => {
                let wait = self.wait(self.letters.failures, failure);
                self.letters.failures = self.letters.failures.saturating_add(1);
                self.letters.last_failure = Some(failure.reason.clone());
                self.letters.write = Write::Retry(now.saturating_add(wait));
            }
        }
        true
    }

    /// A record of the lane is among the dead letters now: what the lane has of its key waits behind it.
    pub(super) fn close_fence(&mut self, at: usize, key: Key) {
        self.letters.add(key, 1);
        let letters = &self.letters;
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        for record in lane.take(|record| letters.fences(record)) {
            self.letters.hold(record);
        }
    }

    /// The topic has these letters.
    pub(super) fn letters_stored(&mut self, letters: Vec<Record>) {
        let count = u64::try_from(letters.len()).unwrap_or(u64::MAX);
        self.letters.replayed = self.letters.replayed.saturating_add(count);
        if let Some(work) = &mut self.letters.work {
            work.report.replayed = work.report.replayed.saturating_add(count);
            if let Phase::Sending(round) = &mut work.phase {
                round.delivered.extend(letters);
            }
        }
    }

    /// The lane's first record is a letter that was refused again: it stays in the file, and with it what follows of
    /// its key.
    pub(super) fn letter_refused(&mut self, at: usize, reason: &Reason) {
        let Some((key, id)) = self
            .lanes
            .get(at)
            .and_then(|lane| lane.first())
            .map(|letter| (letter.key(), letter.id.to_string()))
        else {
            return;
        };
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.take(|record| record.is_letter() && record.key().meets(&key));
        }
        let Some(work) = &mut self.letters.work else {
            return;
        };
        if work.report.refused.len() < REPORTED_REFUSALS {
            work.report.refused.push(format!("{id}: {reason}"));
        }
        if let Phase::Sending(round) = &mut work.phase {
            round.pending.retain(|letter| !letter.key().meets(&key));
            round.refused.insert(key);
        }
    }

    /// Puts letters that have no lane any more back to those that wait for one.
    pub(super) fn letters_return(&mut self, letters: Vec<Record>) {
        if let Some(work) = &mut self.letters.work
            && let Phase::Sending(round) = &mut work.phase
        {
            round.pending.extend(letters);
            round.pending.sort_by_key(|letter| letter.seq);
        }
    }

    /// Does what is due about letters, before the lanes have their turn.
    pub(super) fn drive_letters(&mut self, now: Duration) {
        self.drive_round(now);
        self.drive_work(now);
        if self.halted.is_none() {
            self.drive_fenced(now);
        }
    }

    /// Whether anything is being appended to the file.
    fn is_appending(&self) -> bool {
        let burying = |stage: &Stage| matches!(stage, Stage::Burying { retry: None, .. });
        self.letters.is_writing() || self.lanes.iter().any(|lane| burying(&lane.stage))
    }

    /// Gives letters to the lanes that take them, and ends the round when all are settled.
    fn drive_round(&mut self, now: Duration) {
        let halted = self.halted.is_some();
        let Some(work) = &mut self.letters.work else {
            return;
        };
        let Phase::Sending(round) = &mut work.phase else {
            return;
        };
        if halted {
            // Nothing is sent any more: what has not left stays where it is.
            round.pending.clear();
        }
        for at in 0..self.lanes.len() {
            if round.pending.is_empty() || !self.lanes.get(at).is_some_and(super::lane::Lane::takes_letters) {
                continue;
            }
            let of_lane = |letter: &Record| routing::lane_of(&self.lanes, letter.hash_key) == Some(at);
            let (letters, pending): (Vec<Record>, Vec<Record>) =
                std::mem::take(&mut round.pending).into_iter().partition(of_lane);
            round.pending = pending;
            if let Some(lane) = self.lanes.get_mut(at).filter(|_| !letters.is_empty()) {
                if self.memory.brings(&letters, &lane.shard) {
                    lane.falls_behind();
                }
                lane.push_letters(letters);
            }
        }
        let on_their_way = self
            .lanes
            .iter()
            .any(|lane| lane.letters() > 0 && (!halted || lane.is_unanswered()));
        if !round.pending.is_empty() || on_their_way {
            return;
        }
        if let Wanted::Keys(keys) = &mut work.wanted {
            let refused = std::mem::take(&mut round.refused);
            let hashes: HashSet<u128> = refused.iter().map(|key| key.hash).collect();
            let stays =
                |key: &&Key| hashes.contains(&key.hash) && refused.iter().any(|other| other.meets(key));
            *keys = Arc::new(keys.iter().filter(|key| !stays(key)).cloned().collect());
        } else if !round.refused.is_empty() {
            work.wanted = Wanted::Keys(Arc::default());
        }
        let sent = std::mem::take(&mut round.delivered);
        if sent.is_empty() {
            self.letters.held.clear();
            work.phase = Phase::Due(Step::Read, now);
            self.next_round();
        } else {
            work.phase = Phase::Due(Step::Remove(sent), now);
        }
    }

    /// After a round: the next one, unless the run ends.
    fn next_round(&mut self) {
        if self.draining || self.halted.is_some() {
            self.letters.work = None;
        }
    }

    /// Starts the step that is due, once nothing is being appended.
    fn drive_work(&mut self, now: Duration) {
        let ending = self.draining || self.halted.is_some();
        let appending = self.is_appending();
        let Some(work) = &mut self.letters.work else {
            return;
        };
        let step = match &work.phase {
            Phase::Due(step, at) if *at <= now => step.clone(),
            Phase::Claimed(step) => step.clone(),
            Phase::Due(..) | Phase::Running(_) | Phase::Sending(_) => return,
        };
        if ending && !matches!(step, Step::Remove(_)) {
            // It is made again in the next run.
            self.letters.work = None;
            return;
        }
        if appending {
            work.phase = Phase::Claimed(step);
            return;
        }
        let effect = match &step {
            Step::Read => Effect::ReadLetters {
                wanted: work.wanted.clone(),
                bytes: (self.settings.budget_bytes / ROUND_PART).min(LARGEST_ROUND_BYTES),
            },
            Step::Remove(sent) => {
                Effect::RemoveLetters(sent.iter().map(|letter| letter.id.to_string()).collect())
            }
            Step::Discard(reason) => Effect::DiscardLetters {
                selection: work.request.selection.clone(),
                reason: reason.clone(),
            },
        };
        work.phase = Phase::Running(step);
        self.effects.push_back(effect);
    }

    /// Writes what waits behind fences, as much as one request would take.
    fn drive_fenced(&mut self, now: Duration) {
        if self.letters.claims_file() {
            return;
        }
        match self.letters.write {
            Write::Running(_) => return,
            Write::Retry(at) if at > now => return,
            Write::Retry(_) | Write::Idle => {}
        }
        let rows = self.letters.writable(self.limits());
        if rows.is_empty() {
            self.letters.write = Write::Idle;
            return;
        }
        self.letters.write = Write::Running(rows.iter().map(|row| row.seq).collect());
        self.effects.push_back(Effect::DeadLetter {
            records: rows.into(),
            reason: key_fenced(),
        });
    }

    /// Letters have left the file: what waited for room is tried at once, and rows whose fence has fallen go on.
    fn room(&mut self, now: Duration) {
        if let Write::Retry(at) = &mut self.letters.write {
            *at = now;
        }
        for lane in &mut self.lanes {
            if let Stage::Burying { retry: Some(at), .. } = &mut lane.stage {
                *at = now;
            }
        }
        let letters = &self.letters;
        let free: Vec<Seq> = letters
            .waiting
            .values()
            .filter(|row| !letters.fences(row))
            .map(|row| row.seq)
            .collect();
        for seq in free {
            if let Some(row) = self.letters.waiting.remove(&seq) {
                let turn = Turn::Late;
                self.deal(now, Record { turn, ..row });
            }
        }
    }

    fn work(&mut self) -> &mut Work {
        self.letters
            .work
            .as_mut()
            .expect("an answer belongs to a request that is being carried out")
    }

    /// A step failed: it is repeated, or the request ends with the reason.
    fn step_failed(&mut self, now: Duration, step: Step, failure: Failure) {
        let failures = self.work().failures;
        let wait = self.wait(failures, &failure);
        // What the topic has must leave the file, however long that takes.
        let fatal =
            matches!(failure.disposition, Disposition::Halt { .. }) && !matches!(step, Step::Remove(_));
        let work = self.work();
        if fatal {
            work.report.failure = Some(failure.reason.to_string());
            self.report();
        } else {
            work.failures = work.failures.saturating_add(1);
            work.phase = Phase::Due(step, now.saturating_add(wait));
        }
    }

    /// The request is carried out.
    fn report(&mut self) {
        if let Some(work) = self.letters.work.take() {
            self.letters.held.clear();
            self.effects.push_back(Effect::Report {
                request: work.request,
                report: work.report,
            });
        }
    }
}
