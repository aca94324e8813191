//! One call of a sidecar, made again where that is certain to be harmless.
//!
//! A body notes that it is being read: before that nothing which could take effect has left this process, so a
//! connection that does not come about or breaks is tried again until the deadline. Afterwards the outcome of a broken
//! connection is unknown, and the call is repeated only where the program allows it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body::{Body, Frame, SizeHint};

use crate::error::{Error, ErrorCode, Result};
use crate::tls;

/// Pauses between attempts to reach the sidecar.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Whether the data of a call was given to a connection.
#[derive(Clone, Default)]
pub(super) struct Handed(Arc<AtomicBool>);

impl Handed {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A body that notes when it is read.
pub(super) struct Watched<B> {
    body: B,
    handed: Handed,
}

impl<B> Watched<B> {
    pub(super) fn new(body: B, handed: Handed) -> Self {
        Self { body, handed }
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.handed.0.store(true, Ordering::Release);
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// The sidecar answered, or the call cannot be made: asking again gives the same.
    Answered(Error),
    /// There is no connection, or it broke.
    Lost(Error),
}

/// How often a call may be repeated although it may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeats(Option<u32>);

impl Repeats {
    /// Of a question, which does nothing: as often as the deadline allows, and no outcome is unknown.
    pub(super) const QUESTION: Self = Self(None);

    /// As `DAPR_API_MAX_RETRIES` says it: a negative number is no bound but the deadline.
    pub(super) fn new(most: i64) -> Self {
        Self(Some(u32::try_from(most).unwrap_or(u32::MAX)))
    }

