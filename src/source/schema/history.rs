//! Which definition of a table held where in the binlog. Pure.
//!
//! Serves I6 over restarts: a start in the past finds the definitions that held there, although the server has
//! only the newest ones left. A statement that may change a table leaves a mark, so that a definition is never
//! taken to hold behind it: the history knows what it does not know. It is validated against the table map like
//! any other definition, and decides nothing about failures.
//!
//! It holds for one server's binlog files. Places on another server, or in the files of another OceanBase binlog
//! instance, are told apart by GTID sets, once, when a run begins there ([`History::begin`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::TableDefinition;
use crate::change::TableId;
use crate::position::{FilePosition, GtidSet, Position};

/// Most versions kept of one table. Older ones are only needed to read binlog from before the table's last
/// sixteen changes again.
const MAX_VERSIONS: usize = 16;

/// Most bytes of definitions kept beside the newest one of each table.
const MAX_BYTES: usize = 32 << 20;

/// What a statement's words say that it may do to a table's columns. A hint: it can only lead to more caution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    adds: bool,
    drops: bool,
    reshapes: bool,
}

/// Words of statements after which the same bytes may mean something else.
const RESHAPING: [&[u8]; 8] = [
    b"change",
    b"modify",
    b"rename",
    b"convert",
    b"create",
    b"replace",
    b"character",
    b"primary",
];

impl Touch {
    /// Nothing is known: anything may have happened.
    pub const ANYTHING: Self = Self {
        adds: true,
        drops: true,
        reshapes: true,
    };

    /// Looks for words anywhere in a lower-case statement: one too many costs nothing but caution.
    pub fn of(text: &[u8]) -> Self {
        let has = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
        Self {
            adds: has(b"add"),
            drops: has(b"drop"),
            reshapes: RESHAPING.iter().any(|word| has(word)),
        }
    }

    /// Whether a row that still fits the definition from before must still mean the same: columns were at most
    /// added, or at most dropped, and then their number would be another one.
    pub fn keeps_meaning(self) -> bool {
        !(self.reshapes || self.adds && self.drops)
    }

    fn and(self, other: Self) -> Self {
        Self {
            adds: self.adds || other.adds,
            drops: self.drops || other.drops,
            reshapes: self.reshapes || other.reshapes,
        }
    }
}

/// A place in the binlog while it is being read.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// The file.
    pub file: &'a str,
    /// The offset in it, bytes.
    pub pos: u64,
    /// What was committed before it, where the source has GTIDs.
    pub gtid_set: Option<&'a GtidSet>,
}

impl Point<'_> {
    fn to_position(self) -> Position {
        Position {
            gtid_set: self.gtid_set.cloned(),
            file: FilePosition {
                file: self.file.to_owned(),
                pos: self.pos,
            },
            open: None,
            parked: Vec::new(),
        }
    }
}

/// What held of one table from a place in the binlog on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The place.
    pub since: Position,
    /// The definition; `None` behind a statement that may have changed it, until it is read.
    pub definition: Option<Arc<TableDefinition>>,
    /// The server's clock when it was read, seconds since 1970: it cannot know of changes that came later, and it
    /// may know of changes that are still ahead in the binlog.
    pub read_at: u64,
    /// What was done to the table since the version before.
    pub touch: Touch,
    /// Learnt in front of versions that were known: of what lies between, nothing is known.
    pub loose: bool,
}

/// What the history says of a table at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This definition held there.
    Held(Arc<TableDefinition>),
    /// The next that is known held later, and was read at this time: the nearest there is, as long as the table map
    /// agrees.
    Later(Arc<TableDefinition>, u64),
    /// Nothing is known.
    Nothing,
}

/// How a run begins.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// Where.
    pub start: &'a Position,
    /// Whether an earlier run of this collector stopped there.
    pub resumed: bool,
    /// Whether the history was written on the server that is read now.
    pub same_server: bool,
    /// The oldest place that the server can still be asked for.
    pub oldest: &'a FilePosition,
    /// The end of its binlog.
    pub head: &'a FilePosition,
    /// Every transaction that it has, where it has GTIDs.
    pub executed: Option<&'a GtidSet>,
}

/// What became of the history at the beginning of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It holds.
    Kept,
    /// Its places mean nothing on this server, or its binlog began anew: definitions are read again.
    Dropped,
}

