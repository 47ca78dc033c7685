//! Compression of request bodies, whole frame at a time. Pure; answers are asked for uncompressed.

mod lz4;

use std::io::Write as _;

use lz4::Lz4;

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

/// Memory in which bodies are made, for the next one to be made in.
///
/// A fresh buffer costs more than its allocation: the kernel hands it out page by page, zeroed.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Where a body before compression was; empty, with room.
    raw: Vec<u8>,
    /// Where bodies are compressed to; what a body does not overwrite is from earlier ones.
    packed: Vec<u8>,
    /// What searches bodies for repetitions.
    lz4: Lz4,
}

impl Workspace {
    /// An empty buffer, with the room of an earlier body.
    pub fn room(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.raw)
    }

    /// Compresses `raw` if that makes it smaller, else sends it as it is; so does a compressor that fails.
    pub fn compress(&mut self, mut raw: Vec<u8>, format: Format) -> Body {
        let packed = &mut self.packed;
        let (name, length) = match format {
            Format::Plain => ("", None),
            Format::Lz4 => ("lz4", self.lz4.compress(&raw, packed)),
            Format::Deflate => ("deflate", deflate(&raw, packed).ok()),
            Format::Zstd => ("zstd", zstd(&raw, packed).ok()),
        };
        match length
            .filter(|length| *length < raw.len())
            .and_then(|length| packed.get(..length))
        {
            Some(packed) => {
                let body = Body {
                    bytes: packed.to_vec(),
                    encoding: Some((name, raw.len())),
                };
                raw.clear();
                self.raw = raw;
                body
            }
            None => Body {
                bytes: raw,
                encoding: None,
            },
        }
    }
}

/// Makes `packed` at least `length` bytes long.
fn make_room(packed: &mut Vec<u8>, length: usize) {
    if packed.len() < length {
        packed.resize(length, 0);
    }
}

/// The fastest regular level: the relay has to keep up with the binlog.
const ZSTD_LEVEL: i32 = 1;

fn zstd(raw: &[u8], packed: &mut Vec<u8>) -> std::io::Result<usize> {
    make_room(packed, zstd::zstd_safe::compress_bound(raw.len()));
    zstd::bulk::compress_to_buffer(raw, packed.as_mut_slice(), ZSTD_LEVEL)
}

fn deflate(raw: &[u8], packed: &mut Vec<u8>) -> std::io::Result<usize> {
    packed.clear();
    let mut encoder = flate2::write::ZlibEncoder::new(packed, flate2::Compression::fast());
    encoder.write_all(raw)?;
    Ok(encoder.finish()?.len())
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
        let longer = text.repeat(3);
        let mut workspace = Workspace::default();
        // In turns: what a longer body or another format left behind must not show.
        for format in [
            Format::Plain,
            Format::Lz4,
            Format::Deflate,
            Format::Zstd,
            Format::Lz4,
        ] {
            for raw in [&longer, &text, &noise, &Vec::new()] {
                let mut room = workspace.room();
                assert!(room.is_empty());
                room.extend_from_slice(raw);
                let body = workspace.compress(room, format);
                assert_eq!(&unpack(&body), raw, "{format:?}");
                assert!(body.bytes.len() <= raw.len());
                let helps = (raw == &text || raw == &longer) && format != Format::Plain;
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
