//! The dead-letter file, and the person who has letters replayed or gives them up.

use std::collections::HashMap;

use cdc_collector::delivery::{Core, KEY_FENCED, Stored};
use cdc_collector::record::letter::{Action, Request, Selection, Wanted};
use cdc_collector::record::{Key, Record};
use cdc_collector::retry::Failure;

use super::world::{Event, World};

/// What the core asks of the file as a whole.
pub(super) enum LetterCall {
    Read(Wanted, usize),
    Remove(Vec<String>),
    Discard(Selection),
}

impl World {
    /// Where a run begins, and what it knows of the topic and of the file. A replay that was cut short is finished.
    pub(super) fn remembers(&mut self) -> (usize, Stored) {
        let (start, mut found) = self.read_back();
        let (out, file): (Vec<Record>, Vec<Record>) = std::mem::take(&mut self.file)
            .into_iter()
            .partition(|letter| found.contains(&letter.id));
        self.file = file;
        for letter in out {
            let row = self.oracle.row_of(&letter);
            self.oracle.removed(row);
        }
        found
            .aside
            .extend(self.oracle.put_aside(start).map(|record| record.id.clone()));
        (start, found)
    }

    /// How many letters each key has.
    pub(super) fn fences(&self) -> HashMap<Key, u64> {
        let mut fences = HashMap::new();
        for letter in &self.file {
            *fences.entry(letter.key()).or_insert(0) += 1;
        }
        fences
    }

    /// Records may go to the file for two reasons.
    pub(super) fn may_be_buried(&mut self, records: &[Record], code: &str) {
        for record in records {
            let row = self.oracle.row_of(record);
            if code == KEY_FENCED {
                self.tally.fenced += 1;
                // A discard that failed may have emptied the file all the same: until it is repeated, nobody knows.
                let action = self.request.as_ref().map(|request| &request.action);
                let unsure = matches!(action, Some(Action::Discard { .. }));
                let is_fenced = self.oracle.is_fenced(row);
                assert!(unsure || is_fenced, "row {row} waits for nothing");
            } else {
                assert!(self.ever_poison.contains(&row), "row {row} is buried alive");
            }
        }
    }

    pub(super) fn append(&mut self, records: &[Record]) {
        for record in records {
            let row = self.oracle.row_of(record);
            self.oracle.buried(row);
            self.file.push(record.clone());
        }
    }

    pub(super) fn call(&mut self, call: LetterCall) {
        let good = !self.chance(self.weather.disk);
        self.after(1..80, Event::Letters(call, good));
    }

    /// Makes a request, or the one that an earlier run has not carried out.
    pub(super) fn ask(&mut self, core: &mut Core) {
        if !core.takes_requests() {
            return;
        }
        let request = match self.request.take() {
            Some(request) => request,
            None => match self.any_request() {
                Some(request) => request,
                None => return,
            },
        };
        self.request = Some(request.clone());
        core.handle_request(self.now, request);
    }

    fn any_request(&mut self) -> Option<Request> {
        let letter = self.rng.choice(&self.file)?;
        let (id, hash) = (letter.id.to_string(), letter.key().hash_text());
        Some(Request {
            id: "1".to_owned(),
            selection: match self.rng.u32(..3) {
                0 => Selection::Id(id),
                1 => Selection::Key(hash),
                _ => Selection::All,
            },
            action: if self.rng.u32(..4) == 0 {
                let reason = "a person's".to_owned();
                Action::Discard { reason }
            } else {
                Action::Replay
            },
        })
    }

    /// The letters that are meant, in order.
    fn read(&self, wanted: &Wanted, bytes: usize) -> Vec<Record> {
        let meant: Vec<&Record> = match wanted {
            Wanted::Keys(keys) => self.file.iter().filter(|l| keys.contains(&l.key())).collect(),
            Wanted::UpTo(id) => {
                let Some(last) = self.file.iter().position(|l| l.id.to_string() == *id) else {
                    return Vec::new();
                };
                let key = self.file[last].key();
                self.file[..=last].iter().filter(|l| l.key() == key).collect()
            }
        };
        let mut size = 0;
        let mut fits = |letter: &Record| {
            let is_first = size == 0;
            size += letter.cost();
            is_first || size <= bytes
        };
        meant
            .into_iter()
            .take_while(|letter| fits(letter))
            .cloned()
            .collect()
    }

    /// What a call does to the file; how many letters left.
    pub(super) fn change_file(&mut self, call: &LetterCall) -> u64 {
        let leaves = |letter: &Record| match call {
            LetterCall::Read(..) => false,
            LetterCall::Remove(ids) => ids.contains(&letter.id.to_string()),
            LetterCall::Discard(Selection::Id(id)) => letter.id.to_string() == *id,
            LetterCall::Discard(Selection::Key(hash)) => letter.key().hash_text() == *hash,
            LetterCall::Discard(Selection::All) => true,
        };
        let (out, file): (Vec<Record>, Vec<Record>) =
            std::mem::take(&mut self.file).into_iter().partition(leaves);
        self.file = file;
        for letter in &out {
            let row = self.oracle.row_of(letter);
            if let LetterCall::Remove(_) = call {
                self.tally.replayed += 1;
                self.oracle.removed(row);
            } else {
                self.tally.discarded += 1;
                self.oracle.discarded(row);
            }
        }
        u64::try_from(out.len()).unwrap()
    }

    pub(super) fn answer_letters(&mut self, core: &mut Core, call: LetterCall, good: bool) {
        let failed = || Failure::retry("disk_full", "no space left");
        // What fails may have reached the disk all the same.
        let changed = if good || self.rng.u32(..4) == 0 {
            self.change_file(&call)
        } else {
            0
        };
        match call {
            LetterCall::Read(wanted, bytes) => {
                let letters = self.read(&wanted, bytes);
                core.handle_letters(self.now, if good { Ok(letters) } else { Err(failed()) });
            }
            LetterCall::Remove(_) => {
                core.handle_removed(self.now, if good { Ok(()) } else { Err(failed()) });
            }
            LetterCall::Discard(_) => {
                let done = (changed, self.fences());
                core.handle_discarded(self.now, if good { Ok(done) } else { Err(failed()) });
            }
        }
    }
}
