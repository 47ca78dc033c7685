//! Dates and times: the packed forms since MySQL 5.6, and the older ones that old tables still have.
//!
//! Zero dates and zero parts are written as they are; parts that no calendar has (month 13) are errors.

use super::{ValueError, big_endian, signed};
use crate::source::rows::little_endian;

#[cfg(test)]
mod tests;

/// A temporal wire form; the number is the fractional digits, 0 to 6.
#[derive(Clone, Copy, Debug)]
pub(super) enum Temporal {
    Date,
    DateTime(u8),
    Timestamp(u8),
    Time(u8),
    OldDateTime,
    OldTimestamp,
    OldTime,
}

impl Temporal {
    /// Appends the value's text, without quotes.
    pub(super) fn write(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        match self {
            Self::Date => {
                let packed = little_endian(bytes);
                write_date(packed >> 9, packed >> 5 & 15, packed & 31, out)
            }
            Self::DateTime(digits) => {
                let (packed, micros) = split(bytes, 5, digits)?;
                let packed = packed
                    .checked_sub(1 << 39)
                    .ok_or(ValueError::Malformed("DATETIME"))?;
                write_packed_datetime(packed, out)?;
                write_fraction(micros, digits, out)
            }
            Self::Timestamp(digits) => {
                let (seconds, micros) = split(bytes, 4, digits)?;
                write_timestamp(seconds, micros == 0, out)?;
                write_fraction(micros, digits, out)?;
                out.push(b'Z');
                Ok(())
            }
            Self::Time(digits) => {
                // One two's complement number over whole and fraction, shifted to be unsigned.
                let bits = 8 * u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let half = 1u64
                    .checked_shl(bits.saturating_sub(1))
                    .ok_or(ValueError::Malformed("TIME"))?;
                let number = big_endian(bytes);
                if number < half {
                    out.push(b'-');
                }
                let fraction_bits = bits.saturating_sub(24);
                let magnitude = number.abs_diff(half);
                let micros = (magnitude & ((1 << fraction_bits) - 1)) * unit(digits);
                write_hms(magnitude >> fraction_bits, out)?;
                write_fraction(micros, digits, out)
            }
            Self::OldDateTime => {
                let number = little_endian(bytes);
                let (date, time) = (number / 1_000_000, number % 1_000_000);
                write_date(date / 10_000, date / 100 % 100, date % 100, out)?;
                out.push(b' ');
                write_time(time / 10_000, time / 100 % 100, time % 100, out)
            }
            Self::OldTimestamp => {
                write_timestamp(little_endian(bytes), true, out)?;
                out.push(b'Z');
                Ok(())
            }
            Self::OldTime => {
                let number = signed(bytes);
                if number < 0 {
                    out.push(b'-');
                }
                let time = number.unsigned_abs();
                write_time(time / 10_000, time / 100 % 100, time % 100, out)
            }
        }
    }
}

impl Temporal {
    /// The instant in microseconds since 1970. A zero date is none, and other types name no instant.
    pub(super) fn micros(self, bytes: &[u8]) -> Result<u64, ValueError> {
        let (seconds, micros) = match self {
            Self::Timestamp(digits) => split(bytes, 4, digits)?,
            Self::OldTimestamp => (little_endian(bytes), 0),
            Self::Date | Self::DateTime(_) | Self::Time(_) | Self::OldDateTime | Self::OldTime => (0, 0),
        };
        if micros > 999_999 {
            return Err(ValueError::Malformed("fraction of a second"));
        }
        match seconds.saturating_mul(1_000_000).saturating_add(micros) {
            0 => Err(ValueError::Unfit("TIMESTAMP")),
            instant => Ok(instant),
        }
    }
}

/// What one unit of the stored fraction is in microseconds: it has an even number of digits.
fn unit(digits: u8) -> u64 {
    match digits {
        0 => 0,
        1 | 2 => 10_000,
        3 | 4 => 100,
        _ => 1,
    }
}

/// Splits big-endian bytes into the whole part of `length` bytes and the fraction in microseconds.
fn split(bytes: &[u8], length: usize, digits: u8) -> Result<(u64, u64), ValueError> {
    let (whole, fraction) = bytes.split_at_checked(length).ok_or(ValueError::Truncated)?;
    Ok((big_endian(whole), big_endian(fraction) * unit(digits)))
}

