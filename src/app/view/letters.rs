//! The dead letters as `/health` shows them: how many, and of which tables. No key, not even hashed.

use tokio::time::Instant;

use super::last_error;
use crate::delivery::TableLetters;
use crate::http::status::{Component, DeadLettersComponent, TableLettersStatus};
use crate::pipeline::PipelineStatus;

pub(super) fn component(delivery: &PipelineStatus) -> DeadLettersComponent {
    let letters = &delivery.core.dead_letters;
    let state = match (&letters.failure, letters.letters) {
        (Some(_), _) => "failing",
        (None, 0) => "none",
        (None, _) => "fenced",
    };
    let table = |of: &TableLetters| TableLettersStatus {
        table: of.table.as_ref().map(ToString::to_string),
        letters: of.letters,
        keys: of.keys,
    };
    DeadLettersComponent {
        component: Component {
            state: state.to_owned(),
            progress_age_seconds: None,
            last_error: letters
                .failure
                .as_ref()
                .and_then(|reason| last_error(reason, Instant::now())),
        },
        letters: letters.letters,
        keys: letters.keys,
        waiting_rows: letters.waiting,
        tables: letters.tables.iter().map(table).collect(),
    }
}
