//! The fixed part of an event, and the checksum behind it. Pure.

use super::kind;

/// Bytes of an event header.
pub const HEADER_BYTES: usize = 19;

/// Header flag: made up by the server for this stream, not in the file.
pub(super) const FLAG_ARTIFICIAL: u16 = 0x20;
/// Header flag: a reader that does not know the type may pass over it.
pub(super) const FLAG_IGNORABLE: u16 = 0x80;
/// Header flag of a file that is being written; servers leave it out of the checksum of the first event.
const FLAG_IN_USE: u16 = 0x01;

/// The fixed part of every event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Seconds since 1970.
    pub timestamp: u32,
    /// The type byte.
    pub kind: u8,
    /// The server that wrote it first.
    pub server_id: u32,
    /// Header, body and checksum, in bytes.
    pub size: u32,
    /// End of the event in its file, modulo 2^32; 0 if it is in no file.
    pub log_pos: u32,
    /// `LOG_EVENT_*_F` bits.
    pub flags: u16,
}

impl Header {
    /// Reads the 19 bytes in front of an event.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [
            t0,
            t1,
            t2,
            t3,
            kind,
            s0,
            s1,
            s2,
            s3,
            z0,
            z1,
            z2,
            z3,
            p0,
            p1,
            p2,
            p3,
            f0,
            f1,
        ] = *bytes;
        Self {
            timestamp: u32::from_le_bytes([t0, t1, t2, t3]),
            kind,
            server_id: u32::from_le_bytes([s0, s1, s2, s3]),
            size: u32::from_le_bytes([z0, z1, z2, z3]),
            log_pos: u32::from_le_bytes([p0, p1, p2, p3]),
            flags: u16::from_le_bytes([f0, f1]),
        }
    }

    /// The bytes it was read from.
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let [t0, t1, t2, t3] = self.timestamp.to_le_bytes();
        let [s0, s1, s2, s3] = self.server_id.to_le_bytes();
        let [z0, z1, z2, z3] = self.size.to_le_bytes();
        let [p0, p1, p2, p3] = self.log_pos.to_le_bytes();
        let [f0, f1] = self.flags.to_le_bytes();
        [
            t0, t1, t2, t3, self.kind, s0, s1, s2, s3, z0, z1, z2, z3, p0, p1, p2, p3, f0, f1,
        ]
    }

    /// Whether the server made the event up for this stream.
    pub fn is_artificial(&self) -> bool {
        self.log_pos == 0 || self.flags & FLAG_ARTIFICIAL != 0
    }

    fn is_heartbeat(&self) -> bool {
        matches!(self.kind, kind::HEARTBEAT | kind::HEARTBEAT_V2)
    }

    /// Whether `stored` is the checksum of this header and `body` (without the checksum itself).
    ///
    /// The flags count as they are: OceanBase sets the in-use flag on every event and checksums it. Only the
    /// file's first event is written before that flag is set, so both readings are good there.
    pub fn checksum_matches(&self, body: &[u8], stored: [u8; 4]) -> bool {
        if self.is_heartbeat() {
            // Carries nothing that is used, and not every server checksums it the same way.
            return true;
        }
        let sum = |header: &Self, tail: &[u8]| {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&header.bytes());
            hasher.update(body);
            hasher.update(tail);
            hasher.finalize() == u32::from_le_bytes(stored)
        };
        if self.kind != kind::FORMAT_DESCRIPTION {
            return sum(self, &[]);
        }
        // The algorithm byte at the end of this event's body is cut off by the library.
        let cleared = Self {
            flags: self.flags & !FLAG_IN_USE,
            ..*self
        };
        sum(&cleared, &[1]) || sum(self, &[1])
    }
}

/// The file name of a made-up ROTATE, whatever the library did to its last four bytes.
///
/// Servers disagree on whether this event carries a checksum, and the library goes by the file's first event,
/// which comes later. The checksum itself settles it: `body` may lack four bytes of the name (`cut`), or have
/// four checksum bytes behind it. Returns the repaired body where it differs from `body`.
pub fn repair_rotate(header: &Header, body: &[u8], cut: Option<[u8; 4]>) -> Option<Vec<u8>> {
    let sum = |bytes: &[u8]| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header.bytes());
        hasher.update(bytes);
        hasher.finalize().to_le_bytes()
    };
    match cut {
        Some(cut) if sum(body) == cut => None,
        Some(cut) => Some([body, &cut].concat()),
        None => {
            let (name, last) = body.split_last_chunk::<4>()?;
            (sum(name) == *last).then(|| name.to_vec())
        }
    }
}
