//! Records of named fields: what a TUPLE topic declares, and how a record's fields lie in its payload.
//!
//! A payload holds one field after the other, in the topic's order: four bytes of length, lowest first, then so
//! many bytes of text. The length `ffffffff` stands for NULL, which has no bytes and is not the same as empty.

use std::sync::Arc;

/// The length that stands for NULL.
const NULL: u32 = u32::MAX;

/// What a payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One blob.
    #[default]
    Blob,
    /// Fields, each behind its length.
    Tuple,
}

/// What the topic looks like; read once at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicSchema {
    /// Records are one blob each.
    Blob,
    /// Records have named fields, in this order.
    Tuple(Arc<[TopicField]>),
}

/// One field of a TUPLE topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicField {
    /// Its name; the service compares names without regard to case.
    pub name: String,
    /// Its type.
    pub kind: FieldKind,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// A field's type. All values travel as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// 8 bits, signed.
    TinyInt,
    /// 16 bits, signed.
    SmallInt,
    /// 32 bits, signed.
    Integer,
    /// 64 bits, signed, without the smallest number.
    BigInt,
    /// 32 bits.
    Float,
    /// 64 bits.
    Double,
    /// `true` or `false`.
    Boolean,
    /// Microseconds since 1970.
    Timestamp,
    /// UTF-8.
    String,
    /// Up to 38 digits.
    Decimal,
    /// JSON text.
    Json,
    /// One that this version does not know.
    Unknown,
}

const KINDS: [(FieldKind, &str); 11] = [
    (FieldKind::TinyInt, "TINYINT"),
    (FieldKind::SmallInt, "SMALLINT"),
    (FieldKind::Integer, "INTEGER"),
    (FieldKind::BigInt, "BIGINT"),
    (FieldKind::Float, "FLOAT"),
    (FieldKind::Double, "DOUBLE"),
    (FieldKind::Boolean, "BOOLEAN"),
    (FieldKind::Timestamp, "TIMESTAMP"),
    (FieldKind::String, "STRING"),
    (FieldKind::Decimal, "DECIMAL"),
    (FieldKind::Json, "JSON"),
];

impl FieldKind {
    /// The type of this name, in any case.
    pub fn named(name: &str) -> Self {
        KINDS
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map_or(Self::Unknown, |(kind, _)| *kind)
    }

    /// Its name, in upper case.
    pub fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("of an unknown type", |(_, name)| name)
    }
}

/// Begins a field that is not NULL: its text goes behind what `out` holds then. Returns where it begins.
pub fn begin_field(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

/// Ends the field that begins there: its length is known now. False if it is longer than a length can say.
#[must_use]
pub fn end_field(out: &mut [u8], begin: usize) -> bool {
    let length = u32::try_from(out.len().saturating_sub(begin)).unwrap_or(NULL);
    let place = out
        .get_mut(..begin)
        .and_then(|before| before.last_chunk_mut::<4>());
    match place {
        Some(place) if length != NULL => {
            *place = length.to_le_bytes();
            true
        }
        _ => false,
    }
}

/// Appends a NULL.
pub fn push_null(out: &mut Vec<u8>) {
    out.extend_from_slice(&NULL.to_le_bytes());
}

/// The fields of a payload; one for a blob.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    layout: Layout,
    rest: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(layout: Layout, payload: &'a [u8]) -> Self {
        Self {
            layout,
            rest: Some(payload),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.layout == Layout::Blob {
            return self.rest.take().map(Some);
        }
        let (length, rest) = self.rest?.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        if length == NULL {
            self.rest = Some(rest);
            return Some(None);
        }
        let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = Some(rest);
        Some(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_not_empty_and_a_blob_is_one_field() {
        let mut payload = Vec::new();
        let begin = begin_field(&mut payload);
        payload.extend_from_slice(b"ab");
        assert!(end_field(&mut payload, begin));
        push_null(&mut payload);
        let begin = begin_field(&mut payload);
        assert!(end_field(&mut payload, begin));
        assert_eq!(payload, b"\x02\0\0\0ab\xff\xff\xff\xff\0\0\0\0");
        let fields: Vec<_> = Fields::of(Layout::Tuple, &payload).collect();
        assert_eq!(fields, [Some(b"ab".as_slice()), None, Some(b"")]);
        let blob: Vec<_> = Fields::of(Layout::Blob, b"").collect();
        assert_eq!(blob, [Some(b"".as_slice())]);
        assert_eq!(Fields::of(Layout::Tuple, b"").count(), 0);
    }

    #[test]
    fn types_are_known_by_name() {
        for (kind, name) in KINDS {
            assert_eq!(FieldKind::named(&name.to_ascii_lowercase()), kind);
            assert_eq!(kind.name(), name);
        }
        assert_eq!(FieldKind::named("MAP"), FieldKind::Unknown);
    }
}