    /// Nothing becomes of a question, so that no outcome of it is unknown.
    fn known(self, error: Error) -> Error {
        if self != Self::QUESTION {
            return error;
        }
        let known = Error::new(ErrorCode::Unavailable, error.message().to_owned());
        match error.backend_text() {
            Some(text) => known.backend(text),
            None => known,
        }
    }
}

/// Makes attempts until one is answered or the deadline is over. `place` is where the sidecar should be.
pub(super) async fn until_answered<T, A, F>(
    place: &str,
    deadline: Instant,
    repeats: Repeats,
    mut attempt: A,
) -> Result<T>
where
    A: FnMut(Handed) -> F,
    F: Future<Output = Result<T, Failed>>,
{
    let (mut pause, mut repeated, mut trouble) = (FIRST_PAUSE, 0, None);
    // Also after a later attempt that was certainly not sent.
    let mut may_be_done = false;
    loop {
        let handed = Handed::default();
        let attempted = tokio::time::timeout_at(deadline.into(), attempt(handed.clone())).await;
        let lost = match attempted {
            Ok(Ok(answer)) => return Ok(answer),
            // Something before the sidecar, which may not be there yet.
            Ok(Err(Failed::Answered(error)))
                if repeats == Repeats::QUESTION && error.code() == ErrorCode::OutcomeUnknown =>
            {
                repeats.known(error)
            }
            Ok(Err(Failed::Answered(error))) => return Err(error),
            Ok(Err(Failed::Lost(error))) => error,
            Err(_) if handed.is_set() => return Err(repeats.known(unanswered(place))),
            Err(_) => return Err(trouble.unwrap_or_else(|| repeats.known(too_late(place)))),
        };
        may_be_done |= handed.is_set() && repeats != Repeats::QUESTION;
        // A certificate does not get better by asking again.
        let is_final = lost.code() != ErrorCode::Unavailable;
        let lost = if may_be_done { broken(place, &lost) } else { lost };
        if is_final {
            return Err(lost);
        }
        if handed.is_set() {
            if repeats.0.is_some_and(|most| repeated >= most) {
                return Err(lost);
            }
            repeated = repeated.saturating_add(1);
        }
        if Instant::now() + pause >= deadline {
            tokio::time::sleep_until(deadline.into()).await;
            return Err(lost);
        }
        trouble = Some(lost);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A connection that did not come about, or broke.
pub(super) fn lost(place: &str, error: &(dyn std::error::Error + 'static)) -> Failed {
    let text = tls::chain(error);
    // Whoever breaks off while TLS begins, a proxy that is starting, may do better later.
    let code = tls::code_of(&text).filter(|_| !text.contains("unexpected eof"));
    Failed::Lost(match code {
        Some(code) => Error::new(code, format!("no encrypted connection to the sidecar at {place}"))
            .backend(text)
            .advice("Name the file with the certificate of its authority in `sidecar_ca` or BINDWRIGHT_SIDECAR_CA, and check that the address and `?tls=` fit the sidecar."),
        None => Error::new(ErrorCode::Unavailable, format!("no connection to the sidecar at {place}"))
            .backend(text)
            .advice("Check that the sidecar runs, and its address: DAPR_GRPC_ENDPOINT or DAPR_GRPC_PORT, DAPR_HTTP_ENDPOINT or DAPR_HTTP_PORT."),
    })
}

fn too_late(place: &str) -> Error {
    Error::new(ErrorCode::Timeout, format!("the sidecar at {place} took no connection in time"))
}

fn unanswered(place: &str) -> Error {
    Error::new(ErrorCode::OutcomeUnknown, format!("the sidecar at {place} did not answer in time"))
}

fn broken(place: &str, cause: &Error) -> Error {
    let message = format!("the connection to the sidecar at {place} broke before it answered");
    Error::new(ErrorCode::OutcomeUnknown, message).backend(cause.backend_text().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use http_body_util::{BodyExt as _, Full};

    use super::*;

    fn in_a_while() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    async fn tried(repeats: i64, deadline: Instant, is_sent: bool) -> (u32, Error) {
        let count = AtomicU32::new(0);
        let result: Result<()> =
            until_answered("here", deadline, Repeats::new(repeats), async |handed: Handed| {
                count.fetch_add(1, Ordering::Relaxed);
                if is_sent {
                    let body = Watched::new(Full::new(bytes::Bytes::from_static(b"x")), handed);
                    body.collect().await.expect("a body");
                }
                Err(lost("here", &std::io::Error::from(std::io::ErrorKind::ConnectionReset)))
            })
            .await;
        (count.into_inner(), result.expect_err("nothing answers"))
    }

    #[tokio::test]
    async fn what_was_not_sent_is_tried_until_the_deadline() {
        let (count, error) = tried(0, Instant::now() + Duration::from_millis(200), false).await;
        assert!(count > 2, "{count} attempts");
        assert_eq!((error.code(), error.retriable()), (ErrorCode::Unavailable, Some(true)));
    }

    #[tokio::test]
    async fn what_may_have_been_sent_is_repeated_as_often_as_is_allowed() {
        for (repeats, expected) in [(0, 1), (2, 3)] {
            let (count, error) = tried(repeats, in_a_while(), true).await;
            assert_eq!(count, expected);
            assert_eq!((error.code(), error.retriable()), (ErrorCode::OutcomeUnknown, Some(false)));
        }
    }

    #[tokio::test]
    async fn what_was_sent_once_stays_unknown_when_it_is_not_sent_again() {
        let count = AtomicU32::new(0);
        let deadline = Instant::now() + Duration::from_millis(100);
        let result: Result<()> =
            until_answered("here", deadline, Repeats::new(-1), async |handed: Handed| {
                handed.0.store(count.fetch_add(1, Ordering::Relaxed) == 0, Ordering::Release);
                Err(lost("here", &std::io::Error::from(std::io::ErrorKind::ConnectionRefused)))
            })
            .await;
        let error = result.expect_err("nothing answers");
        assert!(count.into_inner() > 1);
        assert_eq!((error.code(), error.retriable()), (ErrorCode::OutcomeUnknown, Some(false)));
    }

    #[tokio::test]
    async fn a_question_is_asked_until_somebody_knows() {
        let count = AtomicU32::new(0);
        let answer = until_answered("here", in_a_while(), Repeats::QUESTION, async |_: Handed| {
            match count.fetch_add(1, Ordering::Relaxed) {
                // A proxy whose sidecar is not there yet.
                0 => Err(Failed::Answered(Error::new(ErrorCode::OutcomeUnknown, "no upstream"))),
                _ => Ok(17),
            }
        });
        assert_eq!(answer.await.expect("an answer"), 17);
        for is_sent in [true, false] {
            let deadline = Instant::now() + Duration::from_millis(20);
            let result: Result<()> =
                until_answered("here", deadline, Repeats::QUESTION, async |handed: Handed| {
                    handed.0.store(is_sent, Ordering::Release);
                    std::future::pending().await
                })
                .await;
            assert_eq!(result.expect_err("nothing answers").code(), ErrorCode::Unavailable);
        }
    }

    #[tokio::test]
    async fn a_deadline_tells_whether_something_was_sent() {
        for (is_sent, code) in [(true, ErrorCode::OutcomeUnknown), (false, ErrorCode::Timeout)] {
            let deadline = Instant::now() + Duration::from_millis(20);
            let result: Result<()> =
                until_answered("here", deadline, Repeats::new(-1), async |handed: Handed| {
                    handed.0.store(is_sent, Ordering::Release);
                    std::future::pending().await
                })
                .await;
            assert_eq!(result.expect_err("nothing answers").code(), code);
        }
    }
}
