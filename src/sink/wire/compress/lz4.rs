//! LZ4 blocks for bodies of rows: a search for repetitions that knows where rows repeat themselves.
//!
//! Any LZ4 decoder reads what is made here. A general compressor asks at nearly every byte whether its like came
//! before, which took half of the collector's time with wide rows. Rows of a table repeat the names of their columns
//! and differ in what stands between. So the sparse search asks where a name begins (`,"`) and, in a longer value, at
//! every eighth byte: twice as fast, and as small where values are numbers, dates and keys. Where they are prose it is
//! not; now and then a body is therefore also made by `lz4_flex`, whose search is dense, and the next ones are made by
//! the one that was worth it.
//!
//! The format: <https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>. A block is a row of sequences: a token
//! (two lengths), literals, and a match (a distance and how much is repeated from there). Pure, without `unsafe`.

/// Bytes that a match has at least, by the format.
const SHORTEST_MATCH: usize = 4;
/// Bytes at the end that are literals, by the format.
const LAST_LITERALS: usize = 5;
/// Bytes at the end where no match begins; the format asks for 12, reading eight at a time for a few more.
const UNSEARCHED: usize = 16;
/// How far back a match may lie, by the format.
const FARTHEST: usize = 0xFFFF;
/// From so many bytes on without a repetition a value is long enough to be searched itself.
const LONG: usize = 20;
/// Entries of the table of places: 32 KiB, which stay in the nearest cache.
const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 13;
/// Bodies from one trial of both searches to the next. What rows are like changes slowly.
const TRIAL: u32 = 128;

/// Makes blocks, one after the other, and remembers which search was worth its time.
#[derive(Debug, Default)]
pub(super) struct Lz4 {
    places: Places,
    /// Whether the dense search is in use.
    dense: bool,
    /// Bodies until the next trial.
    until_trial: u32,
}

impl Lz4 {
    /// Compresses `raw` to the start of `packed`: how many bytes it takes there.
    pub(super) fn compress(&mut self, raw: &[u8], packed: &mut Vec<u8>) -> Option<usize> {
        if let Some(left) = self.until_trial.checked_sub(1) {
            self.until_trial = left;
            return if self.dense {
                dense(raw, packed)
            } else {
                self.places.sparse(raw, packed)
            };
        }
        self.until_trial = TRIAL;
        let sparse = self.places.sparse(raw, packed)?;
        let dense = dense(raw, packed)?;
        // Below a sixth fewer bytes are not worth twice the time.
        self.dense = dense < sparse - sparse / 6;
        Some(dense)
    }
}

/// The search of `lz4_flex`.
fn dense(raw: &[u8], packed: &mut Vec<u8>) -> Option<usize> {
    super::make_room(packed, lz4_flex::block::get_maximum_output_size(raw.len()));
    lz4_flex::block::compress_into(raw, packed).ok()
}

/// Where in a body some bytes were seen last, by a hash of them; 0 is nowhere.
#[derive(Debug)]
struct Places(Box<[u32; PLACES]>);

impl Default for Places {
    fn default() -> Self {
        Self(Box::new([0; PLACES]))
    }
}

impl Places {
    /// The sparse search; nothing if a body is beyond 4 GiB.
    fn sparse(&mut self, raw: &[u8], packed: &mut Vec<u8>) -> Option<usize> {
        u32::try_from(raw.len()).ok()?;
        self.0.fill(0);
        packed.clear();
        let mut block = Block {
            raw,
            packed,
            written: 0,
        };
        let end = raw.len().saturating_sub(UNSEARCHED);
        // What begins in front of the first byte cannot be a name.
        let mut at = 1;
        while at < end
            && let Some(bytes) = word(raw, at)
        {
            let repeated = match first_quote(bytes) {
                Some(ahead) => {
                    let quote = at + ahead;
                    at = quote + 1;
                    let begin = quote - 1;
                    begin >= block.written
                        && raw.get(begin) == Some(&b',')
                        && self
                            .seen(raw, begin, NAME)
                            .is_some_and(|before| block.repeat(begin, before))
                }
                None => {
                    let begin = at;
                    at += 8;
                    begin - block.written >= LONG
                        && self
                            .seen(raw, begin, VALUE)
                            .is_some_and(|before| block.repeat(begin, before))
                }
            };
            if repeated {
                at = block.written;
            }
        }
        Some(block.end())
    }

    /// Where the bytes at `at` were seen before, as far as `mask` reaches and a match does. Notes that they are here.
    #[inline(always)]
    fn seen(&mut self, raw: &[u8], at: usize, mask: u64) -> Option<usize> {
        let bytes = word(raw, at)? & mask;
        let hash = usize::try_from(bytes.wrapping_mul(SPREAD) >> (u64::BITS - PLACE_BITS)).ok()?;
        let place = self.0.get_mut(hash)?;
        let before = std::mem::replace(place, u32::try_from(at).ok()?) as usize;
        let same = before > 0 && at - before <= FARTHEST && word(raw, before)? & mask == bytes;
        same.then_some(before)
    }
}

