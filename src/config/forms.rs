//! Texts that have a form of their own: hosts, endpoints, names, start positions. Pure.

use std::net::IpAddr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::StartPosition;
use super::options::Refusal;
use crate::position::FilePosition;

pub(super) fn host(text: &str) -> Result<String, Refusal> {
    let remedy = "write a host name or an address alone; the port goes to DATABASE_PORT";
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    if text.contains("://") || text.contains([':', '/', '@']) || text.contains(char::is_whitespace) {
        return Err(Refusal::new("is not a host name", remedy));
    }
    Ok(text.to_owned())
}

/// Names end up in a URL: what would change its structure is refused, everything else is the service's to judge.
pub(super) fn path_segment(text: &str) -> Result<String, Refusal> {
    if text.contains(['/', '?', '#', '%', '\\']) || text.contains(char::is_whitespace) || !text.is_ascii() {
        return Err(Refusal::new(
            "cannot be part of a URL",
            "write the name as the DataHub console shows it",
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn endpoint(text: &str) -> Result<String, Refusal> {
    let refuse = |message: &str| {
        Err(Refusal::new(
            message,
            "write something like https://dh-cn-hangzhou.aliyuncs.com",
        ))
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse("does not start with http:// or https://");
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return refuse("does not start with http:// or https://");
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return refuse("has a path or a query, which belong to the calls");
    }
    if authority.contains('@') {
        return refuse("holds a user name; credentials are options of their own");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return refuse("has a bad port");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    if !good {
        return refuse("has no valid host");
    }
    Ok(format!("{scheme}://{authority}"))
}

pub(super) fn start_position(text: &str) -> Result<StartPosition, Refusal> {
    let refuse = |message: String| {
        Refusal::new(
            message,
            "write latest, earliest, gtid:<set>, file:<name>:<pos> or timestamp:<RFC 3339 time>",
        )
    };
    let (form, rest) = text.split_once(':').unwrap_or((text, ""));
    match (form.to_ascii_lowercase().as_str(), rest.trim()) {
        ("latest", "") => Ok(StartPosition::Latest),
        ("earliest", "") => Ok(StartPosition::Earliest),
        ("gtid", set) if !set.is_empty() => set
            .parse()
            .map(StartPosition::Gtid)
            .map_err(|e| refuse(format!("is not readable: {e}"))),
        ("file", place) => {
            let (file, pos) = place
                .rsplit_once(':')
                .ok_or_else(|| refuse(String::from("lacks the position behind the file name")))?;
            let pos: u64 = pos
                .parse()
                .map_err(|_| refuse(String::from("has a position that is not a whole number")))?;
            // A binlog file starts with four magic bytes; no event is before them.
            if file.is_empty() || pos < 4 {
                return Err(refuse(String::from(
                    "needs a file name and a position of at least 4",
                )));
            }
            Ok(StartPosition::File(FilePosition {
                file: file.to_owned(),
                pos,
            }))
        }
        ("timestamp", moment) => OffsetDateTime::parse(moment, &Rfc3339)
            .ok()
            .and_then(|moment| u64::try_from(moment.unix_timestamp_nanos() / 1_000).ok())
            .map(StartPosition::Timestamp)
            .ok_or_else(|| {
                refuse(String::from(
                    "does not hold a time after 1970 such as 2026-01-31T08:00:00Z",
                ))
            }),
        _ => Err(refuse(String::from("is not a known form"))),
    }
}

/// A replica id that stays the same as long as group and source do, from 1,073,741,824 to 2,147,483,647: far
/// from the small numbers that people give their servers. FNV-1a, because it is stable and needs no crate.
pub(super) fn derived_server_id(group: &str, host: &str, port: u16) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in format!("{group}\0{host}\0{port}").bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    const LOWEST: u32 = 1 << 30;
    LOWEST | (hash & (LOWEST - 1))
}

#[cfg(test)]
mod tests;
