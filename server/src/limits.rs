//! What requests may cost: memory for their bodies and replies, and time for their clients.
//!
//! Everything that is read of requests under way is charged to one budget, and so is what is answered (`replies.rs`).
//! What does not fit is refused at once, with a hint to come again, instead of being held: 503 over HTTP,
//! `RESOURCE_EXHAUSTED` over gRPC. Tests are below and in `server/tests/serve/hostile.rs`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};
use tonic::Status;

use crate::grpc;

/// A reply that is no larger always passes: the work is done, and the caller wants to know. It leaves less for others.
const SMALL_REPLY: usize = 64 << 10;

/// What all requests under way may hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Less than nothing where small replies took more than there was.
    left: AtomicIsize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicIsize::new(signed(bytes)) })
    }

    fn take(&self, bytes: usize) -> bool {
        let take = |left: isize| Some(left.checked_sub(signed(bytes))?).filter(|left| *left >= 0);
        self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }

    pub(crate) fn charge(self: &Arc<Self>) -> Charge {
        Charge { budget: self.clone(), taken: 0 }
    }

    /// What a reply takes; nothing if it is not small and there is no room.
    pub(crate) fn charge_reply(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        if bytes <= SMALL_REPLY {
            self.left.fetch_sub(signed(bytes), Ordering::AcqRel);
        } else if !self.take(bytes) {
            return None;
        }
        Some(Charge { budget: self.clone(), taken: bytes })
    }
}

/// Why a reply is not sent: whoever asks again should know what that does.
pub(crate) fn no_room(bytes: usize) -> String {
    format!("too much is under way for a reply of {bytes} bytes; what was asked for is done")
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

/// What one request or reply has taken of the budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    taken: usize,
}

impl Charge {
    pub(crate) fn add(&mut self, bytes: usize) -> bool {
        let fits = self.budget.take(bytes);
        if fits {
            self.taken += bytes;
        }
        fits
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.left.fetch_add(signed(self.taken), Ordering::AcqRel);
    }
}

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    /// Nothing came for too long.
    Slow,
    /// All requests together hold too much.
    Overloaded,
    /// The client went away, or broke the protocol.
    Broken(String),
}

/// Reads a body as a whole; the charge is to be kept for as long as the body. What is left where it fails is the
/// caller's affair.
pub(crate) async fn read<B: http_body::Body<Data = Bytes, Error: std::fmt::Display> + Unpin>(
    mut body: B,
    most: Option<usize>,
    mut charge: Charge,
    patience: Duration,
) -> Result<(Bytes, Charge), Unread> {
    let most = most.unwrap_or(usize::MAX);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let next = tokio::time::timeout(patience, body.frame()).await.map_err(|_| Unread::Slow)?;
        let Some(frame) = next else { break };
        let frame = frame.map_err(|error| Unread::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = first.len() + rest.len() + data.len();
        if length > most {
            return Err(Unread::TooLarge);
        }
        if !charge.add(data.len()) {
            return Err(Unread::Overloaded);
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    Ok((if rest.is_empty() { first } else { rest.freeze() }, charge))
}

/// A body that charges what passes and does not wait for ever. For gRPC, where others read it.
pub(crate) struct Metered {
    body: Body,
    charge: Arc<Mutex<Charge>>,
    patience: Duration,
    waiting: Pin<Box<Sleep>>,
}

impl Metered {
    pub(crate) fn new(body: Body, charge: Arc<Mutex<Charge>>, patience: Duration) -> Self {
        Self { body, charge, patience, waiting: Box::pin(tokio::time::sleep(patience)) }
    }
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            ready!(self.waiting.as_mut().poll(context));
            return Poll::Ready(Some(Err(Status::deadline_exceeded("the request did not go on"))));
        };
        let next = Instant::now() + self.patience;
        self.waiting.as_mut().reset(next);
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|error| Status::cancelled(error.to_string()))?;
            let length = frame.data_ref().map_or(0, Bytes::len);
            if self.charge.lock().add(length) { Ok(frame) } else { Err(grpc::overloaded(grpc::TOO_MUCH)) }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn read_of(
        budget: &Arc<Budget>,
        body: &'static str,
        most: usize,
    ) -> Result<(Bytes, Charge), Unread> {
        read(Body::from(body), Some(most), budget.charge(), PATIENCE).await
    }

    #[tokio::test]
    async fn a_body_is_charged_until_its_request_is_over() {
        let budget = Budget::new(8);
        let (body, charge) = read_of(&budget, "12345", 5).await.unwrap();
        assert_eq!(body, "12345");
        assert_eq!(read_of(&budget, "1234", 5).await.unwrap_err(), Unread::Overloaded);
        assert_eq!(read_of(&budget, "123", 5).await.unwrap().0, "123");
        drop(charge);
        assert_eq!(read_of(&budget, "12345678", 8).await.unwrap().0, "12345678");
    }

    #[tokio::test]
    async fn small_replies_always_pass_and_leave_less_for_others() {
        let budget = Budget::new(SMALL_REPLY * 2);
        assert!(budget.charge_reply(SMALL_REPLY * 2 + 1).is_none());
        let large = budget.charge_reply(SMALL_REPLY + 1).unwrap();
        assert!(budget.charge_reply(SMALL_REPLY + 1).is_none());
        let small: Vec<_> = (0..3).map(|_| budget.charge_reply(SMALL_REPLY).unwrap()).collect();
        drop(large);
        assert_eq!(read_of(&budget, "1", 1).await.unwrap_err(), Unread::Overloaded);
        drop(small);
        assert!(budget.charge_reply(SMALL_REPLY * 2).is_some());
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together_and_limited_as_a_whole() {
        let pieces = || Body::new(Pieces(vec!["e", "cd", "ab"]));
        let budget = Budget::new(100);
        let whole = read(pieces(), Some(5), budget.charge(), PATIENCE).await.unwrap();
        assert_eq!(whole.0, "abcde");
        assert_eq!(read(pieces(), Some(4), budget.charge(), PATIENCE).await.unwrap_err(), Unread::TooLarge);
    }

    #[tokio::test]
    async fn a_body_that_does_not_go_on_is_given_up() {
        let stuck = Body::new(Stuck);
        let read = read(stuck, None, Budget::new(1).charge(), Duration::from_millis(20)).await;
        assert_eq!(read.unwrap_err(), Unread::Slow);
        let charge = Arc::new(Mutex::new(Budget::new(1).charge()));
        let metered = Metered::new(Body::new(Stuck), charge, Duration::from_millis(20)).collect().await;
        assert_eq!(metered.unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }

    /// Its pieces, the last one first.
    struct Pieces(Vec<&'static str>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.pop().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
        }
    }

    struct Stuck;

    impl http_body::Body for Stuck {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }
}
