//! MariaDB's UUID, INET4 and INET6 as that server prints them.

/// Segments of a UUID's text, as byte ranges of its usual order: first byte, length.
const SEGMENTS: [usize; 5] = [4, 2, 2, 2, 6];

/// Appends `"8-4-4-4-12"`.
///
/// Versions 1 to 5 are stored with their segments in reverse order, so that they sort by time; others as they
/// are. Which of the two it is shows in the place of the variant bits: a stored byte 6 with its highest bit set, and
/// a byte 8 that is no variant.
pub(super) fn write_uuid(stored: &[u8; 16], out: &mut Vec<u8>) {
    let [_, _, _, _, _, _, six, _, eight, ..] = *stored;
    let reversed = six & eight.wrapping_neg() & 0x80 != 0;
    out.push(b'"');
    let mut rest = stored.as_slice();
    for (ordinal, length) in SEGMENTS.into_iter().enumerate() {
        if ordinal > 0 {
            out.push(b'-');
        }
        let split = if reversed {
            rest.len().checked_sub(length).and_then(|at| {
                let (rest, segment) = rest.split_at_checked(at)?;
                Some((segment, rest))
            })
        } else {
            rest.split_at_checked(length)
        };
        // The segments add up to 16 bytes.
        let (segment, remaining) = split.unwrap_or((rest, &[]));
        for byte in segment {
            push_hex(byte >> 4, out);
            push_hex(byte & 0xf, out);
        }
        rest = remaining;
    }
    out.push(b'"');
}

/// Appends `"1.2.3.4"`.
pub(super) fn write_inet4(bytes: &[u8; 4], out: &mut Vec<u8>) {
    out.push(b'"');
    append_inet4(bytes, out);
    out.push(b'"');
}

fn append_inet4(bytes: &[u8], out: &mut Vec<u8>) {
    for (ordinal, byte) in bytes.iter().enumerate() {
        if ordinal > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(itoa::Buffer::new().format(*byte).as_bytes());
    }
}

/// Appends the address as the server does, which is not quite RFC 5952: the first longest run of zero words
/// shrinks to `::` even if it is one word, and `::1.2.3.4` keeps dots like `::ffff:1.2.3.4`.
pub(super) fn write_inet6(bytes: &[u8; 16], out: &mut Vec<u8>) {
    let mut words = [0u16; 8];
    for (word, pair) in words.iter_mut().zip(bytes.chunks_exact(2)) {
        *word = pair.iter().fold(0, |word, byte| word << 8 | u16::from(*byte));
    }
    let (gap, length) = longest_gap(&words);
    let [.., five, _, _] = words;
    let dotted = gap == 0 && (length == 6 || (length == 5 && five == 0xffff));
    out.push(b'"');
    for (ordinal, word) in words.iter().enumerate() {
        if length > 0 && (gap..gap + length).contains(&ordinal) {
            if ordinal == gap {
                out.extend_from_slice(if gap == 0 { b"::" } else { b":" });
            }
            continue;
        }
        if dotted && ordinal == 6 {
            append_inet4(bytes.last_chunk::<4>().unwrap_or(&[0; 4]), out);
            break;
        }
        let digits = (1..4).rev().find(|n| word >> (4 * n) != 0).unwrap_or(0);
        for place in (0..=digits).rev() {
            push_hex((word >> (4 * place)).to_le_bytes()[0] & 0xf, out);
        }
        if ordinal < 7 {
            out.push(b':');
        }
    }
    out.push(b'"');
}

/// The first of the longest runs of zero words: where it starts, how long it is.
fn longest_gap(words: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut run) = ((0, 0), (0, 0));
    for (ordinal, word) in words.iter().enumerate() {
        run = match (*word, run) {
            (0, (_, 0)) => (ordinal, 1),
            (0, (start, length)) => (start, length + 1),
            _ => (0, 0),
        };
        if run.1 > best.1 {
            best = run;
        }
    }
    best
}

fn push_hex(nibble: u8, out: &mut Vec<u8>) {
    out.push(if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' - 10 + nibble
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet6(text: &str) -> String {
        let address: std::net::Ipv6Addr = text.parse().unwrap();
        let mut out = Vec::new();
        write_inet6(&address.octets(), &mut out);
        String::from_utf8(out).unwrap().replace('"', "")
    }

    #[test]
    fn inet6_as_the_server_prints_it() {
        let cases = [
            ("::", "::"),
            ("::1", "::1"),
            ("1::", "1::"),
            ("2001:db8::ff00:42:8329", "2001:db8::ff00:42:8329"),
            ("1:0:2:3:4:5:6:7", "1::2:3:4:5:6:7"),
            ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
            ("1:0:0:2:3:0:0:4", "1::2:3:0:0:4"),
            ("::1.2.3.4", "::1.2.3.4"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
            (
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ),
            ("a:b0:c00:d000:1:10:100:1000", "a:b0:c00:d000:1:10:100:1000"),
        ];
        for (given, expected) in cases {
            assert_eq!(inet6(given), expected);
        }
    }

    #[test]
    fn uuid_segments_are_stored_in_reverse_up_to_version_5() {
        let text = |stored: &[u8; 16]| {
            let mut out = Vec::new();
            write_uuid(stored, &mut out);
            String::from_utf8(out).unwrap()
        };
        let stored = [
            0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x89, 0x01, 0x11, 0xef, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78,
        ];
        assert_eq!(text(&stored), "\"12345678-5678-11ef-8901-aabbccddeeff\"");
        let version_7 = [
            0x01, 0x90, 0x00, 0x00, 0x00, 0x00, 0x70, 0x00, 0x80, 0, 0, 0, 0, 0, 0, 1,
        ];
        assert_eq!(text(&version_7), "\"01900000-0000-7000-8000-000000000001\"");
        assert_eq!(text(&[0; 16]), "\"00000000-0000-0000-0000-000000000000\"");
    }

    #[test]
    fn inet4_has_dots() {
        let mut out = Vec::new();
        write_inet4(&[255, 0, 10, 1], &mut out);
        assert_eq!(out, b"\"255.0.10.1\"");
    }
}
