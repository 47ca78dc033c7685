//! Documents in MySQL's binary form, as OceanBase makes them from a column's text: objects and arrays always in their
//! large form, keys in the order of the text.

use serde_json::Value;

const LARGE_OBJECT: u8 = 0x01;
const LARGE_ARRAY: u8 = 0x03;
const LITERAL: u8 = 0x04;
const INT64: u8 = 0x09;
const DOUBLE: u8 = 0x0b;
const STRING: u8 = 0x0c;

/// The image of a JSON column: a length of four bytes, then the document.
pub fn column(document: &Value) -> Vec<u8> {
    let (kind, body) = value(document);
    let mut out = (body.len() as u32 + 1).to_le_bytes().to_vec();
    out.push(kind);
    out.extend_from_slice(&body);
    out
}

fn value(document: &Value) -> (u8, Vec<u8>) {
    match document {
        Value::Null => (LITERAL, vec![0]),
        Value::Bool(true) => (LITERAL, vec![1]),
        Value::Bool(false) => (LITERAL, vec![2]),
        Value::Number(number) => match number.as_i64() {
            Some(number) => (INT64, number.to_le_bytes().to_vec()),
            None => (DOUBLE, number.as_f64().unwrap_or_default().to_le_bytes().to_vec()),
        },
        Value::String(text) => {
            let mut body = Vec::new();
            let mut length = text.len();
            loop {
                let low = (length & 0x7f) as u8;
                length >>= 7;
                body.push(if length > 0 { low | 0x80 } else { low });
                if length == 0 {
                    break;
                }
            }
            body.extend_from_slice(text.as_bytes());
            (STRING, body)
        }
        Value::Array(items) => (LARGE_ARRAY, container(&[], items.iter())),
        Value::Object(pairs) => {
            let keys: Vec<&str> = pairs.keys().map(String::as_str).collect();
            (LARGE_OBJECT, container(&keys, pairs.values()))
        }
    }
}

/// Count and size, the keys' places, the values' places, keys, values; all numbers of four bytes.
fn container<'a>(keys: &[&str], items: impl ExactSizeIterator<Item = &'a Value>) -> Vec<u8> {
    let count = items.len();
    let items: Vec<(u8, Vec<u8>)> = items.map(value).collect();
    let mut place = 8 + keys.len() * 6 + count * 5;
    let (mut key_places, mut value_places) = (Vec::new(), Vec::new());
    for key in keys {
        key_places.extend_from_slice(&(place as u32).to_le_bytes());
        key_places.extend_from_slice(&(key.len() as u16).to_le_bytes());
        place += key.len();
    }
    for (kind, body) in &items {
        value_places.push(*kind);
        // Literals lie where the place would be.
        if *kind == LITERAL {
            value_places.extend_from_slice(&[body[0], 0, 0, 0]);
        } else {
            value_places.extend_from_slice(&(place as u32).to_le_bytes());
            place += body.len();
        }
    }
    let mut out = (count as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&(place as u32).to_le_bytes());
    out.extend_from_slice(&key_places);
    out.extend_from_slice(&value_places);
    out.extend(keys.iter().flat_map(|key| key.bytes()));
    for (_, body) in items.iter().filter(|(kind, _)| *kind != LITERAL) {
        out.extend_from_slice(body);
    }
    out
}
