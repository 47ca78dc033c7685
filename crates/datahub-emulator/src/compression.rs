//! Compression of HTTP bodies, both ways.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;

use crate::refusal::Refusal;

/// A value of `Content-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Lz4,
    /// `deflate` and its deprecated alias `zlib`: a zlib container both.
    Zlib,
    Zstd,
}

impl Encoding {
    pub(crate) fn by_name(name: &str) -> Option<Encoding> {
        match name.trim().to_ascii_lowercase().as_str() {
            "lz4" => Some(Encoding::Lz4),
            "deflate" | "zlib" => Some(Encoding::Zlib),
            "zstd" => Some(Encoding::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Encoding::Lz4 => "lz4",
            Encoding::Zlib => "deflate",
            Encoding::Zstd => "zstd",
        }
    }
}

/// The body of a request before compression; at most `limit` bytes.
pub(crate) fn decode(
    name: &str,
    raw_size: Option<usize>,
    body: Bytes,
    limit: usize,
) -> Result<Bytes, Refusal> {
    let encoding = Encoding::by_name(name)
        .ok_or_else(|| Refusal::parameter(format!("Unsupported Content-Encoding: {name}")))?;
    let Some(raw_size) = raw_size else {
        return Err(Refusal::parameter(
            "x-datahub-content-raw-size is missing or invalid",
        ));
    };
    if raw_size > limit {
        return Err(too_large(raw_size, limit));
    }
    // Some clients compress nothing, and say so.
    if body.is_empty() && raw_size == 0 {
        return Ok(body);
    }
    match decompress(encoding, raw_size, &body) {
        Some(raw) if raw.len() == raw_size => Ok(Bytes::from(raw)),
        // Some clients label bytes that would not shrink as compressed all the same.
        _ if body.len() == raw_size => Ok(body),
        _ => Err(Refusal::parameter(format!(
            "Decompress body failed: {} bytes of {} do not give {raw_size} bytes",
            body.len(),
            encoding.name()
        ))),
    }
}

pub(crate) fn too_large(size: usize, limit: usize) -> Refusal {
    let mut refusal = Refusal::parameter(format!(
        "The request body is too large: {size} bytes, the limit is {limit}"
    ));
    refusal.status = 413;
    refusal
}

fn decompress(encoding: Encoding, raw_size: usize, body: &[u8]) -> Option<Vec<u8>> {
    // One byte more than promised is enough to see that the promise was wrong.
    let bound = u64::try_from(raw_size).ok()? + 1;
    let mut raw = Vec::with_capacity(raw_size);
    match encoding {
        Encoding::Lz4 => lz4_flex::block::decompress(body, raw_size).ok(),
        Encoding::Zlib => flate2::read::ZlibDecoder::new(body)
            .take(bound)
            .read_to_end(&mut raw)
            .ok()
            .map(|_| raw),
        Encoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::new(body).ok()?;
            decoder.take(bound).read_to_end(&mut raw).ok().map(|_| raw)
        }
    }
}

/// The answer in the encoding that the client named, if it is one of ours and makes the answer smaller.
pub(crate) fn encode(accepted: &str, body: &Bytes) -> Option<(&'static str, Bytes)> {
    let encoding = Encoding::by_name(accepted)?;
    let small = match encoding {
        Encoding::Lz4 => lz4_flex::block::compress(body),
        Encoding::Zlib => {
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
            writer.write_all(body).ok()?;
            writer.finish().ok()?
        }
        Encoding::Zstd => zstd::bulk::compress(body, 1).ok()?,
    };
    // The older name is kept for the client that used it.
    let name = if accepted.trim().eq_ignore_ascii_case("zlib") {
        "zlib"
    } else {
        encoding.name()
    };
    (small.len() < body.len()).then(|| (name, Bytes::from(small)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_there_and_back() {
        let body = Bytes::from("abcabcabc".repeat(100));
        for name in ["lz4", "deflate", "zlib", "zstd"] {
            let (said, small) = encode(name, &body).unwrap();
            assert_eq!(said, name);
            assert_eq!(decode(name, Some(body.len()), small.clone(), 4096).unwrap(), body);
            assert!(decode(name, Some(body.len() + 1), small.clone(), 4096).is_err());
            assert!(decode(name, Some(body.len() - 1), small.clone(), 4096).is_err());
            assert!(decode(name, None, small.clone(), 4096).is_err());
            assert_eq!(decode(name, Some(body.len()), small, 10).unwrap_err().status, 413);
            assert!(decode(name, Some(0), Bytes::new(), 10).unwrap().is_empty());
        }
        assert!(encode("gzip", &body).is_none());
        assert!(decode("gzip", Some(1), body, 4096).is_err());
    }

    #[test]
    fn bytes_that_would_not_shrink_may_be_labelled_compressed() {
        let body = Bytes::from_static(b"\xffxyz");
        assert_eq!(decode("lz4", Some(4), body.clone(), 100).unwrap(), body);
        assert!(decode("lz4", Some(5), body, 100).is_err());
    }
}