/// All tables' versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The binlog was read without a gap up to here, from each table's first version on.
    covered: Option<Position>,
    /// The OceanBase binlog instance whose files its places are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<u64>,
    #[serde(with = "listed")]
    tables: BTreeMap<TableId, Vec<Version>>,
}

/// JSON's keys are texts; a table's name is two.
mod listed {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{TableId, Version};

    type Tables = BTreeMap<TableId, Vec<Version>>;

    pub(super) fn serialize<S: Serializer>(tables: &Tables, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(tables)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tables, D::Error> {
        let list = Vec::<(TableId, Vec<Version>)>::deserialize(deserializer)?;
        Ok(list.into_iter().collect())
    }
}

/// Whether the place is at or behind `since`. Another series of files followed on the one before.
fn reached(since: &FilePosition, file: &str, pos: u64) -> bool {
    since.order(file, pos).is_none_or(|order| order.is_le())
}

fn ahead_of(position: &Position, place: &FilePosition) -> bool {
    !reached(&position.file, &place.file, place.pos)
}

/// How many of the versions, oldest first, began at or before the place.
fn begun(versions: &[Version], file: &str, pos: u64) -> usize {
    versions
        .iter()
        .rposition(|version| reached(&version.since.file, file, pos))
        .map_or(0, |at| at.saturating_add(1))
}

fn size(definition: &TableDefinition) -> usize {
    let column = |c: &super::ColumnDefinition| c.name.len().saturating_add(c.column_type.len());
    definition.columns.iter().map(column).sum()
}

impl History {
    /// Prepares for a run that begins somewhere.
    pub fn begin(&mut self, beginning: Beginning<'_>) -> Fate {
        let Beginning {
            start,
            resumed,
            same_server,
            oldest,
            head,
            executed,
        } = beginning;
        let known = !self.tables.is_empty();
        // What was read is in the server's binlog, unless that began anew.
        let is_there = |covered: &Position| match (&covered.gtid_set, executed) {
            (Some(read), Some(executed)) if !executed.is_empty() => executed.contains_set(read),
            _ => !ahead_of(covered, head),
        };
        let one_series = |covered: &Position| covered.file.order(&head.file, head.pos).is_some();
        let covered = match self.covered.take() {
            Some(covered) if same_server && one_series(&covered) && is_there(&covered) => covered,
            covered => {
                self.instance = None;
                let carried = covered.is_some_and(|covered| !same_server && self.carry_over(&covered, start));
                if !carried {
                    self.tables.clear();
                }
                self.covered = Some(start.clone());
                return if known && !carried {
                    Fate::Dropped
                } else {
                    Fate::Kept
                };
            }
        };
        if ahead_of(start, &covered.file) {
            if !resumed {
                // Nobody read what lies between: in there statements count, should it be read one day.
                for versions in self.tables.values_mut() {
                    versions.push(unknown(&covered, Touch::ANYTHING, true));
                    versions.push(unknown(start, Touch::ANYTHING, false));
                    bound(versions);
                }
            }
            self.covered = Some(start.clone());
        } else {
            if !resumed {
                // Where something is left out, a definition holds only for those who read on from where it was learnt.
                for versions in self.tables.values_mut() {
                    let held = begun(versions, &start.file.file, start.file.pos).checked_sub(1);
                    if held
                        .and_then(|held| versions.get(held))
                        .is_some_and(|held| held.loose)
                    {
                        mark(versions, start, Touch::ANYTHING, true);
                        bound(versions);
                    }
                }
            }
            self.covered = Some(covered);
        }
        self.forget_before(oldest);
        Fate::Kept
    }

    /// The versions that held where this server is read from, as its own places. Whether there are any.
    fn carry_over(&mut self, covered: &Position, start: &Position) -> bool {
        let (Some(covered), Some(begin)) = (&covered.gtid_set, &start.gtid_set) else {
            return false;
        };
        // Behind what was read, nobody knows what changed; before it, only sets that contain each other compare.
        if !covered.contains_set(begin) {
            return false;
        }
        let held = |set: &Option<GtidSet>| set.as_ref().is_some_and(|set| begin.contains_set(set));
        self.tables.retain(|_, versions| {
            let at = versions.iter().rposition(|version| held(&version.since.gtid_set));
            *versions = at
                .and_then(|at| versions.get(at))
                .map(|version| Version {
                    since: start.clone(),
                    ..version.clone()
                })
                .into_iter()
                .collect();
            !versions.is_empty()
        });
        true
    }

