//! Every form at its boundaries, against the documented layout.

use super::*;

fn text(form: Temporal, bytes: &[u8]) -> Result<String, ValueError> {
    let mut out = Vec::new();
    form.write(bytes, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// The fraction's stored bytes: `digits` rounded up to even, big endian.
fn fraction(micros: u64, digits: u8) -> Vec<u8> {
    let length = usize::from(digits).div_ceil(2);
    let stored = micros.checked_div(unit(digits)).unwrap_or(0);
    stored.to_be_bytes()[8 - length..].to_vec()
}

fn datetime(parts: [u64; 6], micros: u64, digits: u8) -> Vec<u8> {
    let [year, month, day, hour, minute, second] = parts;
    let date = (year * 13 + month) << 5 | day;
    let packed = (1 << 39) | date << 17 | hour << 12 | minute << 6 | second;
    let mut bytes = packed.to_be_bytes()[3..].to_vec();
    bytes.extend(fraction(micros, digits));
    bytes
}

#[test]
fn dates() {
    let date = |y: u32, m: u32, d: u32| text(Temporal::Date, &(y << 9 | m << 5 | d).to_le_bytes()[..3]);
    assert_eq!(date(2024, 2, 29).unwrap(), "2024-02-29");
    assert_eq!(date(0, 0, 0).unwrap(), "0000-00-00");
    assert_eq!(date(2024, 0, 0).unwrap(), "2024-00-00");
    assert_eq!(date(9999, 12, 31).unwrap(), "9999-12-31");
    assert!(date(2024, 13, 1).is_err());
    assert!(date(10_000, 1, 1).is_err());
}

#[test]
fn datetimes_of_all_digits() {
    let parts = [2024, 12, 31, 23, 59, 58];
    let all = "2024-12-31 23:59:58.123456";
    for digits in 0..=6u8 {
        let length = if digits == 0 { 19 } else { 20 + usize::from(digits) };
        let keep = 10u64.pow(6 - u32::from(digits));
        let bytes = datetime(parts, 123_456 / keep * keep, digits);
        assert_eq!(
            text(Temporal::DateTime(digits), &bytes).unwrap(),
            all.get(..length).unwrap()
        );
    }
    let zero = datetime([0; 6], 0, 2);
    assert_eq!(
        text(Temporal::DateTime(2), &zero).unwrap(),
        "0000-00-00 00:00:00.00"
    );
    let least = [0x80, 0, 0, 0, 0];
    assert_eq!(
        text(Temporal::DateTime(0), &least).unwrap(),
        "0000-00-00 00:00:00"
    );
    assert!(text(Temporal::DateTime(0), &[0x7f, 0, 0, 0, 0]).is_err());
    // 15 hundredths in one digit; 100 hundredths.
    assert!(text(Temporal::DateTime(1), &datetime(parts, 150_000, 1)).is_err());
    assert!(text(Temporal::DateTime(2), &datetime(parts, 1_000_000, 2)).is_err());
}

#[test]
fn timestamps_are_utc() {
    let timestamp = |seconds: u32, micros, digits| {
        let mut bytes = seconds.to_be_bytes().to_vec();
        bytes.extend(fraction(micros, digits));
        text(Temporal::Timestamp(digits), &bytes).unwrap()
    };
    assert_eq!(timestamp(0, 0, 0), "0000-00-00 00:00:00Z");
    assert_eq!(timestamp(0, 0, 3), "0000-00-00 00:00:00.000Z");
    assert_eq!(timestamp(0, 500_000, 1), "1970-01-01 00:00:00.5Z");
    assert_eq!(timestamp(1, 0, 0), "1970-01-01 00:00:01Z");
    assert_eq!(timestamp(951_827_696, 0, 0), "2000-02-29 12:34:56Z");
    assert_eq!(
        timestamp(2_147_483_647, 999_999, 6),
        "2038-01-19 03:14:07.999999Z"
    );
    assert_eq!(timestamp(u32::MAX, 0, 0), "2106-02-07 06:28:15Z");
}

#[test]
fn every_day_follows_the_calendar() {
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let (mut year, mut month, mut day) = (1970, 1, 1);
    for days in 0..60_000 {
        assert_eq!(civil(days), (year, month, day));
        let length = match month {
            2 => 28 + u64::from(leap(year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        day += 1;
        if day > length {
            (day, month) = (1, month + 1);
        }
        if month > 12 {
            (month, year) = (1, year + 1);
        }
    }
}

/// As the server packs it: the whole part rounds down, the fraction has the sign of the value.
fn time(negative: bool, hms: [i64; 3], micros: i64, digits: u8) -> Vec<u8> {
    let [hour, minute, second] = hms;
    let magnitude = ((hour << 12 | minute << 6 | second) << 24) + micros;
    let packed = if negative { -magnitude } else { magnitude };
    let length = usize::from(digits).div_ceil(2);
    let mut bytes = (0x80_0000 + (packed >> 24)).to_be_bytes()[5..].to_vec();
    if length == 3 {
        bytes = (0x8000_0000_0000 + packed).to_be_bytes()[2..].to_vec();
    } else if length > 0 {
        let stored = packed % (1 << 24) / i64::try_from(unit(digits)).unwrap();
        bytes.extend(&stored.to_be_bytes()[8 - length..]);
    }
    bytes
}

#[test]
fn times_of_all_digits_and_signs() {
    for digits in 0..=6u8 {
        let keep = 10i64.pow(6 - u32::from(digits));
        for negative in [false, true] {
            for (hms, whole) in [
                ([0, 0, 0], "00:00:00"),
                ([0, 0, 1], "00:00:01"),
                ([12, 34, 56], "12:34:56"),
                ([838, 59, 59], "838:59:59"),
            ] {
                for micros in [0, 1, 10, 100, 10_000, 100_000, 123_456, 999_999] {
                    let micros = micros / keep * keep;
                    let zero = hms == [0, 0, 0] && micros == 0;
                    let sign = if negative && !zero { "-" } else { "" };
                    let fraction = format!(".{micros:06}");
                    let fraction = fraction.get(..=usize::from(digits)).unwrap();
                    let fraction = if digits == 0 { "" } else { fraction };
                    let bytes = time(negative, hms, micros, digits);
                    assert_eq!(
                        text(Temporal::Time(digits), &bytes).unwrap(),
                        format!("{sign}{whole}{fraction}"),
                        "{digits} digits, {bytes:02x?}"
                    );
                }
            }
        }
    }
}

#[test]
fn negative_times_by_their_documented_bytes() {
    let cases: [(&[u8], &str); 5] = [
        (&[0x80, 0, 0, 0], "00:00:00.00"),
        (&[0x7f, 0xff, 0xff, 0xff], "-00:00:00.01"),
        (&[0x7f, 0xff, 0xff, 0x9d], "-00:00:00.99"),
        (&[0x7f, 0xff, 0xff, 0x00], "-00:00:01.00"),
        (&[0x7f, 0xff, 0xfe, 0xf6], "-00:00:01.10"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(text(Temporal::Time(2), bytes).unwrap(), expected);
    }
    assert!(text(Temporal::Time(0), &[0x80, 0x0f, 0xff]).is_err());
}

#[test]
fn forms_before_5_6() {
    let bytes = 20_240_229_123_456u64.to_le_bytes();
    assert_eq!(
        text(Temporal::OldDateTime, &bytes).unwrap(),
        "2024-02-29 12:34:56"
    );
    assert_eq!(
        text(Temporal::OldDateTime, &[0; 8]).unwrap(),
        "0000-00-00 00:00:00"
    );
    assert!(text(Temporal::OldDateTime, &[0xff; 8]).is_err());
    assert_eq!(
        text(Temporal::OldTimestamp, &[1, 0, 0, 0]).unwrap(),
        "1970-01-01 00:00:01Z"
    );
    assert_eq!(
        text(Temporal::OldTimestamp, &[0; 4]).unwrap(),
        "0000-00-00 00:00:00Z"
    );
    let old = |number: i32| text(Temporal::OldTime, &number.to_le_bytes()[..3]);
    assert_eq!(old(8_385_959).unwrap(), "838:59:59");
    assert_eq!(old(-8_385_959).unwrap(), "-838:59:59");
    assert_eq!(old(-1).unwrap(), "-00:00:01");
    assert!(old(99).is_err());
}
