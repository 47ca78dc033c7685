//! Failures of the TLS layer, by their text: the library hands on most of them as plain I/O errors.

use mysql_async::{DriverError, Error, IoError};

use super::one_line;
use crate::retry::Failure;

/// Whether the server has no TLS at all, so that `preferred` goes on without.
pub fn lacks_tls(error: &Error) -> bool {
    matches!(error, Error::Driver(DriverError::NoClientSslFlagFromServer))
}

/// A host name that the server's certificate was issued for, if the only fault of the certificate was that it
/// names another host than the one connected to.
pub fn certified_name(error: &Error) -> Option<String> {
    let text = match error {
        Error::Io(IoError::Io(error)) => error.to_string(),
        Error::Io(IoError::Tls(error)) => error.to_string(),
        Error::Driver(_) | Error::Other(_) | Error::Server(_) | Error::Url(_) => return None,
    };
    name_in(&text)
}

fn name_in(text: &str) -> Option<String> {
    let (_, names) = text.split_once("certificate not valid for name")?;
    let between = |open: &str, close: char| {
        let (_, rest) = names.split_once(open)?;
        rest.split_once(close).map(|(name, _)| name)
    };
    let name = between("DnsName(\"", '"').or_else(|| between("IpAddress(", ')'))?;
    // A wildcard stands for any one label.
    Some(name.replacen('*', "any", 1))
}

pub(super) fn of_tls(text: &str) -> Failure {
    let message = format!("TLS failed: {}", one_line(text));
    let lower = text.to_ascii_lowercase();
    let has = |word: &str| lower.contains(word);
    let halt = |code, remedy| Failure::halt(code, message.clone(), remedy);
    if has("not valid for any names") {
        halt(
            "tls_name_mismatch",
            "issue the server a certificate with a subjectAltName, or set `DATABASE_TLS_MODE=required`",
        )
    } else if has("not valid for name") || has("notvalidforname") {
        halt(
            "tls_name_mismatch",
            "set DATABASE_HOST to a name in the certificate, or set `DATABASE_TLS_MODE=verify_ca`",
        )
    } else if has("unknownissuer") || has("badsignature") {
        halt(
            "tls_unknown_authority",
            "set DATABASE_TLS_CA to the PEM file of the authority that signed the server's certificate",
        )
    } else if has("expired") || has("not valid yet") || has("notvalidyet") {
        halt(
            "tls_certificate_expired",
            "renew the server's certificate, and check both clocks",
        )
    } else if has("badencoding") {
        halt(
            "tls_file_unreadable",
            "check that DATABASE_TLS_CA holds PEM certificates; if so, the server's own certificate is damaged",
        )
    } else if has("invalid peer certificate") {
        halt(
            "tls_certificate_invalid",
            "issue the server an X.509 v3 certificate that is no authority itself",
        )
    } else if has("certificaterequired")
        || has("handshakefailure")
        || has("unknownca")
        || has("badcertificate")
    {
        halt(
            "tls_refused_by_server",
            "check DATABASE_TLS_CERT and DATABASE_TLS_KEY, and that the server speaks TLS 1.2 or 1.3",
        )
    } else if has("peer is incompatible") || has("protocolversion") {
        halt(
            "tls_version_unsupported",
            "enable TLS 1.2 or 1.3 on the server, or set `DATABASE_TLS_MODE=disabled`",
        )
    } else if has("no root") || has("pem") || has("section") || has("base64") || has("key") {
        halt(
            "tls_file_unreadable",
            "correct the PEM files in DATABASE_TLS_CA, DATABASE_TLS_CERT and DATABASE_TLS_KEY",
        )
    } else if has("dns name") {
        halt(
            "tls_host_name_invalid",
            "set DATABASE_HOST to a host name or address that a certificate can hold",
        )
    } else {
        Failure::retry("tls_error", message)
    }
}
