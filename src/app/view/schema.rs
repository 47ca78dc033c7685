//! The tables' definitions as `/health` shows them: whether one is in doubt, and which tables are parked.

use tokio::time::Instant;

use super::last_error;
use crate::http::status::Component;
use crate::retry::Reason;
use crate::source::SourceStatus;
use crate::source::parked::TABLE_PARKED;

/// What is said of the parked tables.
pub(super) fn parked(source: &SourceStatus) -> Option<Reason> {
    let first = source.parked.first()?;
    let others = source.parked.len().saturating_sub(1);
    let more = if others > 0 {
        format!(", and {others} more")
    } else {
        String::new()
    };
    Some(Reason {
        code: TABLE_PARKED,
        message: format!(
            "the rows of {} since {} wait ({} so far){more}, all other tables flow: {}",
            first.table, first.since, first.rows, first.reason.message
        ),
    })
}

pub(super) fn component(source: &SourceStatus) -> Component {
    if let Some(reason) = parked(source) {
        return Component {
            state: String::from("parked"),
            progress_age_seconds: None,
            last_error: last_error(&reason, Instant::now()),
        };
    }
    let alarm = source.schema_alarm.as_ref();
    Component {
        state: alarm.map_or("ok", |_| "in_doubt").to_owned(),
        progress_age_seconds: None,
        last_error: alarm.and_then(|(reason, at)| last_error(reason, *at)),
    }
}