/// Bytes that must agree where a name begins: all of a word. Shorter ones pass for a name and its value's beginning.
const NAME: u64 = u64::MAX;
/// Bytes that must agree within a value: five, as fewer are hardly shorter than the sequence that replaces them.
const VALUE: u64 = 0xFF_FFFF_FFFF;
/// Odd and without pattern: multiplied by it, words that are alike get unlike upper bits. XXH64's second prime.
const SPREAD: u64 = 0xC2B2_AE3D_27D4_EB4F;

/// A block in the making.
struct Block<'a> {
    raw: &'a [u8],
    packed: &'a mut Vec<u8>,
    /// Bytes of `raw` that `packed` has.
    written: usize,
}

impl Block<'_> {
    /// Writes the sequence that ends with a match of what is at `at` with what is at `before`, in both directions as
    /// long as it gets. Writes nothing, and says so, if that is too short.
    #[inline(always)]
    fn repeat(&mut self, at: usize, before: usize) -> bool {
        let backwards = self.same_in_front(at, before);
        let length = backwards + self.same_from(at, before);
        let Some(beyond) = length.checked_sub(SHORTEST_MATCH) else {
            return false;
        };
        let begin = at - backwards;
        self.literals(begin, beyond);
        let [low, high, ..] = (at - before).to_le_bytes();
        self.packed.extend_from_slice(&[low, high]);
        self.rest_of_length(beyond);
        self.written = begin + length;
        true
    }

    /// How many bytes in front of `at` that are not written yet are like those in front of `before`.
    #[inline(always)]
    fn same_in_front(&self, at: usize, before: usize) -> usize {
        let here = self.raw.get(self.written..at).unwrap_or_default();
        let there = self.raw.get(..before).unwrap_or_default();
        let pairs = here.iter().rev().zip(there.iter().rev());
        pairs.take_while(|(here, there)| here == there).count()
    }

    /// How many bytes from `at` on are like those from `before` on, without the last ones of all.
    #[inline(always)]
    fn same_from(&self, at: usize, before: usize) -> usize {
        let end = self.raw.len() - LAST_LITERALS;
        let mut length = 0;
        while at + length + 8 <= end
            && let (Some(here), Some(there)) = (word(self.raw, at + length), word(self.raw, before + length))
        {
            let differing = here ^ there;
            if differing != 0 {
                return length + differing.trailing_zeros() as usize / 8;
            }
            length += 8;
        }
        let here = self.raw.get(at + length..end).unwrap_or_default();
        let there = self.raw.get(before + length..).unwrap_or_default();
        length
            + here
                .iter()
                .zip(there)
                .take_while(|(here, there)| here == there)
                .count()
    }

    /// Writes a token and what is not written yet up to `end`, for a match of `beyond` bytes more than the shortest.
    #[inline(always)]
    fn literals(&mut self, end: usize, beyond: usize) {
        let count = end - self.written;
        let [token, ..] = (count.min(IN_TOKEN) << 4 | beyond.min(IN_TOKEN)).to_le_bytes();
        self.packed.push(token);
        self.rest_of_length(count);
        // A copy of a fixed length takes a fraction of the time of one of any length.
        let start = self.packed.len();
        match self.raw.get(self.written..).and_then(<[u8]>::first_chunk::<32>) {
            Some(bytes) if count <= bytes.len() => {
                self.packed.extend_from_slice(bytes);
                self.packed.truncate(start + count);
            }
            _ => self
                .packed
                .extend_from_slice(self.raw.get(self.written..end).unwrap_or_default()),
        }
    }

    /// Writes what a token cannot hold of a length.
    #[inline(always)]
    fn rest_of_length(&mut self, length: usize) {
        let Some(mut rest) = length.checked_sub(IN_TOKEN) else {
            return;
        };
        while rest >= 255 {
            self.packed.push(255);
            rest -= 255;
        }
        let [rest, ..] = rest.to_le_bytes();
        self.packed.push(rest);
    }

    /// Writes the last sequence, which has no match: the length of the block.
    fn end(mut self) -> usize {
        self.literals(self.raw.len(), 0);
        self.packed.len()
    }
}

/// The largest length that a token holds; it also says that more of it follows.
const IN_TOKEN: usize = 15;

/// The eight bytes at `at`, the first one lowest.
#[inline(always)]
fn word(raw: &[u8], at: usize) -> Option<u64> {
    let bytes = raw.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// Which of the eight bytes of a word is the first quote.
#[inline(always)]
fn first_quote(word: u64) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const QUOTES: u64 = ONES * b'"' as u64;
    // The highest bit of each byte that is zero, and maybe of some above such a byte: the lowest is right.
    let zeros_are_quotes = word ^ QUOTES;
    let marks = zeros_are_quotes.wrapping_sub(ONES) & !zeros_are_quotes & (ONES << 7);
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests;
