//! A certificate authority for one test, with a server's and a client's certificate.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{INSTALL_SCRIPT, Options};

/// Certificates in PEM files; removed when dropped.
#[derive(Debug)]
pub struct Certificates {
    dir: tempfile::TempDir,
}

impl Certificates {
    /// Makes an authority, a server certificate for `localhost` and 127.0.0.1, and a client certificate.
    pub fn generate() -> Result<Certificates> {
        Certificates::generate_for("DNS:localhost,IP:127.0.0.1")
    }

    /// The same for other names, e.g. `DNS:db.example` to have a name that does not fit.
    pub fn generate_for(names: &str) -> Result<Certificates> {
        let dir = tempfile::Builder::new()
            .prefix("certificates-")
            .tempdir()
            .context("creating a directory")?;
        let certificates = Certificates { dir };
        let path = certificates.dir.path();
        openssl(
            path,
            &[
                "-x509",
                "-subj",
                "/CN=test authority",
                "-keyout",
                "ca-key.pem",
                "-out",
                "ca.pem",
            ],
        )?;
        for (name, extension) in [
            ("server", format!("subjectAltName={names}")),
            ("client", "subjectAltName=DNS:client".to_owned()),
        ] {
            let (subject, key, cert) = (
                format!("/CN={name}"),
                format!("{name}-key.pem"),
                format!("{name}.pem"),
            );
            let signed_by = ["-x509", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext"];
            // Without this, the copy of the defaults would make it an authority, which no client accepts.
            let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
            let files = ["-subj", &subject, "-keyout", &key, "-out", &cert];
            openssl(
                path,
                &[&signed_by[..], &[extension.as_str()], &leaf, &files].concat(),
            )?;
        }
        Ok(certificates)
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The server's certificate and key.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (
            self.dir.path().join("server.pem"),
            self.dir.path().join("server-key.pem"),
        )
    }

    /// The client's certificate and key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (
            self.dir.path().join("client.pem"),
            self.dir.path().join("client-key.pem"),
        )
    }
}

impl Options {
    /// Serves TLS with these certificates, which must live as long as the server.
    #[must_use]
    pub fn tls(self, certificates: &Certificates) -> Options {
        let (cert, key) = certificates.server();
        self.arg(format!("--ssl-ca={}", certificates.ca().display()))
            .arg(format!("--ssl-cert={}", cert.display()))
            .arg(format!("--ssl-key={}", key.display()))
    }
}

fn openssl(dir: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("openssl")
        .args([
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
        ])
        .args(arguments)
        .current_dir(dir)
        .output()
        .with_context(|| format!("running openssl: run {INSTALL_SCRIPT} tools"))?;
    if !output.status.success() {
        bail!(
            "openssl {arguments:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
