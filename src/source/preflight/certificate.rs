//! What a certificate says of its own time: a subject, and from when until when. Pure.
//!
//! Reads the few fields of X.509's DER form that are needed and checks no signature: that is the TLS library's business.

use time::{Date, Month, PrimitiveDateTime, Time};

use super::Finding;

/// So many days before its end a certificate is told of.
const SOON_DAYS: i64 = 30;

const DAY_SECONDS: i64 = 86_400;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which the first form of certificates does not have.
const VERSION: u8 = 0xa0;
/// The identifier 2.5.4.3 in its encoded form.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// A certificate, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's common name; empty where it has none.
    pub name: String,
    /// The last moment of its time, seconds since 1970.
    pub not_after_s: i64,
}

impl Certificate {
    /// Reads DER; `None` for what is no certificate.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(der, SEQUENCE)?;
        let (mut fields, _) = expect(certificate, SEQUENCE)?;
        if let Some((_, rest)) = expect(fields, VERSION) {
            fields = rest;
        }
        // Serial number, signature algorithm and issuer.
        for _ in 0..3 {
            (_, _, fields) = element(fields)?;
        }
        let (validity, fields) = expect(fields, SEQUENCE)?;
        let (subject, _) = expect(fields, SEQUENCE)?;
        let (_, _, not_after) = element(validity)?;
        let (tag, text, _) = element(not_after)?;
        Some(Self {
            name: common_name(subject).unwrap_or_default(),
            not_after_s: moment(tag, text)?,
        })
    }
}

/// The first element: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else {
        return None;
    };
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(*short), rest),
        // Nothing here is longer than a few thousand bytes.
        long @ 0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |sum, digit| (sum << 8) | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == wanted).then_some((content, rest))
}

fn common_name(mut subject: &[u8]) -> Option<String> {
    while let Some((set, rest)) = expect(subject, SET) {
        subject = rest;
        let (pair, _) = expect(set, SEQUENCE)?;
        let (_, identifier, value) = element(pair)?;
        if identifier == COMMON_NAME {
            let (_, text, _) = element(value)?;
            let text = String::from_utf8_lossy(text);
            return Some(text.chars().filter(|c| !c.is_control()).collect());
        }
    }
    None
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn moment(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i32 = year.parse().ok()?;
            // The standard's own reading of two digits.
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let mut parts = [0u8; 5];
    let mut rest = rest;
    for part in &mut parts {
        let (digits, after) = rest.split_at_checked(2)?;
        *part = digits.parse().ok()?;
        rest = after;
    }
    let [month, day, hour, minute, second] = parts;
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let time = Time::from_hms(hour, minute, second).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

/// What a server's certificates mean `now_s` seconds after 1970. `is_checked`: whether the connection trusts them only
/// after checking who signed them.
pub fn judge(chain: &[Certificate], is_checked: bool, now_s: i64) -> Finding {
    let Some(first) = chain.iter().min_by_key(|certificate| certificate.not_after_s) else {
        return Finding::info("tls", "encrypted; the server showed no certificate");
    };
    let (name, left) = (&first.name, first.not_after_s.saturating_sub(now_s));
    let days = left / DAY_SECONDS;
    let remedy = "renew the certificate in the server's ssl_cert, and run `FLUSH SSL` (MariaDB) or `ALTER INSTANCE RELOAD TLS` \
                  (MySQL)";
    if left < 0 {
        let seen = format!("the certificate of {name} expired {} days ago", -days);
        return Finding::warning("tls_certificate_expires", seen, remedy);
    }
    if days < SOON_DAYS {
        let seen = format!("the certificate of {name} expires in {days} days");
        return Finding::warning("tls_certificate_expires", seen, remedy);
    }
    let trust = if is_checked {
        "its chain is checked"
    } else {
        "it is not checked (DATABASE_TLS_MODE)"
    };
    Finding::info(
        "tls",
        format!("encrypted; the certificate of {name} holds for {days} days; {trust}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::preflight::Severity;

    /// One element with a short length.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let mut all = vec![tag];
        match u8::try_from(content.len()) {
            Ok(length) if length < 0x80 => all.push(length),
            Ok(length) => all.extend([0x81, length]),
            Err(_) => panic!("a short one"),
        }
        all.extend(content);
        all
    }

    fn certificate(version: bool, tag: u8, until: &str) -> Vec<u8> {
        let name = |text: &str| {
            let pair = der(
                SEQUENCE,
                &[&der(6, &[COMMON_NAME]), &der(0x0c, &[text.as_bytes()])],
            );
            let country = der(SEQUENCE, &[&der(6, &[&[0x55, 4, 6]]), &der(0x13, &[b"DE"])]);
            der(SEQUENCE, &[&der(SET, &[&country]), &der(SET, &[&pair])])
        };
        let validity = der(
            SEQUENCE,
            &[
                &der(UTC_TIME, &[b"200101000000Z"]),
                &der(tag, &[until.as_bytes()]),
            ],
        );
        let fields = der(
            SEQUENCE,
            &[
                &if version {
                    der(VERSION, &[&der(2, &[&[2]])])
                } else {
                    Vec::new()
                },
                &der(2, &[&[1]]),
                &der(SEQUENCE, &[]),
                &name("an authority"),
                &validity,
                &name("db\n.example"),
            ],
        );
        der(SEQUENCE, &[&fields])
    }

    #[test]
    fn the_end_is_read_in_both_forms_of_time() {
        for (version, tag, until, expected) in [
            (true, UTC_TIME, "260131080910Z", Some(1_769_846_950)),
            (false, UTC_TIME, "260131080910Z", Some(1_769_846_950)),
            (true, GENERALIZED_TIME, "20600101000000Z", Some(2_840_140_800)),
            (true, UTC_TIME, "991231235959Z", Some(946_684_799)),
            (true, UTC_TIME, "261331080910Z", None),
            (true, UTC_TIME, "26Z", None),
            (true, 0x16, "260131080910Z", None),
        ] {
            let read = Certificate::parse(&certificate(version, tag, until));
            assert_eq!(read.as_ref().map(|c| c.not_after_s), expected, "{until}");
            if let Some(read) = read {
                assert_eq!(read.name, "db.example");
            }
        }
    }

    #[test]
    fn what_is_cut_is_no_certificate() {
        let whole = certificate(true, UTC_TIME, "260131080910Z");
        for length in 0..whole.len() {
            assert_eq!(Certificate::parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(Certificate::parse(&[SEQUENCE, 0x84, 1, 1, 1, 1]), None);
    }

    #[test]
    fn the_first_of_a_chain_to_end_decides() {
        let at = |days: i64| Certificate {
            name: format!("c{days}"),
            not_after_s: days * DAY_SECONDS,
        };
        let judged = |chain: &[i64], now: i64| {
            let chain: Vec<Certificate> = chain.iter().map(|days| at(*days)).collect();
            let finding = judge(&chain, true, now * DAY_SECONDS);
            (finding.code, finding.severity, finding.seen)
        };
        let (code, severity, seen) = judged(&[400, 90], 50);
        assert_eq!((code, severity), ("tls", Severity::Info));
        assert!(seen.contains("c90 holds for 40 days"), "{seen}");
        let (code, severity, seen) = judged(&[400, 79], 50);
        assert_eq!((code, severity), ("tls_certificate_expires", Severity::Warning));
        assert!(seen.ends_with("expires in 29 days"), "{seen}");
        assert!(judged(&[40, 79], 50).2.ends_with("expired 10 days ago"));
        assert_eq!(judged(&[], 50).0, "tls");
    }
}
