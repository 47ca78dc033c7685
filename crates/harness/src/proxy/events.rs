//! Sees the binlog events in what a database sends, so that a connection can be cut at one of them.
//!
//! A packet is taken for an event if its own length and the one in the event's header agree; answers to queries do
//! not pass that. An encrypted connection shows nothing, and is not cut.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::{Cut, Proxy, Shared};

/// Length and number of a packet.
const PACKET_HEADER: usize = 4;
/// The status byte in front of an event, and the event's header.
const EVENT_HEADER: usize = 1 + 19;
/// A packet of this length goes on in the next one.
const LONGEST: usize = 0x00ff_ffff;

/// Where in an event a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind its header: what it is about does not arrive.
    Inside,
    /// Behind its last byte.
    Behind,
}

/// The next event of a type is the last, or half of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventFuse {
    event: u8,
    place: Place,
    cut: Cut,
}

/// What was found in a piece of the stream: an event's header or its end lies behind so many bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    behind: usize,
    event: u8,
    place: Place,
}

/// Follows the packets of one connection.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The beginning of the packet, as far as it matters.
    head: Vec<u8>,
    /// Bytes of the packet that were seen.
    seen: usize,
    /// The event that the packet is.
    event: Option<u8>,
    /// Whether the packet goes on with the one before.
    goes_on: bool,
}

impl Events {
    /// Takes the next piece of the stream.
    fn read(&mut self, bytes: &[u8]) -> Vec<Mark> {
        let mut marks = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let wanted = PACKET_HEADER + EVENT_HEADER;
            let length = self.length();
            let end = length.map_or(PACKET_HEADER, |length| PACKET_HEADER + length);
            // Byte by byte where the packet's own bytes are needed, at once where they are not.
            let step = if self.seen < wanted { 1 } else { bytes.len() - at };
            let taken = step.min(end - self.seen).min(bytes.len() - at);
            if self.seen < wanted {
                self.head.extend_from_slice(&bytes[at..at + taken]);
            }
            self.seen += taken;
            at += taken;
            if self.seen == wanted && !self.goes_on {
                self.event = self.recognise();
                marks.extend(self.mark(at, Place::Inside));
            }
            if let Some(length) = self.length()
                && self.seen == PACKET_HEADER + length
            {
                let goes_on = length == LONGEST;
                marks.extend(self.mark(at, Place::Behind).filter(|_| !goes_on));
                // An event goes on in the next packet.
                let event = self.event.filter(|_| goes_on);
                *self = Events {
                    goes_on,
                    event,
                    ..Events::default()
                };
            }
        }
        marks
    }

    /// The length of the packet, once its header was seen.
    fn length(&self) -> Option<usize> {
        match self.head.as_slice() {
            [low, middle, high, _, ..] => {
                Some(usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16)
            }
            _ => None,
        }
    }

    fn mark(&self, behind: usize, place: Place) -> Option<Mark> {
        let event = self.event?;
        Some(Mark { behind, event, place })
    }

    /// The type of the event, if the packet is one.
    fn recognise(&self) -> Option<u8> {
        let event = self.head.get(PACKET_HEADER + 1..)?;
        let size = event.get(9..13)?.try_into().ok().map(u32::from_le_bytes)?;
        let is_ok = self.head.get(PACKET_HEADER) == Some(&0);
        // The length of an event that goes on in other packets cannot be compared.
        let length = self.length()?;
        let agrees = length == LONGEST || size as usize + 1 == length;
        (is_ok && agrees).then(|| event.get(4).copied()).flatten()
    }
}

impl Shared {
    pub(super) fn clear_event_fuse(&self) {
        *self.event_fuse.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How many bytes may pass up to the event at which the connection is to be cut, if it is in them.
    pub(super) fn burn_at_event(&self, events: &mut Events, bytes: &[u8]) -> Option<(usize, Cut)> {
        let mut fuse = self.event_fuse.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        for mark in events.read(bytes) {
            if mark.place == Place::Inside {
                *counts.entry(mark.event).or_default() += 1;
            }
            let burnt = fuse.filter(|fuse| (fuse.event, fuse.place) == (mark.event, mark.place));
            if let Some(burnt) = burnt {
                *fuse = None;
                return Some((mark.behind, burnt.cut));
            }
        }
        None
    }
}

impl Proxy {
    /// Cuts all connections at the next binlog event of this type that a database sends. Once.
    pub fn cut_at_event(&self, event: u8, place: Place, cut: Cut) {
        let fuse = EventFuse { event, place, cut };
        *self
            .shared
            .event_fuse
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(fuse);
    }

