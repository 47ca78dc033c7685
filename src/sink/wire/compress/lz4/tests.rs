//! Blocks are decoded twice, by the format's description and by the library, and must give the same bytes.

use std::fmt::Write as _;

use super::*;

/// Bodies like those of `rows` rows of a table: names, numbers, dates, and `prose` words in a value.
fn rows(rng: &mut fastrand::Rng, rows: usize, prose: usize) -> Vec<u8> {
    let words: Vec<String> = (0..400)
        .map(|_| {
            let length = rng.usize(2..9);
            std::iter::repeat_with(|| rng.lowercase()).take(length).collect()
        })
        .collect();
    let mut text = String::new();
    for id in 0..rows {
        let (amount, day) = (rng.u64(..), rng.u8(1..29));
        write!(
            text,
            r#"{{"id":{id},"amount":{amount},"at":"2026-11-{day:02}","memo":""#
        )
        .unwrap();
        for _ in 0..prose {
            text.push_str(&words[rng.usize(..words.len())]);
            text.push(' ');
        }
        text.push_str(r#"","op":"c"}"#);
    }
    text.into_bytes()
}

/// Any bytes, with repetitions of any length from any distance, quotes and commas more often than others.
fn anything(rng: &mut fastrand::Rng, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let more = 1 << rng.u32(..12);
        match rng.u8(..4) {
            0 => bytes.extend(std::iter::repeat_with(|| rng.u8(..)).take(more)),
            1 => bytes.extend(std::iter::repeat_n(rng.u8(..), more)),
            2 => bytes.extend_from_slice(b",\"name\":"),
            _ if bytes.is_empty() => {}
            _ => {
                let from = rng.usize(..bytes.len());
                let to = (from + rng.usize(..more)).min(bytes.len());
                bytes.extend_from_within(from..to);
            }
        }
    }
    bytes.truncate(length);
    bytes
}

fn sparse(raw: &[u8]) -> Vec<u8> {
    // What an earlier, longer body left behind must not show.
    let mut packed = vec![b'x'; 100];
    let mut places = Places::default();
    places.sparse(&[b'y'; 200], &mut packed).unwrap();
    let length = places.sparse(raw, &mut packed).unwrap();
    packed.truncate(length);
    packed
}

/// One length, the part of it in the token and what follows.
fn length(token: usize, block: &mut &[u8]) -> usize {
    let mut length = token;
    let mut last = if token == 15 { 255 } else { 0 };
    while last == 255 {
        last = usize::from(*block.split_off_first().unwrap());
        length += last;
    }
    length
}

/// Decodes as the format's description has it, and holds the block to its rules about the end.
fn decode(mut block: &[u8]) -> Vec<u8> {
    let (mut raw, mut last_match) = (Vec::new(), None);
    loop {
        let token = usize::from(*block.split_off_first().unwrap());
        let literals = length(token >> 4, &mut block);
        raw.extend_from_slice(block.split_off(..literals).unwrap());
        let Some(distance) = block.split_off(..2) else {
            assert!(block.is_empty());
            assert_eq!(token & 15, 0);
            assert!(last_match.is_none_or(|begin| literals >= 5 && begin + 12 <= raw.len()));
            return raw;
        };
        last_match = Some(raw.len());
        let distance = usize::from(u16::from_le_bytes(distance.try_into().unwrap()));
        assert!((1..=raw.len()).contains(&distance));
        for _ in 0..length(token & 15, &mut block) + 4 {
            raw.push(raw[raw.len() - distance]);
        }
    }
}

fn check(raw: &[u8]) -> usize {
    let packed = sparse(raw);
    assert!(decode(&packed) == raw, "{} bytes", raw.len());
    let by_the_library = lz4_flex::block::decompress(&packed, raw.len()).unwrap();
    assert!(by_the_library == raw, "{} bytes", raw.len());
    packed.len()
}

#[test]
fn i11_what_is_packed_unpacks_to_the_same_bytes() {
    let mut rng = fastrand::Rng::with_seed(11);
    for length in 0..200 {
        check(&anything(&mut rng, length));
        check(&vec![b','; length]);
    }
    for _ in 0..300 {
        let magnitude = rng.u32(1..18);
        let length = rng.usize(..1 << magnitude);
        check(&anything(&mut rng, length));
    }
    for count in [1, 2, 3, 50, 2_000] {
        check(&rows(&mut rng, count, 0));
        check(&rows(&mut rng, count, 30));
    }
}

#[test]
fn no_match_lies_farther_back_than_a_distance_can_say() {
    let name = br#","a_name_of_a_column":"#;
    let packed = |distance: usize| {
        // Quotes that end no name are passed over: nothing takes the name's place in the table.
        let between = vec![b'"'; distance - name.len()];
        check(&[b"{", &name[..], &between[..], name, &[b'z'; 20]].concat())
    };
    assert!(packed(FARTHEST) + 15 < packed(FARTHEST + 1));
    assert_eq!(packed(FARTHEST + 2), packed(FARTHEST + 1) + 1);
}

#[test]
fn it_is_as_small_as_the_dense_search_where_only_names_repeat() {
    let mut rng = fastrand::Rng::with_seed(13);
    let raw = rows(&mut rng, 3_000, 0);
    let dense = lz4_flex::block::compress(&raw).len();
    assert!(check(&raw) * 10 <= dense * 11);
}

#[test]
fn a_trial_finds_out_which_search_is_worth_it() {
    let mut rng = fastrand::Rng::with_seed(14);
    let (numbers, prose) = (rows(&mut rng, 500, 0), rows(&mut rng, 500, 60));
    let (mut lz4, mut packed) = (Lz4::default(), Vec::new());
    for (raw, dense) in [(&numbers, false), (&prose, true), (&numbers, false)] {
        for body in 0..=TRIAL {
            let length = lz4.compress(raw, &mut packed).unwrap();
            assert!(decode(&packed[..length]) == *raw);
            assert!(
                body < TRIAL || lz4.dense == dense,
                "body {body} of {} bytes",
                raw.len()
            );
        }
    }
}
