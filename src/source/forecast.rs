//! When will the database purge what is still needed? From the binlog's files, how long they are kept, and both paces.
//!
//! Servers purge whole files, oldest first: a file goes when its last event is older than the retention, or when all
//! files together are larger than a bound. When a file ended is known where the next one's first event was read, and
//! else taken from the bytes between known moments. The collector's durable position moves on meanwhile: what counts is
//! whether it has left a file before the file goes. The place from which a parked table is still to be read does not move
//! on: for it the question is only when its file goes. Pure; moments are seconds since 1970.
//!
//! A MySQL or MariaDB server spares a file that a connected reader is in. That is no reason for hope: after the next
//! reconnect it would be gone.

use std::collections::{BTreeMap, VecDeque};

use crate::position::FilePosition;
use crate::source::asking::bytes_behind;

/// Over so many seconds the paces are measured: long enough to even out batches, short enough to see a stop.
const WINDOW: f64 = 120.0;

/// Least time between two samples, seconds.
const SPACING: f64 = 5.0;

/// What is known of the binlog at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Binlog<'a> {
    /// The moment.
    pub now: f64,
    /// The files with their sizes in bytes, oldest first.
    pub files: &'a [(String, u64)],
    /// When files were begun, as far as it is known.
    pub begun: &'a BTreeMap<String, u64>,
    /// A place that was read, and when it was written.
    pub read: Option<(&'a FilePosition, f64)>,
    /// Up to here nothing is needed any more, but for parked tables.
    pub durable: &'a FilePosition,
    /// From here on the rows of a parked table are needed, however far the durable position gets.
    pub parked: Option<&'a FilePosition>,
    /// How long a file is kept after its end, seconds.
    pub keeps_seconds: Option<f64>,
    /// How many bytes of files are kept.
    pub keeps_bytes: Option<u64>,
}

/// Bytes a second.
#[derive(Clone, Copy, Debug, Default)]
struct Paces {
    /// That the binlog grows.
    growth: f64,
    /// That the durable position advances.
    own: f64,
}

struct Sample {
    at: f64,
    end: FilePosition,
    durable: FilePosition,
}

/// The forecast, and what it remembers of the last minutes.
#[derive(Default)]
pub struct Forecast {
    samples: VecDeque<Sample>,
}

impl Forecast {
    /// Seconds until a file is purged that the durable position or a parked table needs then; `None` if it is left
    /// before, or never purged, or nobody can say yet: a pace takes two looks.
    pub fn of(&mut self, binlog: &Binlog<'_>) -> Option<f64> {
        let (file, pos) = binlog.files.last()?;
        let end = FilePosition {
            file: file.clone(),
            pos: *pos,
        };
        self.remember(binlog, end);
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        if last.at - first.at < SPACING {
            return None;
        }
        eta(binlog, self.paces(binlog.files))
    }

    fn remember(&mut self, binlog: &Binlog<'_>, end: FilePosition) {
        let last = self.samples.back();
        // A clock that was set back must not stop the measuring.
        if last.is_some_and(|last| binlog.now - last.at < SPACING && binlog.now >= last.at) {
            return;
        }
        let recent = |sample: &Sample| binlog.now - sample.at <= WINDOW && sample.at <= binlog.now;
        self.samples.retain(recent);
        self.samples.push_back(Sample {
            at: binlog.now,
            end,
            durable: binlog.durable.clone(),
        });
    }

    fn paces(&self, files: &[(String, u64)]) -> Paces {
        let Some(last) = self.samples.back() else {
            return Paces::default();
        };
        let left = |place: &FilePosition| bytes_behind(files, &place.file, place.pos);
        let pace = |of: fn(&Sample) -> &FilePosition| {
            // What lies in files that are gone is not counted in bytes any more.
            let first = self.samples.iter().find(|sample| left(of(sample)).is_some());
            first.map_or(0.0, |first| {
                let bytes = left(of(first))
                    .unwrap_or(0)
                    .saturating_sub(left(of(last)).unwrap_or(0));
                let seconds = last.at - first.at;
                if seconds > 0.0 {
                    lossy(bytes) / seconds
                } else {
                    0.0
                }
            })
        };
        Paces {
            growth: pace(|sample| &sample.end),
            own: pace(|sample| &sample.durable),
        }
    }
}

/// Sizes of binlogs are far below 2^53.
fn lossy(bytes: u64) -> f64 {
    bytes as f64
}

/// The files as stretches of one long binlog that begins at 0.
struct Stretch<'a> {
    name: &'a str,
    begin: f64,
    end: f64,
}

