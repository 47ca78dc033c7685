//! Bodies of answers, the broken ones included.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// What an answer sends.
pub(crate) enum Answer {
    Whole(Bytes),
    /// In drops.
    Slow {
        rest: Bytes,
        at_once: usize,
        tick: Duration,
        sleep: Pin<Box<Sleep>>,
    },
    /// Ends in an error after these bytes; the pause lets them leave first.
    Cut {
        part: Bytes,
        sleep: Pin<Box<Sleep>>,
    },
}

/// The body was cut on purpose.
#[derive(Debug)]
pub(crate) struct CutShort;

impl std::fmt::Display for CutShort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut short on purpose")
    }
}

impl std::error::Error for CutShort {}

impl Answer {
    pub(crate) fn cut(part: Bytes) -> Answer {
        Answer::Cut {
            part,
            sleep: Box::pin(sleep(Duration::from_millis(20))),
        }
    }

    pub(crate) fn slow(rest: Bytes, at_once: usize, tick: Duration) -> Answer {
        Answer::Slow {
            rest,
            at_once: at_once.max(1),
            tick,
            sleep: Box::pin(sleep(tick)),
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        match self.get_mut() {
            Answer::Whole(rest) if rest.is_empty() => Poll::Ready(None),
            Answer::Whole(rest) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(rest))))),
            Answer::Slow { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Answer::Slow {
                rest,
                at_once,
                tick,
                sleep: due,
            } => {
                if due.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                *due = Box::pin(sleep(*tick));
                let drop = rest.split_to(rest.len().min(*at_once));
                Poll::Ready(Some(Ok(Frame::data(drop))))
            }
            Answer::Cut { part, .. } if !part.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(part)))))
            }
            Answer::Cut { sleep, .. } => sleep.as_mut().poll(context).map(|()| Some(Err(CutShort))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(rest) | Answer::Slow { rest, .. } => SizeHint::with_exact(rest.len() as u64),
            Answer::Cut { .. } => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(rest) | Answer::Slow { rest, .. } => rest.is_empty(),
            Answer::Cut { .. } => false,
        }
    }
}
