//! Numbers as people read them.

use std::fmt;

/// A whole number with a comma after every three digits.
#[derive(Clone, Copy, Debug)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// Bytes in MiB.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The middle one of some figures, and how far apart the outermost are; `None` if there are none.
pub fn median_and_spread(figures: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (first, last) = (sorted.first()?, sorted.last()?);
    let (low, high) = (sorted.get((sorted.len() - 1) / 2)?, sorted.get(sorted.len() / 2)?);
    Some((f64::midpoint(*low, *high), last - first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right_and_padded() {
        let text = |number| Grouped(number).to_string();
        assert_eq!(
            (text(0), text(999), text(1_000)),
            ("0".into(), "999".into(), "1,000".into())
        );
        assert_eq!(text(1_234_567), "1,234,567");
        assert_eq!(format!("{:>9}", Grouped(12_345)), "   12,345");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median_and_spread(&[]), None);
        assert_eq!(median_and_spread(&[3.0, 1.0, 2.0]), Some((2.0, 2.0)));
        assert_eq!(median_and_spread(&[1.0, 2.0]), Some((1.5, 1.0)));
    }
}
