//! Opens the binlog as the relay would, and reads up to the first event that describes a file: what privileges,
//! checksums and a proxy in between are worth is proven here, not asked.

use std::time::Duration;

use tokio::time::Instant;

use super::{Finding, ServerFacts};
use crate::config::DatabaseConfig;
use crate::position::FilePosition;
use crate::retry::Failure;
use crate::source::connection::{self, DumpStart};
use crate::source::decode::kind;
use crate::source::intake::{Intake, Taken};
use crate::source::refusal;

/// Ids that nobody derives and hardly anybody gives: above those that are derived for collectors.
const PROBE_IDS: std::ops::RangeInclusive<u32> = 0xf000_0000..=0xffff_fffe;

/// Where the server's version stands in the event, behind the format's own.
const VERSION: std::ops::Range<usize> = 2..52;

/// Requests the dump at the binlog's end, reads until its file is described, and hangs up.
///
/// The request has a replica id of its own, so that it disturbs no collector that is at work: of two readers with one
/// id the server sends the older one away.
///
/// # Errors
/// What kept the stream from beginning.
pub async fn prove(config: &DatabaseConfig, facts: &ServerFacts) -> Result<Finding, Failure> {
    let conn = connection::connect(config).await?;
    let config = DatabaseConfig {
        server_id: fastrand::u32(PROBE_IDS),
        ..config.clone()
    };
    let flavour = facts.identity.flavour;
    let start = DumpStart::File(facts.head.clone());
    let stream = connection::request_dump(conn, flavour, &config, &start).await?;
    let mut intake = Intake::new(stream, flavour, config.heartbeat);
    let described = described(&mut intake, config.connect_timeout).await;
    intake.close().await;
    Ok(served(&facts.head, described?.body()))
}

async fn described(intake: &mut Intake, limit: Duration) -> Result<Taken, Failure> {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        match intake.next(until).await {
            Some(Ok(taken)) if taken.header.kind == kind::FORMAT_DESCRIPTION => return Ok(taken),
            Some(Ok(_)) | None => {}
            Some(Err(failure)) => return Err(failure),
        }
    }
    Err(refusal::timed_out("begin to send the binlog", limit))
}

fn served(at: &FilePosition, body: &[u8]) -> Finding {
    let version = body.get(VERSION).unwrap_or_default();
    let version: Vec<u8> = version.iter().copied().take_while(|byte| *byte != 0).collect();
    Finding::info(
        "dump",
        format!(
            "the binlog is served from {at}, written by {}",
            String::from_utf8_lossy(&version)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_up_to_its_end() {
        let mut body = vec![4, 0];
        body.extend_from_slice(b"10.11.19-MariaDB");
        body.resize(60, 0);
        let at = FilePosition {
            file: "binlog.000001".to_owned(),
            pos: 4,
        };
        for (body, says) in [
            (body.as_slice(), "written by 10.11.19-MariaDB"),
            (&[], "written by "),
        ] {
            let seen = served(&at, body).seen;
            assert!(seen.ends_with(says), "{seen}");
        }
    }
}