    /// Binlog events passed on so far, by type.
    pub fn events(&self) -> BTreeMap<u8, u64> {
        self.shared
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What an event type is called; its number where it has no name here.
pub fn event_name(event: u8) -> String {
    let name = match event {
        2 => "QUERY",
        3 => "STOP",
        4 => "ROTATE",
        15 => "FORMAT_DESCRIPTION",
        16 => "XID",
        19 => "TABLE_MAP",
        23 | 30 => "WRITE_ROWS",
        24 | 31 => "UPDATE_ROWS",
        25 | 32 => "DELETE_ROWS",
        27 | 41 => "HEARTBEAT",
        33 | 162 => "GTID",
        34 => "ANONYMOUS_GTID",
        35 => "PREVIOUS_GTIDS",
        160 => "ANNOTATE_ROWS",
        161 => "BINLOG_CHECKPOINT",
        163 => "GTID_LIST",
        _ => return event.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let mut packet = (payload.len() as u32).to_le_bytes()[..3].to_vec();
        packet.push(7);
        packet.extend(payload);
        packet
    }

    fn event(event: u8, body: usize) -> Vec<u8> {
        let mut payload = vec![0, 1, 1, 1, 1, event, 2, 2, 2, 2];
        payload.extend((19 + body as u32).to_le_bytes());
        payload.extend(vec![9; 6 + body]);
        packet(&payload)
    }

    /// The marks of a stream that comes in pieces of a length, with places counted from its beginning.
    fn marks(stream: &[u8], piece: usize) -> Vec<Mark> {
        let mut events = Events::default();
        let pieces = stream.chunks(piece).zip((0..).step_by(piece));
        pieces
            .flat_map(|(piece, first)| {
                let place = move |mark: Mark| Mark {
                    behind: mark.behind + first,
                    ..mark
                };
                events.read(piece).into_iter().map(place)
            })
            .collect()
    }

    #[test]
    fn events_are_found_however_the_stream_is_cut() {
        let greeting = packet(b"\x0a9.0.0 and so on, longer than an event's header");
        let ok = packet(&[0; 40]);
        let stream = [
            greeting,
            event(19, 30),
            ok,
            packet(&[]),
            event(30, 0),
            packet(&[0xfe]),
        ]
        .concat();
        let found = marks(&stream, stream.len());
        let kinds: Vec<_> = found.iter().map(|mark| (mark.event, mark.place)).collect();
        let expected = [
            (19, Place::Inside),
            (19, Place::Behind),
            (30, Place::Inside),
            (30, Place::Behind),
        ];
        assert_eq!(kinds, expected);
        let (inside, behind) = (found[0].behind, found[1].behind);
        assert_eq!(behind - inside, 30);
        assert_eq!(stream[behind - 1], 9);
        // An event without a body ends with its header.
        assert_eq!(found[2].behind, found[3].behind);
        for piece in 1..60 {
            assert_eq!(marks(&stream, piece), found, "pieces of {piece}");
        }
    }

    #[test]
    fn an_event_of_several_packets_ends_with_the_last() {
        let mut payload = vec![0, 1, 1, 1, 1, 30, 2, 2, 2, 2];
        payload.extend((LONGEST as u32 + 50).to_le_bytes());
        payload.resize(LONGEST, 9);
        let stream = [packet(&payload), packet(&[0; 51]), event(16, 8)].concat();
        let found: Vec<_> = marks(&stream, 65_536)
            .iter()
            .map(|m| (m.event, m.place))
            .collect();
        let expected = [
            (30, Place::Inside),
            (30, Place::Behind),
            (16, Place::Inside),
            (16, Place::Behind),
        ];
        assert_eq!(found, expected);
    }
}