    /// Drops what only binlog needs that the server no longer has.
    fn forget_before(&mut self, oldest: &FilePosition) {
        self.tables.retain(|_, versions| {
            let held = begun(versions, &oldest.file, oldest.pos).saturating_sub(1);
            versions.drain(..held.min(versions.len()));
            let gone = matches!(versions.as_slice(), [only] if only.definition.is_none() && !ahead_of(&only.since, oldest));
            !gone
        });
    }

    /// Whether the place lies in what was read before: there the history decides, and statements do not.
    pub fn replays(&self, at: Point<'_>) -> bool {
        let ahead = |covered: &Position| {
            covered
                .file
                .order(at.file, at.pos)
                .is_some_and(|order| order.is_gt())
        };
        self.covered.as_ref().is_some_and(ahead)
    }

    /// What held of a table at a place.
    pub fn find(&self, id: &TableId, at: Point<'_>) -> Found {
        let versions = self.tables.get(id).map(Vec::as_slice).unwrap_or_default();
        let behind = begun(versions, at.file, at.pos);
        let held = behind.checked_sub(1).and_then(|last| versions.get(last));
        if let Some(definition) = held.and_then(|held| held.definition.as_ref()) {
            return Found::Held(Arc::clone(definition));
        }
        // What the server has now is further away than what comes next.
        let next = versions
            .get(behind)
            .filter(|_| held.is_none_or(|held| held.loose));
        match next.and_then(|next| Some((next.definition.as_ref()?, next.read_at))) {
            Some((definition, read_at)) => Found::Later(Arc::clone(definition), read_at),
            None => Found::Nothing,
        }
    }

    /// What is taken to hold of a table at a place, and when it was read.
    pub fn held(&self, id: &TableId, at: Point<'_>) -> Option<(Arc<TableDefinition>, u64)> {
        let versions = self.tables.get(id)?;
        let held = versions.get(begun(versions, at.file, at.pos).checked_sub(1)?)?;
        Some((Arc::clone(held.definition.as_ref()?), held.read_at))
    }

    /// The definition from before the statements whose mark is in force at a place, and when it was read, if rows
    /// that fit it must mean what they meant before.
    pub fn before_mark(&self, id: &TableId, at: Point<'_>) -> Option<(Arc<TableDefinition>, u64)> {
        let versions = self.tables.get(id)?;
        let mark = begun(versions, at.file, at.pos).checked_sub(1)?;
        let touch = versions
            .get(mark)
            .filter(|v| v.definition.is_none() && !v.loose)?
            .touch;
        let before = versions.get(mark.checked_sub(1)?)?;
        let definition = before.definition.as_ref().filter(|_| touch.keeps_meaning())?;
        Some((Arc::clone(definition), before.read_at))
    }

    /// Takes note of what a table is at a place.
    pub fn learn(&mut self, id: &TableId, at: Point<'_>, definition: &Arc<TableDefinition>, read_at: u64) {
        let versions = self.tables.entry(id.clone()).or_default();
        let mut behind = begun(versions, at.file, at.pos);
        // Between a loose mark and this place there may be statements that nobody read.
        let is_marked =
            |version: Option<&Version>| version.is_some_and(|v| v.definition.is_none() && !v.loose);
        let is_same =
            |version: Option<&Version>| version.is_some_and(|v| v.definition.as_ref() == Some(definition));
        let at_index = |back: usize| behind.checked_sub(back);
        let (last, before) = (at_index(1), at_index(2));
        let get = |index: Option<usize>| index.and_then(|index| versions.get(index));
        if is_marked(get(last)) && is_same(get(before)) {
            // Nothing changed after all, and the mark goes.
            behind = behind.saturating_sub(1);
            versions.remove(behind);
        } else if !is_marked(get(last)) && !is_same(get(last)) {
            let version = Version {
                since: at.to_position(),
                definition: None,
                read_at,
                touch: Touch::ANYTHING,
                loose: behind < versions.len(),
            };
            versions.insert(behind, version);
            behind = behind.saturating_add(1);
        }
        if let Some(version) = behind.checked_sub(1).and_then(|last| versions.get_mut(last)) {
            version.definition = Some(Arc::clone(definition));
            version.read_at = version.read_at.max(read_at);
        }
        bound(versions);
    }

