//! Where in the binlog: GTID sets, file positions, and the identity of the server they belong to.
//!
//! A [`Position`] is what a checkpoint stores and what a dump resumes from. Its grain is
//! *(transaction, row)*: everything committed before it, plus the first `rows` rows of the transaction
//! that was open. Pure values: parsing, order, text form, serde. Nothing here reads a server.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

mod order;
mod sets;

use serde::{Deserialize, Serialize};

use crate::change::TableId;

/// A source UUID (SID) as the binlog writes it: 16 raw bytes, printed in the usual 8-4-4-4-12 form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// One transaction's global identity: `uuid:gno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gtid {
    /// The originating server.
    pub uuid: Uuid,
    /// Its transaction number, from 1.
    pub gno: u64,
}

/// A set of GTIDs: per UUID, disjoint inclusive ranges in ascending order, never adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidSet {
    ranges: BTreeMap<Uuid, Vec<(u64, u64)>>,
}

/// A binlog file and a byte offset in it. Belongs to one server (on OceanBase: to one binlog instance).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// File name as the server lists it, e.g. `mysql-bin.000012`.
    pub file: String,
    /// Offset of the next event, in bytes. `u64`, because OceanBase files outgrow the header's 32 bits.
    pub pos: u64,
}

/// A transaction of which some rows were already handed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// The transaction's identity as records carry it: `uuid:gno`, or `file:pos` without GTIDs.
    pub id: String,
    /// Rows of it, counted from its first, that lie before the position (captured or filtered alike).
    pub rows: u64,
    /// Running CRC32 over those rows, see `source`: a re-sent transaction has to show the same rows again.
    pub fingerprint: u32,
}

/// A point in the binlog from which a dump can continue without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Every committed transaction before the point. `None` where the source has no MySQL GTIDs (MariaDB).
    pub gtid_set: Option<GtidSet>,
    /// Start of the open transaction, or the end of the last committed one.
    pub file: FilePosition,
    /// Rows of the open transaction that lie before the point; `None` at a transaction boundary.
    pub open: Option<OpenTransaction>,
    /// Tables whose rows before the point were not all handed on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<Parked>,
}

/// A table that could not be read: its rows from a point on are still to be handed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The table.
    pub table: TableId,
    /// Its first row that was not handed on lies behind this point. No table is parked there.
    pub since: Position,
}

/// The kind of server at the other end; decides which statements and positions are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// MySQL 5.7 and later.
    MySql,
    /// MariaDB 10.x and later.
    MariaDb,
    /// OceanBase in MySQL mode, through ODP or directly at a binlog instance.
    OceanBase,
}

/// Which history a position belongs to. Two servers with one identity continue each other's positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// The kind of server.
    pub flavour: Flavour,
    /// `@@server_uuid`; empty where the server has none (MariaDB).
    pub server_uuid: String,
    /// `@@server_id`; the identity of a MariaDB server.
    pub server_id: u64,
}

/// What a record says of its group's progress: everything at or before the position is in the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// The point.
    #[serde(flatten)]
    pub position: Position,
    /// The server that it belongs to.
    pub server: ServerIdentity,
}

/// Text that is not a UUID, a GTID set or a file position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParsePositionError {
    /// What was given.
    pub text: String,
    /// What would have been accepted.
    pub expected: &'static str,
}

fn bad(text: &str, expected: &'static str) -> ParsePositionError {
    ParsePositionError {
        text: text.to_owned(),
        expected,
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand and at once: each transaction's id is written, and the formatter takes its time for every byte.
        let mut text = [b'-'; 36];
        let places = text.iter_mut().enumerate();
        let digits = places.filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        for ((_, digit), nibble) in digits.zip(nibbles) {
            *digit = nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "a UUID (8-4-4-4-12 hexadecimal digits)";
        let mut bytes = [0u8; 16];
        let mut digits = text.bytes().filter(|b| *b != b'-');
        for byte in &mut bytes {
            let mut nibble = || digits.next().and_then(|d| char::from(d).to_digit(16));
            let (Some(high), Some(low)) = (nibble(), nibble()) else {
                return Err(bad(text, expected));
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| bad(text, expected))?;
        }
        if digits.next().is_some() {
            Err(bad(text, expected))
        } else {
            Ok(Self(bytes))
        }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uuid, self.gno)
    }
}

impl GtidSet {
    /// Adds one transaction. Returns false if it was there already.
    pub fn insert(&mut self, gtid: Gtid) -> bool {
        self.insert_range(gtid.uuid, gtid.gno, gtid.gno)
    }

    /// Adds the inclusive range `first..=last`. Returns false if nothing changed or the range is empty.
    pub fn insert_range(&mut self, uuid: Uuid, first: u64, last: u64) -> bool {
        if first == 0 || last < first {
            return false;
        }
        let ranges = self.ranges.entry(uuid).or_default();
        // The everyday case: the next number of a growing range.
        if let Some(end) = ranges.last_mut()
            && first > end.0
            && first <= end.1.saturating_add(1)
        {
            let grew = last > end.1;
            end.1 = end.1.max(last);
            return grew;
        }
        if ranges.iter().any(|&(a, b)| a <= first && last <= b) {
            return false;
        }
        let (mut first, mut last) = (first, last);
        ranges.retain(|&(a, b)| {
            let apart = b.saturating_add(1) < first || last.saturating_add(1) < a;
            if !apart {
                first = first.min(a);
                last = last.max(b);
            }
            apart
        });
        let at = ranges.partition_point(|&(a, _)| a < first);
        ranges.insert(at, (first, last));
        true
    }

    /// Whether the transaction is in the set.
    pub fn contains(&self, gtid: Gtid) -> bool {
        self.ranges
            .get(&gtid.uuid)
            .is_some_and(|r| r.iter().any(|&(a, b)| a <= gtid.gno && gtid.gno <= b))
    }

