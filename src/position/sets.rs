//! What two sets of transactions have and lack of each other.

use super::GtidSet;

impl GtidSet {
    /// The transactions that `other` does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (uuid, first, last) in self.iter() {
            // Up to here everything is decided; `None` when nothing is left.
            let mut from = Some(first);
            let theirs = other.ranges.get(&uuid).map(Vec::as_slice).unwrap_or_default();
            for &(begin, end) in theirs.iter().filter(|(_, end)| *end >= first) {
                let Some(open) = from.filter(|_| begin <= last) else {
                    break;
                };
                rest.insert_range(uuid, open, begin.saturating_sub(1));
                from = end
                    .checked_add(1)
                    .map(|next| next.max(open))
                    .filter(|next| *next <= last);
            }
            if let Some(open) = from {
                rest.insert_range(uuid, open, last);
            }
        }
        rest
    }

    /// The transactions of both.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for (uuid, first, last) in other.iter() {
            self.insert_range(uuid, first, last);
        }
        self
    }

    /// How many transactions there are.
    pub fn count(&self) -> u64 {
        self.iter().fold(0, |count, (_, first, last)| {
            count.saturating_add((last - first).saturating_add(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::position::{Gtid, GtidSet, Uuid};

    #[test]
    fn both_agree_with_plain_sets() {
        let uuids = [Uuid([1; 16]), Uuid([2; 16])];
        let mut rng = fastrand::Rng::with_seed(11);
        let mut random = || {
            let mut set = GtidSet::default();
            for _ in 0..rng.u32(0..6) {
                let first = rng.u64(1..30);
                set.insert_range(uuids[rng.usize(0..2)], first, first + rng.u64(0..9));
            }
            set
        };
        for _ in 0..500 {
            let (one, other) = (random(), random());
            let (rest, both) = (one.without(&other), one.clone().with(&other));
            let mut count = 0;
            for uuid in uuids {
                for gno in 1..45 {
                    let gtid = Gtid { uuid, gno };
                    let (mine, theirs) = (one.contains(gtid), other.contains(gtid));
                    assert_eq!(
                        rest.contains(gtid),
                        mine && !theirs,
                        "{one} without {other} is {rest}"
                    );
                    assert_eq!(
                        both.contains(gtid),
                        mine || theirs,
                        "{one} with {other} is {both}"
                    );
                    count += u64::from(mine);
                }
            }
            assert_eq!(one.count(), count);
        }
        let all = GtidSet::default().with(&format!("{}:1-{}", uuids[0], u64::MAX).parse().unwrap());
        assert!(all.without(&all).is_empty());
        assert_eq!(all.count(), u64::MAX);
    }
}
