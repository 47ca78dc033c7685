//! A row image as JSON: the part that the envelopes share.
//!
//! Values have one spelling, see [`Cell`](crate::source::value::Cell); an envelope whose values are all texts
//! puts what is none into quotes.

use super::key::KeyText;
use super::plan::{Failed, Plan, PlannedColumn};
use crate::change::RowImage;
use crate::source::value::ValueError;

/// How an envelope spells values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Numbers as JSON numbers.
    Json,
    /// Everything but NULL as a JSON string.
    Texts,
    /// As `Json`, but a SET is an array of its labels.
    Arrays,
    /// As `Json`, whatever the rules say: never to be shown.
    Original,
}

// The spellings as constants: the loop over the columns is compiled once for each of them.
const JSON: u8 = 0;
const TEXTS: u8 = 1;
const ARRAYS: u8 = 2;
const ORIGINAL: u8 = 3;

pub(super) const OTHER_COLUMNS: &str = "the image is of another number of columns";
pub(super) const LEFT_OVER: &str = "bytes are left over behind the last column";

/// Appends one image as a JSON object, and tells `key` where in it the partition key lies.
pub(super) fn write_object(
    plan: &Plan,
    image: &RowImage<'_>,
    spelling: Spelling,
    out: &mut Vec<u8>,
    key: Option<&mut KeyText>,
) -> Result<(), Failed> {
    match spelling {
        // Nothing to look up for each column.
        Spelling::Json if !plan.is_ruled => write_spelled::<ORIGINAL>(plan, image, out, key),
        Spelling::Json => write_spelled::<JSON>(plan, image, out, key),
        Spelling::Texts => write_spelled::<TEXTS>(plan, image, out, key),
        Spelling::Arrays => write_spelled::<ARRAYS>(plan, image, out, key),
        Spelling::Original => write_spelled::<ORIGINAL>(plan, image, out, key),
    }
}

fn write_spelled<const SPELLING: u8>(
    plan: &Plan,
    image: &RowImage<'_>,
    out: &mut Vec<u8>,
    mut key: Option<&mut KeyText>,
) -> Result<(), Failed> {
    let start = out.len();
    let mut values = image.values;
    if image.nulls.len() != plan.columns.len().div_ceil(8) {
        return Err(Failed::image(OTHER_COLUMNS));
    }
    let mut ordinal = 0;
    for (columns, nulls) in plan.columns.chunks(8).zip(image.nulls) {
        let mut nulls = *nulls;
        for column in columns {
            let is_null = nulls & 1 == 1;
            nulls >>= 1;
            ordinal += 1;
            if SPELLING != ORIGINAL && column.is_excluded() {
                if !is_null {
                    let skipped = column.cell.skip(&mut values);
                    skipped.map_err(|cause| Failed::column(ordinal - 1, cause))?;
                }
                continue;
            }
            out.extend_from_slice(&column.label);
            let begin = out.len();
            if is_null {
                out.extend_from_slice(b"null");
            } else {
                let written = write_value::<SPELLING>(column, &mut values, out);
                written.map_err(|cause| Failed::column(ordinal - 1, cause))?;
            }
            if let (Some(place), Some(key)) = (column.key, key.as_deref_mut()) {
                key.note(place, begin..out.len());
            }
        }
    }
    close(start, out);
    if !values.is_empty() {
        return Err(Failed::image(LEFT_OVER));
    }
    if plan.keys == 0
        && let Some(key) = key
    {
        key.note(0, start..out.len());
    }
    Ok(())
}