    /// Takes note of a statement, or of something else that may have changed a table at a place. Returns what was
    /// taken to hold up to there if it no longer does.
    pub fn changed(&mut self, id: &TableId, at: Point<'_>, touch: Touch) -> Option<Version> {
        let replays = self.replays(at);
        self.end(id, at, touch, replays)
    }

    /// As [`History::changed`], of a table whose rows were passed over when this stretch was read: it decides nothing
    /// there.
    pub fn changed_anew(&mut self, id: &TableId, at: Point<'_>, touch: Touch) -> Option<Version> {
        self.end(id, at, touch, false)
    }

    fn end(&mut self, id: &TableId, at: Point<'_>, touch: Touch, replays: bool) -> Option<Version> {
        let versions = self.tables.get_mut(id)?;
        let last = begun(versions, at.file, at.pos).checked_sub(1);
        let held = last.and_then(|last| versions.get(last)).cloned()?;
        let met = held.since.file.file == at.file && held.since.file.pos == at.pos;
        if met || (replays && !held.loose) {
            // What followed from it is known.
            return None;
        }
        mark(versions, &at.to_position(), touch, held.loose);
        bound(versions);
        Some(held)
    }

    /// The OceanBase binlog instance whose files its places are in, if that is known.
    pub fn instance(&self) -> Option<u64> {
        self.instance
    }

    /// Its places are in the files of this OceanBase binlog instance. Returns whether that is news.
    pub fn set_instance(&mut self, instance: u64) -> bool {
        self.instance.replace(instance) != Some(instance)
    }

    /// Every table that there are versions of.
    pub fn tables(&self) -> impl Iterator<Item = &TableId> {
        self.tables.keys()
    }

    /// Takes note that everything up to `read_to` was read.
    pub fn cover(&mut self, read_to: &Position) {
        let at = Point {
            file: &read_to.file.file,
            pos: read_to.file.pos,
            gtid_set: None,
        };
        if !self.replays(at) {
            // Where parked tables are left is no part of it.
            self.covered = Some(Position {
                parked: Vec::new(),
                ..read_to.clone()
            });
        }
    }

    /// A copy to be kept, when everything up to `read_to` was read.
    pub fn snapshot(&mut self, read_to: &Position) -> Self {
        self.cover(read_to);
        self.shrink(MAX_BYTES);
        self.clone()
    }

    /// Drops the oldest superseded versions until the rest takes no more than `most` bytes.
    fn shrink(&mut self, most: usize) {
        let superseded = |versions: &Vec<Version>| -> usize {
            let older = versions.iter().rev().skip(1);
            older.filter_map(|v| v.definition.as_deref()).map(size).sum()
        };
        let mut bytes: usize = self.tables.values().map(superseded).sum();
        while bytes > most {
            for versions in self.tables.values_mut().filter(|versions| versions.len() > 1) {
                versions.remove(0);
            }
            bytes = self.tables.values().map(superseded).sum();
        }
    }

    #[cfg(test)]
    pub(super) fn versions(&self, id: &TableId) -> &[Version] {
        self.tables.get(id).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Marks the definition as unknown from a place on, up to the next version if there is one.
fn mark(versions: &mut Vec<Version>, at: &Position, touch: Touch, loose: bool) {
    let behind = begun(versions, &at.file.file, at.file.pos);
    if let Some(last) = behind.checked_sub(1).and_then(|last| versions.get_mut(last))
        && last.definition.is_none()
    {
        last.touch = last.touch.and(touch);
        return;
    }
    versions.insert(behind, unknown(at, touch, loose));
}

fn unknown(since: &Position, touch: Touch, loose: bool) -> Version {
    Version {
        since: since.clone(),
        definition: None,
        read_at: 0,
        touch,
        loose,
    }
}

fn bound(versions: &mut Vec<Version>) {
    let extra = versions.len().saturating_sub(MAX_VERSIONS);
    versions.drain(..extra);
}

#[cfg(test)]
mod tests;