/// JSON's DATETIME and TIMESTAMP: year and month, day, hour, minute, second, microseconds in one number.
pub(super) fn write_packed(packed: i64, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let packed = u64::try_from(packed).map_err(|_| ValueError::Malformed("DATETIME"))?;
    write_packed_datetime(packed >> 24, out)?;
    write_fraction(packed & 0xff_ffff, 6, out)
}

/// JSON's DATE: a DATETIME of which only the date counts.
pub(super) fn write_packed_date(packed: i64, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let packed = u64::try_from(packed).map_err(|_| ValueError::Malformed("DATE"))?;
    let days = packed >> 41;
    write_year_month(days >> 5, days & 31, out)
}

/// JSON's TIME.
pub(super) fn write_packed_time(packed: i64, out: &mut Vec<u8>) -> Result<(), ValueError> {
    if packed < 0 {
        out.push(b'-');
    }
    let packed = packed.unsigned_abs();
    write_hms(packed >> 24, out)?;
    write_fraction(packed & 0xff_ffff, 6, out)
}

/// 17 bits year · 13 + month, 5 day, 5 hour, 6 minute, 6 second.
fn write_packed_datetime(packed: u64, out: &mut Vec<u8>) -> Result<(), ValueError> {
    write_year_month(packed >> 22, packed >> 17 & 31, out)?;
    out.push(b' ');
    write_time(packed >> 12 & 31, packed >> 6 & 63, packed & 63, out)
}

fn write_year_month(year_month: u64, day: u64, out: &mut Vec<u8>) -> Result<(), ValueError> {
    write_date(year_month / 13, year_month % 13, day, out)
}

/// Hours above, 6 bits minute, 6 bits second.
fn write_hms(packed: u64, out: &mut Vec<u8>) -> Result<(), ValueError> {
    write_time(packed >> 12, packed >> 6 & 63, packed & 63, out)
}

fn write_date(year: u64, month: u64, day: u64, out: &mut Vec<u8>) -> Result<(), ValueError> {
    if year > 9999 || month > 12 || day > 31 {
        return Err(ValueError::Malformed("date"));
    }
    write_two(year / 100, out);
    write_two(year % 100, out);
    out.push(b'-');
    write_two(month, out);
    out.push(b'-');
    write_two(day, out);
    Ok(())
}

fn write_time(hour: u64, minute: u64, second: u64, out: &mut Vec<u8>) -> Result<(), ValueError> {
    if hour > 999 || minute > 59 || second > 59 {
        return Err(ValueError::Malformed("time"));
    }
    if hour > 99 {
        write_digit(hour / 100, out);
    }
    write_two(hour % 100, out);
    out.push(b':');
    write_two(minute, out);
    out.push(b':');
    write_two(second, out);
    Ok(())
}

/// Seconds since 1970 in UTC. 0 without a fraction is the zero date, not an instant.
fn write_timestamp(seconds: u64, no_fraction: bool, out: &mut Vec<u8>) -> Result<(), ValueError> {
    if seconds == 0 && no_fraction {
        out.extend_from_slice(b"0000-00-00 00:00:00");
        return Ok(());
    }
    let (year, month, day) = civil(seconds / 86_400);
    write_date(year, month, day, out)?;
    out.push(b' ');
    let second = seconds % 86_400;
    write_time(second / 3600, second / 60 % 60, second % 60, out)
}

/// Days since 1970-01-01 to the Gregorian calendar. Years begin in March here, so that a leap day ends one.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Appends the point and the first `digits` of six digits; the others must be zero.
fn write_fraction(micros: u64, digits: u8, out: &mut Vec<u8>) -> Result<(), ValueError> {
    if micros > 999_999 {
        return Err(ValueError::Malformed("fraction of a second"));
    }
    if digits == 0 {
        return Ok(());
    }
    out.push(b'.');
    let (mut rest, mut place) = (micros, 100_000);
    for _ in 0..digits {
        write_digit(rest / place, out);
        rest %= place;
        place = (place / 10).max(1);
    }
    if digits < 6 && rest != 0 {
        return Err(ValueError::Malformed("fraction of a second"));
    }
    Ok(())
}

fn write_two(number: u64, out: &mut Vec<u8>) {
    write_digit(number / 10 % 10, out);
    write_digit(number % 10, out);
}

fn write_digit(digit: u64, out: &mut Vec<u8>) {
    out.push(b'0' + digit.to_le_bytes()[0]);
}
