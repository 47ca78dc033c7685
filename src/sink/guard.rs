//! The last look before records leave: a put's body goes to the connection only while that is allowed.
//!
//! Between the decision to put and the first byte lie the compression, a queue and another task. A process that was
//! frozen there for a while must find out before it writes, not after.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Says whether records may leave now.
pub type MaySend = Arc<dyn Fn() -> bool + Send + Sync>;

/// A body that was not sent because it must not be any more.
#[derive(Debug)]
pub(super) struct Withheld;

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the records were withheld: the lease ran out before they left")
    }
}

impl std::error::Error for Withheld {}

/// A body of known length, in one piece.
pub(super) struct Guarded {
    bytes: Bytes,
    may_send: MaySend,
}

impl Guarded {
    pub(super) fn new(bytes: Bytes, may_send: MaySend) -> Self {
        Self { bytes, may_send }
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = Withheld;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withheld>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(if (self.may_send)() {
            Ok(Frame::data(std::mem::take(&mut self.bytes)))
        } else {
            Err(Withheld)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    fn next(body: &mut Guarded) -> Option<Result<Bytes, Withheld>> {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).now_or_never();
        Some(
            frame
                .expect("at once")?
                .map(|frame| frame.into_data().expect("data")),
        )
    }

    #[test]
    fn a_body_is_withheld_when_it_is_its_turn_and_not_before() {
        let open = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&open);
        let may_send: MaySend = Arc::new(move || seen.load(Ordering::Relaxed));
        let bytes = Bytes::from_static(b"records");
        let mut body = Guarded::new(bytes.clone(), Arc::clone(&may_send));
        assert_eq!(body.size_hint().exact(), Some(7));
        assert_eq!(next(&mut body).expect("a piece").expect("sent"), bytes);
        assert!(next(&mut body).is_none() && body.is_end_stream());

        let mut body = Guarded::new(bytes, may_send);
        open.store(false, Ordering::Relaxed);
        assert!(next(&mut body).expect("an answer").is_err() && !body.is_end_stream());
    }
}
