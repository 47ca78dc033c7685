//! Bytes of binlog events to row images: table maps, rows events, and where each row ends.
//!
//! Serves I6: an image is cut out only with the table map that the caller names, every byte of the event is
//! accounted for, and whatever does not add up is an error. Pure; values stay as they are (`value.rs` reads
//! them), and which table map or schema is in force is `decode.rs`'s business.

use crate::change::{Operation, RowImage};

mod table_map;
#[cfg(test)]
mod tests;

pub(super) use table_map::{DIGIT_BYTES, decimal_bytes};
pub use table_map::{TableMap, Width, WireColumn};

/// Bytes of an event that are not what the protocol says. Never holds row values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The event ends, or contradicts itself, in the middle of something.
    #[error("{what} at byte {offset} of the event's body")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes from the start of the body.
        offset: usize,
    },
    /// A column of a type that this version cannot even skip.
    #[error("column {column} (from 0) has the unknown type {kind}; exclude the table")]
    UnknownColumnType {
        /// The type byte.
        kind: u8,
        /// The column's ordinal.
        column: usize,
    },
    /// Not a rows event.
    #[error("event type {0} is not a rows event")]
    NotRows(u8),
    /// PARTIAL_UPDATE_ROWS: the after image holds differences instead of values.
    #[error(
        "partial update of JSON columns (event type 39); \
         set binlog_row_value_options='' (OceanBase: log_row_value_options='') at the source"
    )]
    PartialUpdate,
    /// An image leaves columns out.
    #[error("the {0} image leaves columns out; set binlog_row_image=FULL at the source")]
    PartialImage(&'static str),
    /// The event and the table map disagree on the table's width.
    #[error("the rows event has {event} columns, the table map has {table_map}")]
    ColumnCount {
        /// Columns in the rows event.
        event: u64,
        /// Columns in the table map.
        table_map: usize,
    },
    /// The event belongs to another table map.
    #[error("the rows event is for table id {event}, the table map for {table_map}")]
    TableId {
        /// The rows event's.
        event: u64,
        /// The table map's.
        table_map: u64,
    },
}

/// Reads an event's body front to back; remembers where it is, for errors.
#[derive(Clone, Copy, Debug)]
struct Reader<'a> {
    rest: &'a [u8],
    /// Offset of `rest` in the body.
    offset: usize,
}

impl<'a> Reader<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self {
            rest: body,
            offset: 0,
        }
    }

    fn error(&self, what: &'static str) -> DecodeError {
        DecodeError::Malformed {
            what,
            offset: self.offset,
        }
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.error(what))?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(length);
        Ok(taken)
    }

    /// A little-endian number of up to eight bytes.
    fn uint(&mut self, length: usize, what: &'static str) -> Result<u64, DecodeError> {
        Ok(little_endian(self.take(length, what)?))
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.take(1, what)?
            .first()
            .copied()
            .ok_or_else(|| self.error(what))
    }

    /// MySQL's length-encoded number: one byte below 251, else 2, 3 or 8 bytes behind a mark.
    fn packed(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        match self.byte(what)? {
            n @ 0..=250 => Ok(u64::from(n)),
            252 => self.uint(2, what),
            253 => self.uint(3, what),
            254 => self.uint(8, what),
            251 | 255 => Err(self.error(what)),
        }
    }

    /// A length-encoded number that counts things inside the body.
    fn packed_length(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        let at = *self;
        usize::try_from(self.packed(what)?).map_err(|_| at.error(what))
    }
}

/// At most eight bytes as a number; further bytes would fall off the top.
pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// A rows event: one or more changed rows of one table.
#[derive(Clone, Copy, Debug)]
pub struct RowsEvent<'a> {
    /// Which table map describes the rows.
    pub table_id: u64,
    /// What happened to the rows.
    pub operation: Operation,
    /// Whether this is the last rows event of its statement.
    pub ends_statement: bool,
    columns: u64,
    /// One bit a column: in the image, or in the before image of an update.
    present: &'a [u8],
    /// The same for the after image of an update; `present` again for the others.
    present_after: &'a [u8],
    rows: Reader<'a>,
}

/// Flag of a rows event: the statement's last.
const STMT_END: u64 = 1;

impl<'a> RowsEvent<'a> {
    /// Reads the event's head; `body` is the event without its 19-byte header and its checksum.
    ///
    /// # Errors
    /// Types other than 23–25 (version 1) and 30–32 (version 2), and malformed bytes.
    pub fn parse(event_type: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let (operation, extra_data) = match event_type {
            23 => (Operation::Create, false),
            24 => (Operation::Update, false),
            25 => (Operation::Delete, false),
            30 => (Operation::Create, true),
            31 => (Operation::Update, true),
            32 => (Operation::Delete, true),
            39 => return Err(DecodeError::PartialUpdate),
            other => return Err(DecodeError::NotRows(other)),
        };
        let mut reader = Reader::new(body);
        let table_id = reader.uint(6, "cut short in the table id")?;
        let flags = reader.uint(2, "cut short in the flags")?;
        if extra_data {
            // The length counts its own two bytes.
            let length = reader.uint(2, "cut short in the extra data's length")?;
            let length = length
                .checked_sub(2)
                .and_then(|n| usize::try_from(n).ok())
                .ok_or_else(|| reader.error("the extra data's length is below 2"))?;
            reader.take(length, "cut short in the extra data")?;
        }
        let columns = reader.packed("cut short in the column count")?;
        let bitmap =
            usize::try_from(columns.div_ceil(8)).map_err(|_| reader.error("the column count is absurd"))?;
        let present = reader.take(bitmap, "cut short in the columns bitmap")?;
        let present_after = if operation == Operation::Update {
            reader.take(bitmap, "cut short in the after image's columns bitmap")?
        } else {
            present
        };
        Ok(Self {
            table_id,
            operation,
            ends_statement: flags & STMT_END != 0,
            columns,
            present,
            present_after,
            rows: reader,
        })
    }

