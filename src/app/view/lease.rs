//! The lease as `/health` shows it.

use std::time::Duration;

use tokio::time::Instant;

use super::last_error;
use crate::http::SourceState as Link;
use crate::http::status::Component;
use crate::pipeline::fence::{Fence, Standing};
use crate::retry::Reason;

/// What the lease says of a collector that has not read anything yet, if that is not the source's to say.
pub(super) fn link(fence: &Fence) -> Option<(Link, Option<Reason>)> {
    let lease = fence.lease();
    let connecting = Link::Connecting {
        since: Duration::ZERO,
    };
    match &lease.standing {
        Standing::Absent => None,
        Standing::Asking(reason) => Some((connecting, reason.clone())),
        Standing::Standby => Some((Link::Standby, None)),
        Standing::Held if lease.is_cleared() => None,
        Standing::Held => Some((Link::TakingOver, None)),
    }
}

/// Since when puts are held back, once sending had begun.
pub(super) fn fenced_since(fence: &Fence, start: Instant) -> Option<Duration> {
    fence.shut_since().map(|at| at.saturating_duration_since(start))
}

pub(super) fn component(fence: &Fence) -> Component {
    let lease = fence.lease();
    let (state, reason) = match &lease.standing {
        Standing::Absent => ("none", None),
        Standing::Asking(reason) => ("asking", reason.clone()),
        Standing::Standby => ("standby", None),
        Standing::Held if lease.is_cleared() => ("held", None),
        Standing::Held => ("taking_over", None),
    };
    Component {
        state: state.to_owned(),
        progress_age_seconds: fence.confirmed_at().map(super::age),
        last_error: reason.and_then(|reason| last_error(&reason, Instant::now())),
    }
}
