//! The frame around every protobuf body: `DHUB`, CRC-32C, length, payload.

use bytes::{BufMut, Bytes, BytesMut};
use crc::{CRC_32_ISCSI, Crc, Table};

use crate::refusal::Refusal;

const MAGIC: &[u8; 4] = b"DHUB";
pub(crate) const HEADER: usize = 12;

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// The payload of a request frame. A checksum of zero means that the client did not compute one.
pub(crate) fn open(frame: &Bytes) -> Result<Bytes, Refusal> {
    let (crc, length) = header(frame)?;
    let payload = frame.slice(HEADER..);
    if payload.len() != length {
        return Err(bad(format!(
            "Length in header is {length}, but {} bytes follow",
            payload.len()
        )));
    }
    if crc != 0 && crc != crc32c(&payload) {
        return Err(bad(format!(
            "Crc check error, header {crc:08x}, computed {:08x}",
            crc32c(&payload)
        )));
    }
    Ok(payload)
}

/// Checksum and length out of a frame's header.
pub(crate) fn header(frame: &[u8]) -> Result<(u32, usize), Refusal> {
    let Some((head, _)) = frame.split_first_chunk::<HEADER>() else {
        return Err(bad(format!("{} bytes are too short for a header", frame.len())));
    };
    let [m0, m1, m2, m3, c0, c1, c2, c3, l0, l1, l2, l3] = *head;
    if [m0, m1, m2, m3] != *MAGIC {
        return Err(bad("the magic number is not DHUB".to_owned()));
    }
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    Ok((
        u32::from_be_bytes([c0, c1, c2, c3]),
        usize::try_from(length).unwrap_or(usize::MAX),
    ))
}

/// Puts a payload into a frame, with its true checksum.
pub(crate) fn seal(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER + payload.len());
    frame.put_slice(MAGIC);
    frame.put_u32(crc32c(payload));
    frame.put_u32(u32::try_from(payload.len()).expect("answers are far below 4 GiB"));
    frame.put_slice(payload);
    frame.freeze()
}

fn bad(why: String) -> Refusal {
    Refusal::parameter(format!("Parse body failed, Offset: 0: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_check_value_and_the_all_good_answer() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let frame = seal(&[8, 0]);
        assert_eq!(frame.as_ref(), b"DHUB\x6c\x75\xb4\x6a\0\0\0\x02\x08\0");
        assert_eq!(open(&frame).unwrap().as_ref(), [8, 0]);
    }

    #[test]
    fn damage_is_refused_and_a_zero_checksum_is_not() {
        let good = seal(b"abc").to_vec();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(open(&Bytes::from(bad)).is_err(), "byte {at}");
        }
        let mut unchecked = good.clone();
        unchecked[4..8].fill(0);
        assert!(open(&Bytes::from(unchecked)).is_ok());
        assert!(open(&Bytes::from_static(b"DHUB")).is_err());
        assert!(open(&Bytes::from(good[..good.len() - 1].to_vec())).is_err());
    }
}