    /// The rows, cut along `map`.
    ///
    /// # Errors
    /// If `map` is another table's or another width's, or an image leaves columns out.
    pub fn rows<'m>(&self, map: &'m TableMap) -> Result<Rows<'a, 'm>, DecodeError> {
        self.check(map)?;
        if !all_set(self.present, self.columns) {
            return Err(DecodeError::PartialImage(match self.operation {
                Operation::Create => "after",
                Operation::Update | Operation::Delete => "before",
            }));
        }
        if !all_set(self.present_after, self.columns) {
            return Err(DecodeError::PartialImage("after"));
        }
        Ok(Rows {
            reader: self.rows,
            operation: self.operation,
            widths: map.widths(),
            widths_after: map.widths(),
        })
    }

    /// How many rows there are, for tables that are not captured: their images may leave columns out.
    ///
    /// # Errors
    /// If `map` is another table's or another width's, or the rows do not add up.
    pub fn count(&self, map: &TableMap) -> Result<u64, DecodeError> {
        self.check(map)?;
        let widths = present_widths(map.widths(), self.present);
        let widths_after = present_widths(map.widths(), self.present_after);
        let rows = Rows {
            reader: self.rows,
            operation: self.operation,
            widths: &widths,
            widths_after: &widths_after,
        };
        rows.map(|row| row.map(|_| 1)).sum()
    }

    fn check(&self, map: &TableMap) -> Result<(), DecodeError> {
        if self.table_id != map.table_id {
            return Err(DecodeError::TableId {
                event: self.table_id,
                table_map: map.table_id,
            });
        }
        if u64::try_from(map.columns.len()) != Ok(self.columns) {
            return Err(DecodeError::ColumnCount {
                event: self.columns,
                table_map: map.columns.len(),
            });
        }
        Ok(())
    }
}

/// The widths of the columns that an image holds.
fn present_widths(widths: &[Width], present: &[u8]) -> Vec<Width> {
    let bits = present
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1));
    let present = widths.iter().zip(bits).filter(|(_, bit)| *bit == 1);
    present.map(|(width, _)| *width).collect()
}

/// Whether the first `count` bits are all ones; bits behind them mean nothing.
fn all_set(bitmap: &[u8], count: u64) -> bool {
    let Some((last, full)) = bitmap.split_last() else {
        return true;
    };
    let used = match count % 8 {
        0 => u8::MAX,
        n => (1u8 << n).wrapping_sub(1),
    };
    full.iter().all(|byte| *byte == u8::MAX) && last & used == used
}

/// One row: its image before and its image after; which are there follows from the operation.
pub type RowPair<'a> = (Option<RowImage<'a>>, Option<RowImage<'a>>);

/// Iterates over the rows of one event; nothing is copied or allocated.
#[derive(Clone, Debug)]
pub struct Rows<'a, 'm> {
    reader: Reader<'a>,
    operation: Operation,
    widths: &'m [Width],
    /// Of an update's after image.
    widths_after: &'m [Width],
}

impl<'a> Rows<'a, '_> {
    fn pair(&mut self) -> Result<RowPair<'a>, DecodeError> {
        Ok(match self.operation {
            Operation::Create => (None, Some(self.image(self.widths)?)),
            Operation::Update => (
                Some(self.image(self.widths)?),
                Some(self.image(self.widths_after)?),
            ),
            Operation::Delete => (Some(self.image(self.widths)?), None),
        })
    }

    fn image(&mut self, widths: &[Width]) -> Result<RowImage<'a>, DecodeError> {
        // Such rows take no bytes: there would be no end of them.
        if widths.is_empty() {
            return Err(self.reader.error("a row image without columns"));
        }
        let nulls = self
            .reader
            .take(widths.len().div_ceil(8), "cut short in a row's NULL bits")?;
        let length = values_length(self.reader.rest, nulls, widths)
            .ok_or_else(|| self.reader.error("cut short in the row whose values start"))?;
        let values = self
            .reader
            .take(length, "cut short in the row whose values start")?;
        Ok(RowImage { nulls, values })
    }
}

/// Bytes that the values of one image take at the start of `rest`; `None` if they cannot be in there.
fn values_length(rest: &[u8], nulls: &[u8], widths: &[Width]) -> Option<usize> {
    let mut at = 0usize;
    for (widths, nulls) in widths.chunks(8).zip(nulls) {
        let mut nulls = *nulls;
        for width in widths {
            if nulls & 1 == 0 {
                at = at.checked_add(width.measure(rest.get(at..)?)?)?;
            }
            nulls >>= 1;
        }
    }
    Some(at)
}

impl<'a> Iterator for Rows<'a, '_> {
    type Item = Result<RowPair<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.rest.is_empty() {
            return None;
        }
        let pair = self.pair();
        if pair.is_err() {
            // Behind a bad row nothing can be aligned: end here.
            self.reader.rest = &[];
        }
        Some(pair)
    }
}
