//! Hand-made events, and random bytes.

use proptest::prelude::*;

use super::*;

/// `d.t` with the given type bytes, metadata and optional metadata; every second column may be NULL.
fn table_map(kinds: &[u8], metadata: &[u8], optional: &[u8]) -> Vec<u8> {
    let mut body = vec![7, 0, 0, 0, 0, 0, 1, 0];
    body.extend([1, b'd', 0, 1, b't', 0]);
    body.push(u8::try_from(kinds.len()).unwrap());
    body.extend(kinds);
    body.push(u8::try_from(metadata.len()).unwrap());
    body.extend(metadata);
    body.extend(vec![0xaa; kinds.len().div_ceil(8)]);
    body.extend(optional);
    body
}

/// A rows event of table id 7.
fn rows_event(kind: u8, columns: u8, present: &[&[u8]], rows: &[u8]) -> Vec<u8> {
    let mut body = vec![7, 0, 0, 0, 0, 0, 1, 0];
    if kind >= 30 {
        body.extend([5, 0, 9, 9, 9]);
    }
    body.push(columns);
    body.extend(present.concat());
    body.extend(rows);
    body
}

fn images(kind: u8, body: &[u8], map: &TableMap) -> Result<Vec<[Option<Vec<u8>>; 2]>, DecodeError> {
    let values = |image: Option<RowImage<'_>>| image.map(|image| image.values.to_vec());
    RowsEvent::parse(kind, body)?
        .rows(map)?
        .map(|row| row.map(|(before, after)| [values(before), values(after)]))
        .collect()
}

#[test]
fn table_map_in_full() {
    let kinds = [3, 15, 254, 254, 254, 246, 16, 18, 252, 254, 5, 245];
    let metadata = [
        0x2c, 1, // VARCHAR of 300 bytes
        247, 2, // ENUM of two bytes
        248, 8, // SET of eight
        0xee, 0xfc, // CHAR of 508 bytes: 0xfe with bit 0x10 off, so the length's bit 8 is on
        10, 2, // DECIMAL(10,2)
        1, 1, // BIT(9)
        6, // DATETIME(6)
        3, // MEDIUMBLOB
        254, 20, // CHAR of 20 bytes
        8, 4,
    ];
    // Signedness of INT, DECIMAL, DOUBLE; an unknown field; names.
    let mut optional = vec![1, 1, 0b1010_0000, 200, 3, 1, 2, 3, 4, 24];
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
        optional.extend([1, name.as_bytes()[0]]);
    }
    let map = TableMap::parse(&table_map(&kinds, &metadata, &optional)).unwrap();
    assert_eq!(map.table_id, 7);
    assert_eq!(map.id.to_string(), "d.t");
    let wire: Vec<_> = map.columns.iter().map(|c| (c.kind, c.meta)).collect();
    assert_eq!(
        wire,
        [
            (3, 0),
            (15, 300),
            (247, 2),
            (248, 8),
            (254, 508),
            (246, 10 << 8 | 2),
            (16, 9),
            (18, 6),
            (252, 3),
            (254, 20),
            (5, 8),
            (245, 4),
        ]
    );
    assert!(map.columns[1].nullable && !map.columns[2].nullable);
    let widths = [
        Width::Fixed(4),
        Width::Prefixed(2),
        Width::Fixed(2),
        Width::Fixed(8),
        Width::Prefixed(2),
        Width::Fixed(5),
        Width::Fixed(2),
        Width::Fixed(8),
        Width::Prefixed(3),
        Width::Prefixed(1),
        Width::Fixed(8),
        Width::Prefixed(4),
    ];
    assert_eq!(map.widths(), widths);
    let unsigned: Vec<_> = [0, 10].map(|i| map.unsigned.as_ref().unwrap()[i]).into();
    assert_eq!(unsigned, [true, true]);
    assert!(!map.unsigned.as_ref().unwrap()[5]);
    assert_eq!(map.names.unwrap()[11], "l");
}

