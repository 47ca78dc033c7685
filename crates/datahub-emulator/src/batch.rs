//! Batch payloads: stored as they come; only the outside is checked, as the service does.

use crate::frame::crc32c;
use crate::refusal::Refusal;

const HEADER_V0: usize = 26;

/// Checks magic, version, length and checksum of a batch.
pub(crate) fn check(batch: &[u8]) -> Result<(), Refusal> {
    let bad = |why: &str| Err(Refusal::malformed(format!("Batch is invalid: {why}")));
    let word = |at: usize| -> Option<u32> {
        let bytes = batch.get(at..at.checked_add(4)?)?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    };
    let (Some(version), Some(length), Some(crc)) = (word(4), word(8), word(16)) else {
        return bad("too short");
    };
    if batch.get(..4) != Some(b"DHUB") {
        return bad("the magic number is not DHUB");
    }
    if usize::try_from(length).ok() != Some(batch.len()) {
        return bad("its length is not the one in its header");
    }
    let start = match version {
        0 => HEADER_V0,
        1 => word(28)
            .and_then(|offset| usize::try_from(offset).ok())
            .unwrap_or(usize::MAX),
        _ => return bad("unknown version"),
    };
    let Some(records) = batch.get(start..) else {
        return bad("no payload");
    };
    if crc != 0 && crc != crc32c(records) {
        return bad("crc check error");
    }
    Ok(())
}

/// A batch of version 0 with one blob in it.
pub(crate) fn of_blob(blob: &[u8], attributes: &[(String, String)]) -> Vec<u8> {
    let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    // Field count, one word of the not-null bitmap, one slot.
    let mut fields = [&1u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
    let mut data = Vec::new();
    if blob.len() < 8 {
        let mut slot = [0; 8];
        for (place, byte) in slot.iter_mut().zip(blob) {
            *place = *byte;
        }
        let [.., last] = &mut slot;
        *last = 0x80 | u8::try_from(blob.len()).unwrap_or(0);
        fields.extend(slot);
    } else {
        fields.extend(length(blob.len()));
        fields.extend(length(20));
        data.extend(blob);
        data.resize((blob.len() / 8 + 1) * 8, 0);
    }
    let attributes_at = 16 + fields.len() + data.len();
    let mut tail = length(attributes.len()).to_vec();
    for text in attributes.iter().flat_map(|(key, value)| [key, value]) {
        tail.extend(length(text.len()));
        tail.extend(text.as_bytes());
    }
    let total = attributes_at + tail.len();
    let mut record = [
        0u32.to_le_bytes(),
        u32::MAX.to_le_bytes(),
        length(total),
        length(attributes_at),
    ]
    .concat();
    record.extend(fields);
    record.extend(data);
    record.extend(tail);
    let mut batch = b"DHUB\0\0\0\0".to_vec();
    batch.extend(length(HEADER_V0 + record.len()));
    batch.extend(length(record.len()));
    batch.extend(crc32c(&record).to_le_bytes());
    batch.extend(8u16.to_le_bytes());
    batch.extend(1u32.to_le_bytes());
    batch.extend(record);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_accepted_and_damage_is_not() {
        for blob in [&b""[..], b"1234567", b"12345678", b"a longer blob"] {
            let good = of_blob(blob, &[("k".to_owned(), "v".to_owned())]);
            check(&good).unwrap();
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 0x40;
                // Raw size, attributes and record count are not covered by any check.
                let unchecked = (12..16).contains(&at) || (20..26).contains(&at);
                assert_eq!(check(&bad).is_err(), !unchecked, "byte {at}");
            }
        }
        assert!(check(b"").is_err());
        assert!(check(b"DHUB\x01\0\0\0").is_err());
    }
}
