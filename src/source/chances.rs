//! Failures that are judged by how often they come.

use std::sync::Arc;

use crate::retry::Failure;
use crate::source::{Source, State, intake, lost};

impl Source {
    /// A refused password, a wrong checksum, and a position that the stream calls purged, which the next examination of
    /// the server says more of.
    pub(super) fn second_chance(&mut self, failure: &Failure) -> Option<Failure> {
        let reason = &failure.reason;
        match reason.code {
            "database_access_denied" => {
                self.denied = self.denied.saturating_add(1);
                if self.denied >= self.alarm_attempts {
                    return None;
                }
                // The password may just have been changed: its file has the new one, now or soon.
                match self.config.password.read_again() {
                    Ok(password) => Arc::make_mut(&mut self.config).password = password,
                    Err(error) => tracing::warn!(%error, "the password file cannot be read again"),
                }
                Some(Failure::retry(reason.code, reason.message.clone()))
            }
            lost::PURGED if matches!(self.state, State::Streaming(_)) && !self.refused => {
                self.refused = true;
                if let Some(purged) = self.feed.as_ref().and_then(|feed| feed.tracker().follows_on()) {
                    self.purged = purged.clone();
                }
                Some(Failure::retry(reason.code, reason.message.clone()))
            }
            intake::CHECKSUM => {
                self.wrong_sums = self.wrong_sums.saturating_add(1);
                (self.wrong_sums > 1).then(|| {
                    Failure::halt(
                        reason.code,
                        format!("{}, again after a reconnect", reason.message),
                        "check the server's disk and the network; restart from a position behind the event once its rows were copied by hand",
                    )
                })
            }
            _ => None,
        }
    }
}
