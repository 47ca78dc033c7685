//! Which of two points comes first, and which rows lie before a point.

use std::cmp::Ordering;

use super::{FilePosition, GtidSet, Position};

impl FilePosition {
    /// Which of two places of one server comes first; `None` if their files are not of one series.
    ///
    /// Files count by their number: `bin.1000000` follows on `bin.999999`.
    pub fn order(&self, file: &str, pos: u64) -> Option<Ordering> {
        if self.file == file {
            return Some(self.pos.cmp(&pos));
        }
        let (mine, theirs) = (self.file.rsplit_once('.')?, file.rsplit_once('.')?);
        let (first, second) = (mine.1.parse::<u64>().ok()?, theirs.1.parse::<u64>().ok()?);
        (mine.0 == theirs.0).then(|| first.cmp(&second).then(self.pos.cmp(&pos)))
    }
}

impl Position {
    /// Which of two points of one history comes first; `None` where that cannot be told. Where they are the same, the
    /// one with more rows of parked tables before it comes later.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        Some(
            self.order_of_reading(other)?
                .then_with(|| self.order_of_parked(other)),
        )
    }

    /// Fewer parked tables are further, and so is a table whose rows are missing from a later point on.
    fn order_of_parked(&self, other: &Self) -> Ordering {
        let by_table = self.parked.iter().filter_map(|mine| {
            let theirs = other.parked.iter().find(|theirs| theirs.table == mine.table)?;
            mine.since.order_of_reading(&theirs.since)
        });
        let furthest = by_table.fold(Ordering::Equal, Ordering::then);
        other.parked.len().cmp(&self.parked.len()).then(furthest)
    }

    /// As [`Position::order`], by what was read.
    fn order_of_reading(&self, other: &Self) -> Option<Ordering> {
        let rows = |position: &Self| position.open.as_ref().map_or(0, |open| open.rows);
        match (&self.gtid_set, &other.gtid_set) {
            (Some(mine), Some(theirs)) if mine == theirs => {
                let same = match (&self.open, &other.open) {
                    (Some(mine), Some(theirs)) => mine.id == theirs.id,
                    _ => true,
                };
                same.then(|| rows(self).cmp(&rows(other)))
            }
            (Some(mine), Some(theirs)) if mine.contains_set(theirs) => Some(Ordering::Greater),
            (Some(mine), Some(theirs)) if theirs.contains_set(mine) => Some(Ordering::Less),
            (None, None) => Some(
                self.file
                    .order(&other.file.file, other.file.pos)?
                    .then(rows(self).cmp(&rows(other))),
            ),
            _ => None,
        }
    }

    /// The oldest place from which rows of a parked table are still to be read. A place of another series of files than
    /// the point's says nothing here.
    pub fn parked_since(&self) -> Option<&FilePosition> {
        let places = self.parked.iter().map(|parked| &parked.since.file);
        let here = places.filter(|place| place.order(&self.file.file, self.file.pos).is_some());
        here.reduce(|oldest, place| match place.order(&oldest.file, oldest.pos) {
            Some(Ordering::Less) => place,
            Some(Ordering::Equal | Ordering::Greater) | None => oldest,
        })
    }

    /// Whether what a record's id names lies before the point: a row of a transaction, or with `None` something
    /// else of it. False where that cannot be told.
    pub fn covers(&self, transaction: &str, row: Option<u64>) -> bool {
        if let Some(open) = self.open.as_ref().filter(|open| open.id == transaction) {
            return row.is_some_and(|row| row < open.rows);
        }
        match &self.gtid_set {
            Some(set) => transaction
                .parse()
                .is_ok_and(|one: GtidSet| !one.is_empty() && set.contains_set(&one)),
            None => transaction.parse().is_ok_and(|start: FilePosition| {
                start.order(&self.file.file, self.file.pos) == Some(Ordering::Less)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::TableId;
    use crate::position::{Flavour, OpenTransaction, Parked, ServerIdentity, Watermark};

    const U: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn at(gtid_set: Option<&str>, file: &str, open: Option<(&str, u64)>) -> Position {
        Position {
            gtid_set: gtid_set.map(|text| text.parse().unwrap()),
            file: file.parse().unwrap(),
            open: open.map(|(id, rows)| OpenTransaction {
                id: id.to_owned(),
                rows,
                fingerprint: 0,
            }),
            parked: Vec::new(),
        }
    }

    #[test]
    fn points_of_one_history_have_an_order() {
        use Ordering::{Equal, Greater, Less};
        let (five, six) = (format!("{U}:1-5"), format!("{U}:1-6"));
        let next = format!("{U}:6");
        let other = U.replace("3e11", "4e11");
        let gtid = |set: &str, open| at(Some(set), "b.000001:4", open);
        let file = |text: &str, open| at(None, text, open);
        let cases = [
            (gtid(&five, None), gtid(&six, None), Some(Less)),
            (gtid(&six, None), gtid(&five, Some((&next, 3))), Some(Greater)),
            (gtid(&five, Some((&next, 3))), gtid(&five, None), Some(Greater)),
            (
                gtid(&five, Some((&next, 3))),
                gtid(&five, Some((&next, 3))),
                Some(Equal),
            ),
            (gtid(&five, Some(("x:1", 3))), gtid(&five, Some((&next, 4))), None),
            (gtid(&five, None), gtid(&format!("{other}:1-5"), None), None),
            (file("b.000009:99", None), file("b.000010:4", None), Some(Less)),
            (file("b.999999:4", None), file("b.1000000:4", None), Some(Less)),
            (
                file("b.000010:4", Some(("b.000010:4", 2))),
                file("b.000010:4", None),
                Some(Greater),
            ),
            (file("b.000010:4", None), file("c.000010:4", None), None),
            (file("b.000010:4", None), gtid(&five, None), None),
        ];
        for (one, two, expected) in cases {
            assert_eq!(one.order(&two), expected, "{one} {two}");
            assert_eq!(two.order(&one), expected.map(Ordering::reverse), "{two} {one}");
        }
    }

    #[test]
    fn a_point_covers_the_rows_before_it() {
        let next = format!("{U}:6");
        let gtid = at(Some(&format!("{U}:1-5")), "b.000001:4", Some((&next, 2)));
        for (transaction, row, covered) in [
            (format!("{U}:5"), 9, true),
            (next.clone(), 1, true),
            (next, 2, false),
            (format!("{U}:7"), 0, false),
            ("b.000001:3".to_owned(), 0, false),
            (String::new(), 0, false),
        ] {
            assert_eq!(
                gtid.covers(&transaction, Some(row)),
                covered,
                "{transaction} {row}"
            );
        }
        let file = at(None, "b.000002:100", Some(("b.000002:100", 2)));
        for (transaction, row, covered) in [
            ("b.000001:900", 7, true),
            ("b.000002:90", 7, true),
            ("b.000002:100", 1, true),
            ("b.000002:100", 2, false),
            ("b.000010:4", 0, false),
            (U, 0, false),
        ] {
            assert_eq!(
                file.covers(transaction, Some(row)),
                covered,
                "{transaction} {row}"
            );
        }
    }

    #[test]
    fn the_oldest_place_of_a_parked_table_is_still_needed() {
        let mut position = at(None, "b.000010:400", None);
        assert_eq!(position.parked_since(), None);
        for since in ["b.000010:4", "b.000009:900", "b.000009:901", "c.000001:4"] {
            position.parked.push(Parked {
                table: TableId {
                    db: "shop".to_owned(),
                    table: since.to_owned(),
                },
                since: at(None, since, None),
            });
        }
        let oldest = position.parked_since().map(ToString::to_string);
        assert_eq!(oldest.as_deref(), Some("b.000009:900"));
    }

    #[test]
    fn a_watermark_is_a_position_with_its_server() {
        let watermark = Watermark {
            position: at(Some(&format!("{U}:1-5")), "b.000001:4", Some(("x:1", 2))),
            server: ServerIdentity {
                flavour: Flavour::MySql,
                server_uuid: U.to_owned(),
                server_id: 7,
            },
        };
        let text = serde_json::to_string(&watermark).unwrap();
        assert_eq!(serde_json::from_str::<Watermark>(&text).unwrap(), watermark);
        assert_eq!(
            serde_json::from_str::<Position>(&text).unwrap(),
            watermark.position
        );
    }

    #[test]
    fn files_are_ordered_by_their_number() {
        let at = |text: &str| text.parse::<FilePosition>().unwrap();
        let order = |a: &str, b: &str| at(a).order(&at(b).file, at(b).pos);
        assert_eq!(order("bin.999999:9", "bin.1000000:4"), Some(Ordering::Less));
        assert_eq!(order("bin.000002:4", "bin.000001:90"), Some(Ordering::Greater));
        assert_eq!(order("bin.000002:4", "bin.000002:4"), Some(Ordering::Equal));
        assert_eq!(order("bin.000002:4", "binlog.000002:4"), None);
        assert_eq!(order("bin:4", "bin.1:4"), None);
    }
}
