//! An authority made on the spot by `openssl`, whose certificates hold from and until any day.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory with an authority, another one, and what they signed.
pub(crate) struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self {
            dir: tempfile::tempdir().expect("a directory"),
        };
        for name in ["ca", "other"] {
            authority.openssl(&format!(
                "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -days 400"
            ));
        }
        authority
            .openssl("req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost");
        let config = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n\
                      policy=any\nunique_subject=no\n[any]\ncommonName=supplied\n[leaf]\n\
                      basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\n";
        for (file, text) in [("config", config), ("index", ""), ("serial", "01\n")] {
            std::fs::write(authority.file(file), text).expect("a file");
        }
        authority
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// Puts a new certificate for `localhost` in the place of `server.pem`; times as `YYYYMMDDhhmmssZ`.
    pub(crate) fn issue(&self, from: &str, until: &str) {
        self.openssl(&format!(
            "ca -batch -notext -config config -extensions leaf -cert ca.pem -keyfile ca.key -in server.csr -out server.pem \
             -startdate {from} -enddate {until}"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let dir: &Path = self.dir.path();
        let output = Command::new("openssl")
            .current_dir(dir)
            .args(arguments.split_whitespace())
            .output()
            .expect("openssl");
        assert!(
            output.status.success(),
            "{arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// So many days from now, as certificates have it.
pub(crate) fn in_days(days: i64) -> String {
    let output = Command::new("date")
        .args(["-u", "-d", &format!("{days} days"), "+%Y%m%d%H%M%SZ"])
        .output()
        .expect("date");
    String::from_utf8(output.stdout)
        .expect("digits")
        .trim()
        .to_owned()
}