    /// Whether every transaction of `other` is in the set.
    pub fn contains_set(&self, other: &Self) -> bool {
        other.iter().all(|(uuid, a, b)| {
            self.ranges
                .get(&uuid)
                .is_some_and(|r| r.iter().any(|&(c, d)| c <= a && b <= d))
        })
    }

    /// The ranges: UUID, first, last (inclusive), in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, u64, u64)> + '_ {
        self.ranges
            .iter()
            .flat_map(|(uuid, r)| r.iter().map(|&(a, b)| (*uuid, a, b)))
    }

    /// The greatest number known of a source.
    pub fn last_gno(&self, uuid: Uuid) -> Option<u64> {
        self.ranges.get(&uuid).and_then(|r| r.last()).map(|&(_, b)| b)
    }

    /// Whether the set holds no transaction.
    pub fn is_empty(&self) -> bool {
        self.ranges.values().all(Vec::is_empty)
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first_uuid = true;
        for (uuid, ranges) in self.ranges.iter().filter(|(_, r)| !r.is_empty()) {
            if !first_uuid {
                f.write_str(",")?;
            }
            first_uuid = false;
            write!(f, "{uuid}")?;
            for (a, b) in ranges {
                if a == b {
                    write!(f, ":{a}")?;
                } else {
                    write!(f, ":{a}-{b}")?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = ParsePositionError;

    /// Reads MySQL's text form, `uuid:1-5:7,uuid:1`, with or without line breaks. Tags (8.3+) are refused.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "a GTID set (uuid:first-last[:…][,…])";
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let mut fields = part.split(':').map(str::trim);
            let uuid: Uuid = fields
                .next()
                .unwrap_or_default()
                .parse()
                .map_err(|_| bad(text, expected))?;
            let mut any = false;
            for range in fields {
                let (a, b) = range.split_once('-').unwrap_or((range, range));
                let (Ok(a), Ok(b)) = (a.trim().parse(), b.trim().parse()) else {
                    return Err(bad(text, expected));
                };
                if a == 0 || b < a {
                    return Err(bad(text, expected));
                }
                set.insert_range(uuid, a, b);
                any = true;
            }
            if !any {
                return Err(bad(text, expected));
            }
        }
        Ok(set)
    }
}

impl Serialize for GtidSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.pos)
    }
}

impl FromStr for FilePosition {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "a file position (name:offset)";
        let (file, pos) = text.rsplit_once(':').ok_or_else(|| bad(text, expected))?;
        match pos.parse() {
            Ok(pos) if !file.is_empty() => Ok(Self {
                file: file.to_owned(),
                pos,
            }),
            _ => Err(bad(text, expected)),
        }
    }
}

impl fmt::Display for Position {
    /// `gtid_set@file:pos`, then `+rows` inside a transaction and the parked tables: for logs and `/health`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(set) = &self.gtid_set {
            write!(f, "{set}@")?;
        }
        write!(f, "{}", self.file)?;
        if let Some(open) = &self.open {
            write!(f, "+{}", open.rows)?;
        }
        for parked in &self.parked {
            write!(f, " without {} since {}", parked.table, parked.since)?;
        }
        Ok(())
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
            Self::OceanBase => "OceanBase",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const U: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> GtidSet {
        text.parse().expect("a GTID set")
    }

    #[test]
    fn text_round_trip_merges_and_orders() {
        let cases = [
            (format!("{U}:1-5"), format!("{U}:1-5")),
            (format!("{U}:1-5:6-9"), format!("{U}:1-9")),
            (format!("{U}:7:1-5"), format!("{U}:1-5:7")),
            (format!("{U}:1-5,\n{U}:3-8"), format!("{U}:1-8")),
            (String::new(), String::new()),
        ];
        for (given, canonical) in cases {
            assert_eq!(set(&given).to_string(), canonical);
            assert_eq!(set(&canonical), set(&given));
        }
    }

    #[test]
    fn malformed_text_is_refused() {
        let tagged = format!("{U}:tag:1-5");
        let cases = [
            "x",
            U,
            &format!("{U}:0"),
            &format!("{U}:5-1"),
            &format!("{U}:a"),
            &tagged,
            "abc:1",
        ];
        for text in cases {
            assert!(text.parse::<GtidSet>().is_err(), "{text}");
        }
        assert!("nofile".parse::<FilePosition>().is_err());
        assert!(":4".parse::<FilePosition>().is_err());
    }

    #[test]
    fn insert_agrees_with_a_plain_set() {
        let uuid: Uuid = U.parse().unwrap();
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let (mut ranges, mut plain) = (GtidSet::default(), std::collections::BTreeSet::new());
            for _ in 0..40 {
                let first = rng.u64(1..30);
                let last = first + rng.u64(0..4);
                let new = (first..=last).filter(|n| plain.insert(*n)).count();
                assert_eq!(ranges.insert_range(uuid, first, last), new > 0);
            }
            for gno in 1..40 {
                assert_eq!(ranges.contains(Gtid { uuid, gno }), plain.contains(&gno));
            }
            let ends: Vec<_> = ranges.iter().collect();
            assert!(
                ends.windows(2).all(|w| w[0].2 + 1 < w[1].1),
                "ranges touch: {ranges}"
            );
            assert_eq!(set(&ranges.to_string()), ranges);
        }
    }

    #[test]
    fn containment_is_by_transaction() {
        let big = set(&format!("{U}:1-5:8-9"));
        assert!(big.contains_set(&set(&format!("{U}:2-4:8"))));
        assert!(!big.contains_set(&set(&format!("{U}:5-8"))));
        assert!(big.contains_set(&GtidSet::default()));
    }
}
