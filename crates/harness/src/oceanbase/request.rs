//! What a client asks for, and the place that the service takes it to mean.

use super::instance::{Instance, START};
use super::packet::Refusal;

/// Transactions of one uuid, in half-open ranges.
type Sid = ([u8; 16], Vec<(u64, u64)>);

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) flags: u16,
    pub(super) file: String,
    pub(super) position: u64,
    /// What it has; `None` for a dump by file.
    pub(super) gtids: Option<Vec<Sid>>,
}

/// What the session was told before.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub(super) heartbeat_ns: Option<u64>,
    pub(super) checksum: Option<String>,
}

/// Flag: the dump is to end where the binlog does.
pub(super) const NON_BLOCK: u16 = 0x1;

const CLEANED_UP: &str = "The requested gtid transaction no longer exists and may have been cleaned up";

impl Request {
    /// Reads COM_BINLOG_DUMP.
    pub(super) fn by_file(payload: &[u8]) -> Option<Request> {
        let position = u32::from_le_bytes(*payload.get(1..)?.first_chunk()?);
        let flags = u16::from_le_bytes(*payload.get(5..)?.first_chunk()?);
        let file = String::from_utf8_lossy(payload.get(11..)?).into_owned();
        Some(Request {
            flags,
            file,
            position: u64::from(position),
            gtids: None,
        })
    }

    /// Reads COM_BINLOG_DUMP_GTID.
    pub(super) fn by_gtid(payload: &[u8]) -> Option<Request> {
        let flags = u16::from_le_bytes(*payload.get(1..)?.first_chunk()?);
        let length = u32::from_le_bytes(*payload.get(7..)?.first_chunk()?) as usize;
        let file = String::from_utf8_lossy(payload.get(11..11 + length)?).into_owned();
        let position = u64::from_le_bytes(*payload.get(11 + length..)?.first_chunk()?);
        let mut sids = payload.get(11 + length + 12..)?;
        let mut gtids = Vec::new();
        let mut take = |bytes: usize| {
            let (head, tail) = sids.split_at_checked(bytes)?;
            sids = tail;
            Some(head)
        };
        let count = match take(8) {
            Some(bytes) => u64::from_le_bytes(*bytes.first_chunk()?),
            None => 0,
        };
        for _ in 0..count {
            let uuid = *take(16)?.first_chunk()?;
            let ranges = u64::from_le_bytes(*take(8)?.first_chunk()?);
            let mut intervals = Vec::new();
            for _ in 0..ranges {
                let first = u64::from_le_bytes(*take(8)?.first_chunk()?);
                let end = u64::from_le_bytes(*take(8)?.first_chunk()?);
                intervals.push((first, end));
            }
            gtids.push((uuid, intervals));
        }
        Some(Request {
            flags,
            file,
            position,
            gtids: Some(gtids),
        })
    }
}

/// Where a dump starts.
pub(super) struct Start {
    pub(super) file: u32,
    pub(super) offset: usize,
    /// It can never leave the end of its file: only the ROTATE that it sent itself would take it on.
    pub(super) stuck: bool,
    /// Transactions that the client has.
    pub(super) has: Vec<(u64, u64)>,
}

/// The place that a request means, by the service's own rules.
pub(super) fn start(instance: &Instance, uuid: &[u8; 16], request: &Request) -> Result<Start, Refusal> {
    let oldest = instance.files.first();
    let Some(gtids) = &request.gtids else {
        let wanted = instance.files.iter().find(|file| file.name() == request.file);
        let file = match (wanted, request.file.is_empty()) {
            (Some(file), _) => file,
            (None, true) => oldest.ok_or_else(|| Refusal::fatal("Could not find first log file"))?,
            (None, false) => {
                let text = "Could not find first log file name in binary log index file";
                return Err(Refusal::fatal(text));
            }
        };
        if request.position < START as u64 {
            return Err(Refusal::fatal(
                "Client requested source to start replication from position < 4",
            ));
        }
        let offset = file.offset(request.position);
        if offset > file.data.len() {
            return Err(Refusal::fatal(
                "Client requested source to start replication from position > file size",
            ));
        }
        if !file.is_boundary(offset) {
            let text = format!("Failed to verify first event at {}", request.position);
            return Err(Refusal::fatal(text));
        }
        let newest = instance.files.last().map(|file| file.number);
        return Ok(Start {
            file: file.number,
            offset,
            stuck: offset == file.data.len() && Some(file.number) != newest,
            has: Vec::new(),
        });
    };
    let has: Vec<(u64, u64)> = gtids
        .iter()
        .filter(|(of, _)| of == uuid)
        .flat_map(|(_, ranges)| ranges.iter().copied())
        .collect();
    let any = gtids.iter().any(|(_, ranges)| !ranges.is_empty());
    // Only the first range of a uuid is compared.
    let covers = |last: u64| last == 0 || matches!(has.first(), Some((1, end)) if *end > last);
    let found = match any {
        // An empty set is not refused, whatever was purged.
        false => oldest,
        true => instance.files.iter().rev().find(|file| covers(file.previous)),
    };
    let file = found.ok_or_else(|| Refusal::fatal(CLEANED_UP))?;
    Ok(Start {
        file: file.number,
        offset: START,
        stuck: false,
        has,
    })
}