#[test]
fn year_takes_a_signedness_bit() {
    let map = TableMap::parse(&table_map(&[13, 3], &[], &[1, 1, 0b0100_0000])).unwrap();
    assert_eq!(map.unsigned, Some(vec![false, true]));
}

#[test]
fn i6_table_map_cut_anywhere_or_unknown_is_an_error() {
    let body = table_map(
        &[3, 15, 254],
        &[44, 1, 247, 1],
        &[4, 6, 1, b'a', 1, b'b', 1, b'c'],
    );
    assert!(TableMap::parse(&body).is_ok());
    let without_optional = body.len() - 8;
    for length in (0..body.len()).filter(|length| *length != without_optional) {
        assert!(TableMap::parse(&body[..length]).is_err(), "cut at {length}");
    }
    assert_eq!(
        TableMap::parse(&table_map(&[3, 20], &[], &[])),
        Err(DecodeError::UnknownColumnType { kind: 20, column: 1 })
    );
    // Metadata left over, an impossible DECIMAL, an ENUM of three bytes, a string of unknown real type.
    for (kinds, metadata) in [
        (&[3u8][..], &[1u8][..]),
        (&[246], &[5, 6]),
        (&[254], &[247, 3]),
        (&[254], &[0x31, 3]),
        (&[252], &[5]),
    ] {
        assert!(TableMap::parse(&table_map(kinds, metadata, &[])).is_err());
    }
}

/// INT, VARCHAR(20).
fn two_columns() -> TableMap {
    TableMap::parse(&table_map(&[3, 15], &[20, 0], &[])).unwrap()
}

#[test]
fn rows_of_both_versions_are_cut_at_their_ends() {
    let map = two_columns();
    let first = [0, 1, 0, 0, 0, 2, b'h', b'i'];
    let second = [0b11, 0, 2, 0, 0, 0, 0];
    let rows = [first.as_slice(), &second].concat();
    let (one, none) = (Some(first[1..].to_vec()), Some(vec![]));
    let two = Some(second[2..].to_vec());
    let all: &[u8] = &[0b11];
    for version in [0, 7] {
        let event = rows_event(23 + version, 2, &[all], &rows);
        let expected = vec![[None, one.clone()], [None, none.clone()], [None, two.clone()]];
        assert_eq!(images(23 + version, &event, &map).unwrap(), expected);
        let event = rows_event(25 + version, 2, &[all], &rows[..8]);
        assert_eq!(images(25 + version, &event, &map).unwrap(), [[one.clone(), None]]);
        let event = rows_event(24 + version, 2, &[all, all], &rows[..9]);
        let parsed = RowsEvent::parse(24 + version, &event).unwrap();
        assert!(parsed.ends_statement && parsed.operation == Operation::Update);
        let updated = [[one.clone(), none.clone()]];
        assert_eq!(images(24 + version, &event, &map).unwrap(), updated);
    }
}

#[test]
fn i6_a_row_that_does_not_add_up_is_an_error_and_the_last() {
    let map = two_columns();
    let rows = [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, b'x'];
    let body = rows_event(30, 2, &[&[0b11]], &rows);
    let event = RowsEvent::parse(30, &body).unwrap();
    let mut iterator = event.rows(&map).unwrap();
    assert!(iterator.next().unwrap().is_ok());
    assert!(matches!(
        iterator.next(),
        Some(Err(DecodeError::Malformed { offset: 22, .. }))
    ));
    assert!(iterator.next().is_none());
    // Trailing garbage is the start of a row that does not end.
    let garbage = rows_event(30, 2, &[&[0b11]], &[0, 1, 0, 0, 0, 0, 0xfc]);
    assert!(images(30, &garbage, &map).is_err());
}