fn stretches<'a>(files: &'a [(String, u64)]) -> Vec<Stretch<'a>> {
    let mut at = 0.0;
    let stretch = |(name, size): &'a (String, u64)| {
        let begin = at;
        at += lossy(*size);
        Stretch { name, begin, end: at }
    };
    files.iter().map(stretch).collect()
}

fn eta(binlog: &Binlog<'_>, paces: Paces) -> Option<f64> {
    let stands = Paces { own: 0.0, ..paces };
    let parked = binlog.parked.and_then(|place| eta_at(binlog, place, stands));
    sooner(eta_at(binlog, binlog.durable, paces), parked)
}

fn sooner(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Of a place that is needed now and moves on at its own pace.
fn eta_at(binlog: &Binlog<'_>, place: &FilePosition, paces: Paces) -> Option<f64> {
    let all = stretches(binlog.files);
    let head = all.last()?.end;
    let Some(here) = all.iter().position(|file| file.name == place.file) else {
        // The list may be a little older than the position.
        let oldest = all.first()?.name;
        let gone = place.order(oldest, 0) == Some(std::cmp::Ordering::Less);
        return gone.then_some(0.0);
    };
    let needed = all.get(here..)?;
    let first = needed.first()?;
    let at = (first.begin + lossy(place.pos)).min(first.end);
    let by_age = binlog
        .keeps_seconds
        .and_then(|keeps| by_age(binlog, &all, needed, at, keeps, paces));
    let by_size = binlog.keeps_bytes.and_then(|keeps| {
        let spare = (lossy(keeps) - (head - first.begin)).max(0.0);
        let closing = paces.growth - paces.own;
        (closing > 0.0).then(|| spare / closing)
    });
    sooner(by_age, by_size)
}

/// The position goes from file to file, and each file goes when it is old enough: which is first?
fn by_age(
    binlog: &Binlog<'_>,
    all: &[Stretch<'_>],
    needed: &[Stretch<'_>],
    at: f64,
    keeps: f64,
    paces: Paces,
) -> Option<f64> {
    let (newest, closed) = needed.split_last()?;
    let known = moments(binlog, all);
    for file in closed {
        let goes_in = (written_at(&known, file.end, paces.growth)? + keeps - binlog.now).max(0.0);
        let left_in = if paces.own > 0.0 {
            (file.end - at) / paces.own
        } else {
            f64::INFINITY
        };
        if left_in > goes_in {
            return Some(goes_in);
        }
    }
    // Behind the present end both go on for ever: the distance in time grows by 1 - own / growth each second.
    if paces.own >= paces.growth {
        return None;
    }
    let behind = (newest.end - at) / paces.growth;
    let caught = (keeps - behind).max(0.0) / (1.0 - paces.own / paces.growth);
    // The file that is being written ends when it is as large as the others.
    let usual = all.iter().map(|file| file.end - file.begin).fold(0.0, f64::max);
    let ends_in = (newest.begin + usual - newest.end) / paces.growth;
    let stays = (newest.begin + usual - at) > paces.own * (ends_in + keeps);
    Some(if stays {
        caught.max(ends_in + keeps)
    } else {
        caught
    })
}

/// Bytes from the oldest file's beginning, and when that place was written: ascending in both.
fn moments(binlog: &Binlog<'_>, all: &[Stretch<'_>]) -> Vec<(f64, f64)> {
    let begun = all.iter().filter_map(|file| {
        let seconds = binlog.begun.get(file.name)?;
        Some((file.begin, lossy(*seconds)))
    });
    let read = binlog.read.and_then(|(place, at)| {
        let file = all.iter().find(|file| file.name == place.file)?;
        Some(((file.begin + lossy(place.pos)).min(file.end), at))
    });
    let head = all.last().map(|newest| (newest.end, binlog.now));
    let mut known: Vec<(f64, f64)> = begun.chain(read).chain(head).collect();
    known.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut latest = f64::NEG_INFINITY;
    for (_, at) in &mut known {
        latest = latest.max(*at);
        *at = latest.min(binlog.now);
    }
    known
}

/// When a place was written; `None` where nothing tells.
fn written_at(known: &[(f64, f64)], place: f64, growth: f64) -> Option<f64> {
    let behind = known.partition_point(|(at, _)| *at <= place);
    let before = behind.checked_sub(1).and_then(|at| known.get(at));
    match (before, known.get(behind)) {
        (Some((from, begun)), Some((to, ended))) => {
            Some(begun + (ended - begun) * (place - from) / (to - from))
        }
        (Some((_, at)), None) => Some(*at),
        (None, Some((at, when))) if growth > 0.0 => Some(when - (at - place) / growth),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests;
