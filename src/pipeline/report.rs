//! What the log says of calls that failed: one line where the failure is handled.

use crate::record::Outcome;
use crate::retry::{Disposition, Failure, Reason};

/// Why DataHub did not do what a put asked for, if it did not. That a record is refused for its own sake is an answer.
pub(super) fn put_failure(outcome: &Outcome) -> Option<&Reason> {
    let failure = match outcome {
        Outcome::Acknowledged => return None,
        Outcome::Unknown { reason } => return Some(reason),
        Outcome::Refused(failure) => failure,
        Outcome::Partial(refused) => refused.first().map(|(_, failure)| failure)?,
    };
    let is_poison = matches!(failure.disposition, Disposition::Poison(_));
    (!is_poison).then_some(&failure.reason)
}

/// Says once how a put ended that did not store everything.
pub(super) fn report_put(outcome: &Outcome, rows: usize) {
    match outcome {
        Outcome::Acknowledged => {}
        Outcome::Refused(failure) => report("a put", failure),
        Outcome::Unknown { reason } => {
            tracing::warn!(code = reason.code, rows, error = %reason.message, "a put has no answer; the shard will be read back");
        }
        Outcome::Partial(refused) => {
            let first = refused
                .first()
                .map(|(_, failure)| failure.to_string())
                .unwrap_or_default();
            tracing::warn!(
                rows,
                refused = refused.len(),
                error = first,
                "a put was stored in part"
            );
        }
    }
}

/// Says once what failed and what follows from it.
pub(super) fn report(what: &'static str, failure: &Failure) {
    let (code, error) = (failure.reason.code, &failure.reason.message);
    match &failure.disposition {
        Disposition::Retry { .. } => tracing::warn!(code, %error, "{what} failed; it will be repeated"),
        Disposition::Reroute => tracing::info!(code, %error, "{what}: the shard takes no records any more"),
        Disposition::Poison(_) => tracing::warn!(code, %error, "{what}: a record can never be stored"),
        Disposition::Halt { remedy } => tracing::error!(code, %error, %remedy, "{what} failed; halted"),
    }
}
