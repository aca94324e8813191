//! A source's settler, and what it has not been told yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Settler, Sighting, Witness};
use crate::body::Body;
use crate::error::Error;
use crate::event::SourceFace;

/// The settler of one source.
///
/// It is told without the lock of dispatch, so for a moment an event is settled and its settler does not know. Until
/// then the source is not quiet: a reader that gave its partition back in between would not commit the event.
pub(super) struct Listener {
    face: Arc<SourceFace>,
    settler: Arc<dyn Settler>,
    witness: Option<Arc<dyn Witness>>,
    untold: AtomicUsize,
}

impl Listener {
    pub(super) fn new(
        face: Arc<SourceFace>,
        settler: Arc<dyn Settler>,
        witness: Option<Arc<dyn Witness>>,
    ) -> Arc<Self> {
        Arc::new(Self { face, settler, witness, untold: AtomicUsize::new(0) })
    }

    /// What became of events under the lock. To be told once it is free.
    pub(super) fn message(
        self: Arc<Self>,
        positions: Vec<i64>,
        replies: Vec<(i64, Body)>,
        sightings: Vec<Sighting>,
        held: Option<Error>,
    ) -> Message {
        let count = positions.len() + sightings.len();
        self.untold.fetch_add(count, Ordering::SeqCst);
        Message { listener: self, count, positions, replies, sightings, held }
    }

    /// How much the settler and the witness have not heard of.
    pub(super) fn untold(&self) -> usize {
        self.untold.load(Ordering::SeqCst)
    }
}

/// What a settler is to be told.
pub(super) struct Message {
    listener: Arc<Listener>,
    /// Of positions and sightings.
    count: usize,
    positions: Vec<i64>,
    replies: Vec<(i64, Body)>,
    sightings: Vec<Sighting>,
    held: Option<Error>,
}

impl Message {
    pub(super) fn tell(mut self) {
        if let Some(error) = &self.held {
            tracing::error!(target: "bindwright", "{error}");
        }
        if let Some(witness) = &self.listener.witness
            && !self.sightings.is_empty()
        {
            witness.saw(std::mem::take(&mut self.sightings));
        }
        for (position, body) in std::mem::take(&mut self.replies) {
            self.listener.settler.replied(position, body);
        }
        self.listener.settler.settled(&self.positions);
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        self.listener.untold.fetch_sub(self.count, Ordering::SeqCst);
        // Whoever closed the source waits for it to be quiet, and looked before it was.
        if self.listener.face.is_closed() {
            self.listener.settler.settled(&[]);
        }
    }
}