/// Appends the columns of `before` whose bytes differ from those of `after` as a JSON object, and tells `key`
/// where key columns among them lie.
pub(super) fn write_changed(
    plan: &Plan,
    before: &RowImage<'_>,
    after: &RowImage<'_>,
    spelling: Spelling,
    out: &mut Vec<u8>,
    key: &mut KeyText,
) -> Result<(), Failed> {
    let start = out.len();
    let (mut old, mut new) = (before.values, after.values);
    let bytes = plan.columns.len().div_ceil(8);
    if before.nulls.len() != bytes || after.nulls.len() != bytes {
        return Err(Failed::image(OTHER_COLUMNS));
    }
    for (ordinal, column) in plan.columns.iter().enumerate() {
        let failed = |cause| Failed::column(ordinal, cause);
        let mut value = old;
        let mut was = None;
        if !is_null(before, ordinal) {
            was = Some(column.cell.skip(&mut old).map_err(failed)?);
        }
        let mut is = None;
        if !is_null(after, ordinal) {
            is = Some(column.cell.skip(&mut new).map_err(failed)?);
        }
        if was == is || column.is_excluded() {
            continue;
        }
        out.extend_from_slice(&column.label);
        let begin = out.len();
        if was.is_none() {
            out.extend_from_slice(b"null");
        } else {
            let written = match spelling {
                Spelling::Json => write_value::<JSON>(column, &mut value, out),
                Spelling::Texts => write_value::<TEXTS>(column, &mut value, out),
                Spelling::Arrays => write_value::<ARRAYS>(column, &mut value, out),
                Spelling::Original => write_value::<ORIGINAL>(column, &mut value, out),
            };
            written.map_err(failed)?;
        }
        if let Some(place) = column.key {
            key.note(place, begin..out.len());
        }
    }
    close(start, out);
    if old.is_empty() && new.is_empty() {
        Ok(())
    } else {
        Err(Failed::image(LEFT_OVER))
    }
}

/// Appends what routes the row, and tells `key` where: its key columns back to back, or the row as a JSON object
/// where there are none.
pub(super) fn write_key(
    plan: &Plan,
    image: &RowImage<'_>,
    out: &mut Vec<u8>,
    key: &mut KeyText,
) -> Result<(), Failed> {
    if plan.keys == 0 {
        return write_object(plan, image, Spelling::Original, out, Some(key));
    }
    let mut values = image.values;
    for (ordinal, column) in plan.columns.iter().enumerate() {
        let failed = |cause| Failed::column(ordinal, cause);
        let begin = out.len();
        match (is_null(image, ordinal), column.key) {
            (true, _) => out.extend_from_slice(b"null"),
            (false, Some(_)) => column.cell.write_json(&mut values, out).map_err(failed)?,
            (false, None) => column.cell.skip(&mut values).map(|_| ()).map_err(failed)?,
        }
        if let Some(place) = column.key {
            key.note(place, begin..out.len());
        }
    }
    Ok(())
}

/// Whether the column is NULL in the image.
fn is_null(image: &RowImage<'_>, ordinal: usize) -> bool {
    let byte = image.nulls.get(ordinal / 8).copied().unwrap_or_default();
    byte >> (ordinal % 8) & 1 == 1
}

/// Makes an object of the members from `start` on: each begins with a comma, the first one's becomes the brace.
fn close(start: usize, out: &mut Vec<u8>) {
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

#[inline]
fn write_value<const SPELLING: u8>(
    column: &PlannedColumn,
    values: &mut &[u8],
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let begin = out.len();
    if SPELLING != ORIGINAL
        && let Some(rule) = &column.rule
    {
        rule.write(&column.cell, values, out)?;
        // What is shown instead is a text in every spelling.
        return Ok(());
    }
    column.cell.write_json(values, out)?;
    match (SPELLING, out.get(begin)) {
        (ARRAYS, _) if column.is_set => respell(begin, b'[', b']', out),
        (TEXTS, Some(b'{')) => respell(begin, b'"', b'"', out),
        // A number: a few bytes to move by one.
        (TEXTS, Some(byte)) if *byte != b'"' => {
            out.insert(begin, b'"');
            out.push(b'"');
        }
        _ => {}
    }
    Ok(())
}

/// Writes the value from `begin` on once more and takes the first one away: `"a,b"` as `["a","b"]`, or an object
/// as a text. Both are rare.
fn respell(begin: usize, open: u8, close: u8, out: &mut Vec<u8>) {
    let end = out.len();
    out.push(open);
    let mut at = begin;
    while at < end
        && let Some(byte) = out.get(at).copied()
    {
        match (open, byte) {
            // No label has a comma in it: the servers refuse such a column.
            (b'[', b',') => out.extend_from_slice(b"\",\""),
            (b'"', b'"') => out.extend_from_slice(b"\\\""),
            _ => out.push(byte),
        }
        at += 1;
    }
    if out.ends_with(b"[\"\"") {
        out.truncate(out.len() - 2);
    }
    out.push(close);
    out.drain(begin..end);
}

/// Appends a number's digits.
pub(super) fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
