//! Halts: what is said of one, and which end the process.

use tokio::sync::watch;

use super::ExitReason;
use crate::retry::{Disposition, Failure};
use crate::sink::epoch::SUPERSEDED;

/// Waits for a halt that ends the process.
pub(super) async fn ended_by(
    halted: &mut watch::Receiver<Option<Failure>>,
    exit_on_halt: bool,
) -> Option<ExitReason> {
    let superseded = |failure: &Failure| failure.reason.code == SUPERSEDED;
    let ends = |halt: &Option<Failure>| halt.as_ref().is_some_and(|f| exit_on_halt || superseded(f));
    let halt = halted.wait_for(ends).await.ok()?;
    Some(match &*halt {
        Some(failure) if superseded(failure) => ExitReason::Superseded,
        Some(_) | None => ExitReason::Halted,
    })
}

/// Says why nothing goes on, once.
pub(super) fn log_halt(failure: &Failure) {
    let (code, error) = (failure.reason.code, &failure.reason.message);
    match &failure.disposition {
        Disposition::Halt { remedy } => tracing::error!(code, %error, %remedy, "halted"),
        Disposition::Retry { .. } | Disposition::Reroute | Disposition::Poison(_) => {
            tracing::error!(code, %error, "halted");
        }
    }
}
