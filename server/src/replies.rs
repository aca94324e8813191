//! Replies on their way: what they take until they were written, and clients that do not take them.
//!
//! A reply is charged to what requests may hold together, from when it is made until its last piece was written or its
//! connection ended. A client on whose connection a reply does not go on is hung up on, whatever else it says: with
//! HTTP/2 it may leave one reply lying and go on with others, and what lies is charged all the same. Tests are in
//! `server/tests/serve/hostile_memory.rs` and `server/tests/serve/unread.rs`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Extensions, Response};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limits::{Budget, Charge};

/// Every call takes as much as this.
const TRIFLE: usize = 1 << 10;
/// A reply goes out in pieces; each one that is written shows that the client reads.
const PIECE: usize = 64 << 10;

/// Charges a response of so many bytes; `false` if there is no room for it, and it must not be sent.
pub(crate) fn charge(budget: &Arc<Budget>, extensions: &mut Extensions, bytes: usize) -> bool {
    if bytes <= TRIFLE {
        return true;
    }
    let charge = budget.charge_reply(bytes);
    let fits = charge.is_some();
    if let Some(charge) = charge {
        extensions.insert(Arc::new(charge));
    }
    fits
}

/// The charged replies of one connection.
#[derive(Default)]
pub(crate) struct Replies {
    under_way: Mutex<UnderWay>,
    /// The first one is there.
    begun: Notify,
}

#[derive(Default)]
struct UnderWay {
    last_number: u64,
    /// When each went on last.
    moved: BTreeMap<u64, Instant>,
}

impl Replies {
    /// Takes the charge out of a response and into its body.
    pub(crate) fn watch<B>(self: &Arc<Self>, mut response: Response<B>) -> Response<Outgoing<B>> {
        let charge = response.extensions_mut().remove::<Arc<Charge>>();
        let reply = charge.map(|charge| Arc::new(self.begin(charge)));
        response.map(|body| Outgoing { body, rest: Bytes::new(), reply })
    }

    fn begin(self: &Arc<Self>, charge: Arc<Charge>) -> OnItsWay {
        let mut under_way = self.under_way.lock();
        under_way.last_number += 1;
        let number = under_way.last_number;
        under_way.moved.insert(number, Instant::now());
        if under_way.moved.len() == 1 {
            self.begun.notify_one();
        }
        OnItsWay { replies: self.clone(), number, _charge: charge }
    }

    /// Ends when one of the replies did not go on for so long.
    pub(crate) async fn stall(&self, patience: Duration) {
        loop {
            let moved = self.under_way.lock().moved.values().min().copied();
            let Some(moved) = moved else {
                self.begun.notified().await;
                continue;
            };
            let left = patience.saturating_sub(moved.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// A charged reply, until the last piece of it is dropped.
struct OnItsWay {
    replies: Arc<Replies>,
    number: u64,
    _charge: Arc<Charge>,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.replies.under_way.lock().moved.remove(&self.number);
    }
}

/// The body of a response, in pieces where it is charged.
pub(crate) struct Outgoing<B> {
    body: B,
    rest: Bytes,
    reply: Option<Arc<OnItsWay>>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            let Some(reply) = &self.reply else { return Poll::Ready(frame) };
            let data = match frame {
                Some(Ok(frame)) => frame.into_data().map_err(Ok),
                Some(Err(error)) => Err(Err(error)),
                None => return Poll::Ready(None),
            };
            match data {
                Ok(data) if data.len() > PIECE => self.rest = data,
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(Piece::of(data, reply))))),
                Err(other) => return Poll::Ready(Some(other)),
            }
        }
        let length = self.rest.len().min(PIECE);
        let data = self.rest.split_to(length);
        let piece = self.reply.as_ref().map_or(Bytes::new(), |reply| Piece::of(data, reply));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        let upper = hint.upper();
        hint.set_lower(hint.lower() + rest);
        if let Some(upper) = upper {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// A piece of a reply, until it was written: the libraries drop their last hold on it then.
struct Piece {
    bytes: Bytes,
    reply: Arc<OnItsWay>,
}

impl Piece {
    fn of(bytes: Bytes, reply: &Arc<OnItsWay>) -> Bytes {
        Bytes::from_owner(Self { bytes, reply: reply.clone() })
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut under_way = self.reply.replies.under_way.lock();
        if let Some(moved) = under_way.moved.get_mut(&self.reply.number) {
            *moved = Instant::now();
        }
    }
}
