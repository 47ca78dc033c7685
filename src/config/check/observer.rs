//! `DATABASE_OBSERVER_*`: who knows the tables beside a binlog instance.

use crate::config::forms::host;
use crate::config::reader::Reader;
use crate::config::{Observer, Secret};

impl Reader<'_> {
    pub(super) fn observer(&mut self, username: &str, password: &Secret) -> Option<Observer> {
        let port = u16::try_from(self.number("database.observer_port")).unwrap_or_default();
        let own_username = self.text("database.observer_username");
        let own_password = self.secret("database.observer_password");
        let Some(host) = self.parsed("database.observer_host", host) else {
            // The port has a default, which a file may repeat.
            let is_given = !own_username.is_empty() || own_password.is_some();
            if is_given && self.text("database.observer_host").is_empty() {
                self.problem(
                    "database.observer_host",
                    "is missing, but a user or a password for it is given",
                    "set DATABASE_OBSERVER_HOST, or leave the others out",
                );
            }
            return None;
        };
        Some(Observer {
            host,
            port,
            username: if own_username.is_empty() {
                username.to_owned()
            } else {
                own_username
            },
            password: own_password.unwrap_or_else(|| password.clone()),
        })
    }
}
