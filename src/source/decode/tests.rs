use super::header::FLAG_ARTIFICIAL;
use super::*;
use crate::source::sample;

#[test]
fn every_recorded_checksum_matches_and_a_flipped_bit_does_not() {
    for event in sample::recorded() {
        assert_eq!(Header::parse(&event.header.bytes()), event.header);
        assert!(
            event.header.checksum_matches(&event.body, event.sum),
            "{:?}",
            event.header
        );
        let mut body = event.body.clone();
        body[0] ^= 1;
        assert!(!event.header.checksum_matches(&body, event.sum));
    }
}

#[test]
fn the_in_use_flag_counts_except_in_a_files_first_event() {
    let with = |kind, flags, summed: u16| {
        let header = Header {
            kind,
            flags,
            ..Header::default()
        };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(
            &Header {
                flags: summed,
                ..header
            }
            .bytes(),
        );
        hasher.update(b"body");
        if kind == kind::FORMAT_DESCRIPTION {
            hasher.update(&[1]);
        }
        header.checksum_matches(b"body", hasher.finalize().to_le_bytes())
    };
    assert!(with(kind::XID, 1, 1));
    assert!(!with(kind::XID, 1, 0));
    assert!(with(kind::FORMAT_DESCRIPTION, 1, 0));
    assert!(with(kind::FORMAT_DESCRIPTION, 1, 1));
}

#[test]
fn the_name_in_a_made_up_rotate_is_repaired() {
    let header = Header {
        kind: kind::ROTATE,
        flags: FLAG_ARTIFICIAL,
        ..Header::default()
    };
    let name = b"\x04\0\0\0\0\0\0\0mysql-bin.000002";
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header.bytes());
    hasher.update(name);
    let sum = hasher.finalize().to_le_bytes();
    let glued = [name.as_slice(), &sum].concat();
    assert_eq!(repair_rotate(&header, &glued, None), Some(name.to_vec()));
    assert_eq!(repair_rotate(&header, name, None), None);
    assert_eq!(repair_rotate(&header, name, Some(sum)), None);
    let (short, cut) = name.split_last_chunk::<4>().unwrap();
    assert_eq!(repair_rotate(&header, short, Some(*cut)), Some(name.to_vec()));
}

#[test]
fn types_that_cannot_be_read_halt_by_name() {
    let code = |kind, flags| {
        let header = Header {
            kind,
            flags,
            ..Header::default()
        };
        parse(&header, &[]).unwrap_err().reason.code
    };
    let cases = [
        (5, "statement_event"),
        (13, "statement_event"),
        (14, "statement_event"),
        (18, "statement_event"),
        (26, "incident_event"),
        (39, "partial_json_event"),
        (40, "compressed_transaction"),
        (42, "tagged_gtid"),
        (166, "compressed_event"),
        (20, "unknown_event"),
        (200, "unknown_event"),
    ];
    for (kind, expected) in cases {
        assert_eq!(code(kind, 0), expected, "{kind}");
    }
    // The mark that a type may be passed over does not make rows disappear.
    assert_eq!(code(39, FLAG_IGNORABLE), "partial_json_event");
    let ignorable = Header {
        kind: 200,
        flags: FLAG_IGNORABLE,
        ..Header::default()
    };
    assert_eq!(parse(&ignorable, &[]), Ok(Meaning::Ignored));
}

#[test]
fn bytes_cut_anywhere_are_an_error_never_a_panic() {
    let mut samples = sample::recorded();
    let mut made = sample::Made::new("a");
    made.previous(4).transaction(5, &[1]).rotate("b", 4, false);
    samples.extend(made.events);
    for event in samples {
        for len in 0..event.body.len().min(200) {
            drop(parse(&event.header, &event.body[..len]));
        }
    }
}

#[test]
fn commit_times_of_mysql_8_are_read() {
    let mut body = vec![1];
    body.extend_from_slice(&[7; 16]);
    body.extend_from_slice(&5u64.to_le_bytes());
    body.push(2);
    body.extend_from_slice(&[0; 16]);
    let time = |us: u64| us.to_le_bytes()[..7].to_vec();
    let read = |body: &[u8]| gtid_head(body).unwrap().commit_us;
    assert_eq!(read(&body), None);
    let same = [body.clone(), time(1_700_000_000_123_456), vec![0; 5]].concat();
    assert_eq!(read(&same), Some(1_700_000_000_123_456));
    let relayed = [body, time(1 << 55 | 9), time(1_700_000_000_000_001), vec![0; 5]].concat();
    assert_eq!(read(&relayed), Some(1_700_000_000_000_001));
}
