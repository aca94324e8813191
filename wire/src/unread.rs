//! What nobody read of a request's body. Over HTTP/1 it stands before the next request: a server reads it, too, or ends
//! the connection. A client that is not told sends its next call into a connection that ends, and cannot know what
//! became of it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

/// What is read and thrown away of a body that is refused, so that its sender gets to read the answer; as much as Go
/// reads.
const DISCARDED: usize = 256 << 10;
/// So long the answer waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body that knows how far it was read.
pub struct Watched<B> {
    body: B,
    read: Read,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    NotBegun,
    Begun,
    ToItsEnd,
    /// It broke before its end: what follows cannot be told from it.
    Broken,
}

impl<B: Body> Watched<B> {
    /// Nothing of it is read yet.
    pub fn new(body: B) -> Self {
        let read = if body.is_end_stream() { Read::ToItsEnd } else { Read::NotBegun };
        Self { body, read }
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.read = match &frame {
            _ if self.read == Read::Broken => Read::Broken,
            Poll::Ready(Some(Err(_))) => Read::Broken,
            Poll::Ready(None) => Read::ToItsEnd,
            _ if self.body.is_end_stream() => Read::ToItsEnd,
            _ => Read::Begun,
        };
        frame
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.read, Read::ToItsEnd | Read::Broken)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// To be called with every answer, before it is given: reads what is left of the body, if it is not much and comes in
/// time. Otherwise the connection ends with the answer, which says so.
pub async fn settle<B, R>(request: &mut Request<Watched<B>>, response: &mut Response<R>)
where
    B: Body<Data = Bytes> + Unpin,
{
    // In HTTP/2 the rest of a request is in nobody's way.
    let is_http1 = request.version() < Version::HTTP_2;
    let is_late = response.status() == StatusCode::REQUEST_TIMEOUT;
    let is_wanted = match request.body().read {
        Read::ToItsEnd => return,
        Read::Broken => false,
        // Whoever asks whether to send the body, and gets the answer, does not send it.
        Read::NotBegun => is_http1 && !is_late && !request.headers().contains_key(EXPECT),
        Read::Begun => !is_late,
    };
    let is_read = is_wanted && tokio::time::timeout(PATIENCE, discard(request.body_mut())).await == Ok(true);
    if is_http1 && !is_read {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

async fn discard(mut body: impl Body<Data = Bytes> + Unpin) -> bool {
    let mut left = DISCARDED;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            return false;
        }
        left -= length;
    }
    true
}
