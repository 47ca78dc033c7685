//! Compression of request bodies, whole frame at a time. Pure; answers are asked for uncompressed.

use std::io::Write as _;

/// How a body may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As it is.
    Plain,
    /// One raw LZ4 block, without a size in front.
    Lz4,
    /// The zlib container, which is what HTTP calls deflate.
    Deflate,
    /// One zstd frame.
    Zstd,
}

/// A body as it is sent.
#[derive(Debug)]
pub struct Body {
    /// The bytes of the request.
    pub bytes: Vec<u8>,
    /// Value of `Content-Encoding` and the size before compression; both are absent from a plain request.
    pub encoding: Option<(&'static str, usize)>,
}

/// Compresses `raw` if that makes it smaller, else sends it as it is; so does a compressor that fails.
pub fn compress(raw: Vec<u8>, format: Format) -> Body {
    let (name, packed) = match format {
        Format::Plain => ("", None),
        Format::Lz4 => ("lz4", Some(lz4_flex::block::compress(&raw))),
        Format::Deflate => ("deflate", deflate(&raw).ok()),
        Format::Zstd => ("zstd", zstd::bulk::compress(&raw, ZSTD_LEVEL).ok()),
    };
    match packed.filter(|packed| packed.len() < raw.len()) {
        Some(bytes) => Body {
            bytes,
            encoding: Some((name, raw.len())),
        },
        None => Body {
            bytes: raw,
            encoding: None,
        },
    }
}

/// The fastest regular level: the relay has to keep up with the binlog.
const ZSTD_LEVEL: i32 = 1;

fn deflate(raw: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder =
        flate2::write::ZlibEncoder::new(Vec::with_capacity(raw.len() / 2), flate2::Compression::fast());
    encoder.write_all(raw)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn unpack(body: &Body) -> Vec<u8> {
        let Some((name, raw)) = body.encoding else {
            return body.bytes.clone();
        };
        let unpacked = match name {
            "lz4" => lz4_flex::block::decompress(&body.bytes, raw).unwrap(),
            "deflate" => {
                assert_eq!(body.bytes[0], 0x78, "a zlib container");
                let mut out = Vec::new();
                flate2::read::ZlibDecoder::new(&*body.bytes)
                    .read_to_end(&mut out)
                    .unwrap();
                out
            }
            "zstd" => zstd::bulk::decompress(&body.bytes, raw).unwrap(),
            other => panic!("no such encoding: {other}"),
        };
        assert_eq!(unpacked.len(), raw);
        unpacked
    }

    #[test]
    fn every_format_keeps_the_bytes_and_is_used_only_where_it_helps() {
        let text = b"one row looks much like the next; ".repeat(50);
        let noise: Vec<u8> = {
            let mut rng = fastrand::Rng::with_seed(3);
            std::iter::repeat_with(|| rng.u8(..)).take(500).collect()
        };
        for format in [Format::Plain, Format::Lz4, Format::Deflate, Format::Zstd] {
            for raw in [&text, &noise, &Vec::new()] {
                let body = compress(raw.clone(), format);
                assert_eq!(&unpack(&body), raw, "{format:?}");
                assert!(body.bytes.len() <= raw.len());
                let helps = raw == &text && format != Format::Plain;
                assert_eq!(body.encoding.is_some(), helps, "{format:?}");
            }
        }
    }

    #[test]
    fn i11_the_official_clients_use_the_same_containers() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/frames.json")).unwrap();
        let mut seen = 0;
        for sample in vectors["compression"].as_array().unwrap() {
            let hex = |key: &str| super::super::tests::unhex(sample[key].as_str().unwrap());
            let (raw, packed) = (hex("raw_hex"), hex("compressed_hex"));
            let name = match sample["format"].as_str().unwrap() {
                "lz4" => "lz4",
                // The same container under its old name; that client leaves "deflate" uncompressed.
                "zlib" => "deflate",
                _ => continue,
            };
            let theirs = Body {
                bytes: packed,
                encoding: Some((name, raw.len())),
            };
            assert_eq!(unpack(&theirs), raw);
            seen += 1;
        }
        assert!(seen >= 8);
    }
}
