//! A row image as JSON: the part that the envelopes share.

use super::key::KeyText;
use super::plan::{Failed, Plan};
use crate::change::RowImage;

/// Appends one image as a JSON object, and tells `key` where in it the partition key lies.
pub(super) fn write_object(
    plan: &Plan,
    image: &RowImage<'_>,
    out: &mut Vec<u8>,
    mut key: Option<&mut KeyText>,
) -> Result<(), Failed> {
    let start = out.len();
    let mut values = image.values;
    if image.nulls.len() != plan.columns.len().div_ceil(8) {
        return Err(Failed::image("the image is of another number of columns"));
    }
    let mut ordinal = 0;
    for (columns, nulls) in plan.columns.chunks(8).zip(image.nulls) {
        let mut nulls = *nulls;
        for column in columns {
            out.extend_from_slice(&column.label);
            let begin = out.len();
            if nulls & 1 == 1 {
                out.extend_from_slice(b"null");
            } else {
                let written = column.cell.write_json(&mut values, out);
                written.map_err(|cause| Failed::column(ordinal, cause))?;
            }
            if let (Some(place), Some(key)) = (column.key, key.as_deref_mut())
                && let Some(span) = key.spans.get_mut(place)
            {
                *span = begin..out.len();
            }
            nulls >>= 1;
            ordinal += 1;
        }
    }
    if plan.columns.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    if !values.is_empty() {
        return Err(Failed::image("bytes are left over behind the last column"));
    }
    if plan.keys == 0
        && let Some(span) = key.and_then(|key| key.spans.first_mut())
    {
        *span = start..out.len();
    }
    Ok(())
}

/// Appends a number's digits.
pub(super) fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
