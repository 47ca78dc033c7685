//! What a request is signed with: the canonical string and its HMAC-SHA1.
//!
//! Owns one half of I11: what is signed is what is sent. The caller passes the very header values and the very
//! path that go on the wire; nothing is decoded, re-encoded or looked up here. Requests carry no query, because
//! clients of the service disagree about how one is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// Only headers with this prefix are signed, besides `Content-Type` and `Date`.
const SIGNED_PREFIX: &str = "x-datahub-";

/// The text that the signature covers.
///
/// `headers` may hold any header: those that are not signed are left out. `path` is as requested.
pub fn string_to_sign<'n, 'v>(
    method: &str,
    content_type: &str,
    date: &str,
    headers: impl IntoIterator<Item = (&'n str, &'v str)>,
    path: &str,
) -> String {
    let mut signed: Vec<(String, &str)> = headers
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| name.starts_with(SIGNED_PREFIX))
        .collect();
    signed.sort_by(|a, b| a.0.cmp(&b.0));
    let mut text = format!("{method}\n{content_type}\n{date}\n");
    for (name, value) in signed {
        text.push_str(&name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    text.push_str(path);
    text
}

/// The value of the `Authorization` header. Blanks around the keys, a usual slip of copying, do not count.
pub fn authorization(access_id: &str, access_key: &str, string_to_sign: &str) -> String {
    let signature = signature(access_key.trim().as_bytes(), string_to_sign.as_bytes());
    format!("DATAHUB {}:{signature}", access_id.trim())
}

fn signature(key: &[u8], text: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Vector {
        name: String,
        method: String,
        path: String,
        access_id: String,
        access_key: String,
        headers: BTreeMap<String, String>,
        string_to_sign: String,
        authorization: String,
    }

    fn vectors() -> Vec<Vector> {
        serde_json::from_str(include_str!("../../tests/vectors/signatures.json")).unwrap()
    }

    fn header<'a>(vector: &'a Vector, name: &str) -> &'a str {
        let found = vector.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    #[test]
    fn i11_the_official_clients_sign_the_same_string_the_same_way() {
        let (mut strings, mut signatures) = (0, 0);
        for vector in vectors() {
            // One client decodes paths and queries before it signs; this one sends neither encoded paths nor queries.
            if !vector.path.contains(['?', '%']) {
                let text = string_to_sign(
                    &vector.method,
                    header(&vector, "content-type"),
                    header(&vector, "date"),
                    vector.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())),
                    &vector.path,
                );
                assert_eq!(text, vector.string_to_sign, "{}", vector.name);
                strings += 1;
            }
            // The same client hashes text beyond ASCII as latin-1.
            if vector.string_to_sign.is_ascii() {
                let value = authorization(&vector.access_id, &vector.access_key, &vector.string_to_sign);
                assert_eq!(value, vector.authorization, "{}", vector.name);
                signatures += 1;
            }
        }
        assert!(
            strings >= 45 && signatures >= 60,
            "{strings} strings, {signatures} signatures"
        );
    }

    #[test]
    fn i11_a_token_is_signed_like_any_header_of_the_service() {
        let headers = [
            ("X-DataHub-Security-Token", "t"),
            ("x-datahub-client-version", "1.1"),
            ("Content-Encoding", "lz4"),
        ];
        assert_eq!(
            string_to_sign("POST", "", "d", headers, "/p"),
            "POST\n\nd\nx-datahub-client-version:1.1\nx-datahub-security-token:t\n/p"
        );
    }
}