#[test]
fn events_that_must_not_be_read_have_their_own_errors() {
    let map = two_columns();
    let rows = [0, 1, 0, 0, 0, 0];
    let error = |kind: u8, columns: u8, present: &[&[u8]]| {
        images(kind, &rows_event(kind, columns, present, &rows), &map).unwrap_err()
    };
    assert_eq!(error(39, 2, &[&[3]]), DecodeError::PartialUpdate);
    assert_eq!(error(19, 2, &[&[3]]), DecodeError::NotRows(19));
    assert_eq!(error(30, 2, &[&[1]]), DecodeError::PartialImage("after"));
    assert_eq!(error(31, 2, &[&[1], &[3]]), DecodeError::PartialImage("before"));
    assert_eq!(error(31, 2, &[&[3], &[0xfd]]), DecodeError::PartialImage("after"));
    assert_eq!(
        error(30, 3, &[&[7]]),
        DecodeError::ColumnCount {
            event: 3,
            table_map: 2
        }
    );
    let mut other = rows_event(30, 2, &[&[3]], &rows);
    other[0] = 8;
    assert!(matches!(
        images(30, &other, &map),
        Err(DecodeError::TableId { event: 8, .. })
    ));
    // The extra data's length counts itself.
    assert!(RowsEvent::parse(30, &[7, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1]).is_err());
}

#[test]
fn rows_are_counted_even_where_columns_are_left_out() {
    let map = two_columns();
    let count = |kind, body: &[u8]| RowsEvent::parse(kind, body)?.count(&map);
    let full = [0, 1, 0, 0, 0, 0].repeat(3);
    assert_eq!(count(30, &rows_event(30, 2, &[&[3]], &full)), Ok(3));
    // Before: the INT alone; after: the VARCHAR alone.
    let minimal = [0, 1, 0, 0, 0, 0, 1, b'x'].repeat(2);
    assert_eq!(count(31, &rows_event(31, 2, &[&[1], &[2]], &minimal)), Ok(2));
    assert!(count(31, &rows_event(31, 2, &[&[1], &[2]], &minimal[1..])).is_err());
    assert!(count(32, &rows_event(32, 2, &[&[0]], &minimal)).is_err());
}

#[test]
fn a_table_without_columns_has_no_rows() {
    let map = TableMap::parse(&table_map(&[], &[], &[])).unwrap();
    assert_eq!(images(30, &rows_event(30, 0, &[], &[]), &map), Ok(vec![]));
    assert!(images(30, &rows_event(30, 0, &[], &[1]), &map).is_err());
}

proptest! {
    #[test]
    fn i6_random_bytes_never_panic(
        kind in prop::sample::select(vec![23u8, 24, 25, 30, 31, 32]),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        drop(TableMap::parse(&body));
        drop(images(kind, &body, &two_columns()));
        drop(RowsEvent::parse(kind, &body).and_then(|event| event.count(&two_columns())));
    }

    #[test]
    fn i6_changed_events_never_panic(
        at in 0usize..60,
        byte in any::<u8>(),
        rows in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let kinds = [3, 15, 254, 254, 246, 16, 18, 252];
        let metadata = [44, 1, 247, 2, 248, 8, 10, 2, 1, 1, 6, 3];
        let mut body = table_map(&kinds, &metadata, &[1, 1, 0xa0, 4, 2, 1, b'a']);
        let length = body.len();
        body[at % length] = byte;
        if let Ok(map) = TableMap::parse(&body) {
            let count = u8::try_from(map.columns.len()).unwrap_or(u8::MAX);
            let present = vec![0xff; usize::from(count).div_ceil(8)];
            let event = rows_event(31, count, &[&present, &present], &rows);
            if let Ok(event) = RowsEvent::parse(31, &event) && let Ok(found) = event.rows(&map) {
                // Every byte of the rows is in an image, or there was an error.
                let mut seen = 0;
                for row in found {
                    match row {
                        Ok((before, after)) => {
                            let images = before.iter().chain(&after);
                            seen += images.map(|i| i.nulls.len() + i.values.len()).sum::<usize>();
                        }
                        Err(_) => return Ok(()),
                    }
                }
                prop_assert_eq!(seen, rows.len());
            }
        }
    }
}
