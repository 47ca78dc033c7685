//! Which certificates the database shows, looked at over a connection of its own: the database library does not tell.
//!
//! The connection ends behind the TLS handshake. Nothing is sent over it that a certificate would have to be trusted for.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificate::Certificate;
use crate::config::DatabaseConfig;

/// Largest greeting that is read; real ones have about a hundred bytes.
const LARGEST_GREETING: usize = 4096;

/// Capability flag of a server, or a client, that speaks TLS.
const CLIENT_SSL: u32 = 0x0800;
/// The request to begin TLS: protocol 4.1, secure authentication, plugins, and [`CLIENT_SSL`].
const CAPABILITIES: u32 = 0x0008_8200 | CLIENT_SSL;
/// utf8mb4_general_ci; no text follows.
const CHARSET: u8 = 45;

/// The certificates that the server shows, its own first; none where it offers no TLS, or the handshake failed.
///
/// Bounded by `config.connect_timeout`. Only to be asked where a connection has come about: why one does not is
/// `connection::connect`'s to say.
pub async fn certificates(config: &DatabaseConfig) -> Vec<Certificate> {
    let shown = Arc::new(Shown::default());
    let handshake = handshake(config, Arc::clone(&shown));
    // A handshake that fails behind the certificates has shown them all the same.
    drop(tokio::time::timeout(config.connect_timeout, handshake).await);
    let chain = shown.chain.lock().unwrap_or_else(PoisonError::into_inner);
    chain.clone()
}

async fn handshake(config: &DatabaseConfig, shown: Arc<Shown>) -> Option<()> {
    let host = config.host.trim_start_matches('[').trim_end_matches(']');
    let mut stream = TcpStream::connect((host, config.port)).await.ok()?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.ok()?;
    let [low, middle, high, _sequence] = head;
    let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
    let mut greeting = vec![0; length.min(LARGEST_GREETING)];
    stream.read_exact(&mut greeting).await.ok()?;
    if !offers_tls(&greeting) {
        return None;
    }
    stream.write_all(&request()).await.ok()?;
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let provider = Arc::new(ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(shown)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
        .ok()?;
    Some(())
}

/// Whether a server's greeting says so: behind its version and 13 bytes come the lower capability flags.
fn offers_tls(greeting: &[u8]) -> bool {
    let flags = || {
        let (10, rest) = greeting.split_first()? else {
            return None;
        };
        let version = rest.iter().position(|byte| *byte == 0)?;
        let flags = rest.get(version + 14..)?.first_chunk::<2>()?;
        Some(u32::from(u16::from_le_bytes(*flags)))
    };
    flags().is_some_and(|flags| flags & CLIENT_SSL != 0)
}

/// The packet that asks for TLS, the second of the conversation.
fn request() -> Vec<u8> {
    let mut packet = vec![32, 0, 0, 1];
    packet.extend(CAPABILITIES.to_le_bytes());
    packet.extend((1u32 << 24).to_le_bytes());
    packet.push(CHARSET);
    packet.resize(36, 0);
    packet
}

/// Keeps what is shown and trusts everything: nothing is sent that would have to be kept from anybody.
#[derive(Debug, Default)]
struct Shown {
    chain: Mutex<Vec<Certificate>>,
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) =
            all.filter_map(|der| Certificate::parse(der)).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider: CryptoProvider = ring::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_says_whether_there_is_tls() {
        let greeting = |flags: u16| {
            let mut bytes = vec![10];
            bytes.extend(b"10.11.19-MariaDB\0");
            bytes.extend([0; 13]);
            bytes.extend(flags.to_le_bytes());
            bytes.extend([0; 20]);
            bytes
        };
        assert!(offers_tls(&greeting(0xffff)));
        assert!(!offers_tls(&greeting(0xf7ff)));
        // An error in place of a greeting, and one that is cut.
        assert!(!offers_tls(b"\xff\x10\x04Too many connections"));
        assert!(!offers_tls(&greeting(0xffff)[..20]));
        assert_eq!(request().len(), 36);
    }
}
