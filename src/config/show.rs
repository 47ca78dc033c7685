//! The effective configuration as a person reads it: YAML in the form of `application.yml`, each value with its
//! origin, secrets as `***`.

use std::fmt::Write as _;

use super::layers::Raw;
use super::options::{Kind, OPTIONS, Opt};

impl Raw {
    /// A value as it may be printed; one that is also given as a secret is a secret in the wrong place.
    pub(super) fn shown(&self, opt: &Opt, text: &str) -> String {
        let secrets = OPTIONS.iter().filter(|opt| opt.kind == Kind::Secret);
        let mut given = secrets.filter_map(|opt| self.values.get(opt.key));
        if given.any(|secret| !secret.text.is_empty() && text.trim() == secret.text.trim()) {
            return String::from("***");
        }
        opt.shown(text)
    }

    /// Every option with its value and its origin. Never holds a secret.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        let mut group = "";
        for opt in OPTIONS {
            let Some((this_group, name)) = opt.key.split_once('.') else {
                continue;
            };
            if this_group != group {
                group = this_group;
                line(&mut out, &format!("{group}:"));
            }
            let given = self.values.get(opt.key);
            let value = match given {
                None => String::from("null"),
                Some(given) if opt.kind.is_plain() && opt.kind.check(given.text.trim()).is_ok() => {
                    given.text.trim().to_owned()
                }
                Some(given) => quoted(&self.shown(opt, &given.text)),
            };
            let origin = given.map_or_else(|| String::from("not set"), |given| given.origin.to_string());
            line(
                &mut out,
                &format!("  {name}: {value} # {origin}, {}", opt.variable),
            );
            if let Some(file) = self.values.get(&opt.file_key()) {
                let value = quoted(&file.text);
                line(
                    &mut out,
                    &format!(
                        "  {name}_file: {value} # {}, {}",
                        file.origin,
                        opt.file_variable()
                    ),
                );
            }
        }
        out
    }
}

fn line(out: &mut String, text: &str) {
    let written = writeln!(out, "{text}");
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

/// A YAML double-quoted scalar; JSON's escapes are a subset of YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
