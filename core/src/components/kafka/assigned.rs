//! A partition that is assigned to this consumer: its queue, and what is between that and dispatch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rdkafka::consumer::base_consumer::PartitionQueue;

use super::avro::{self, Incoming};
use super::consumer::{Context, KafkaConsumer};
use super::ffi;
use super::guard::log;
use super::progress::Progress;
use crate::dispatch::Source;
use crate::error::{Error, ErrorCode, Result};
use crate::event::NewEvent;

/// A partition that is assigned to this consumer.
pub(super) struct Assigned {
    pub(super) topic: Arc<str>,
    pub(super) queue: PartitionQueue<Context>,
    /// The queue may have something.
    pub(super) nonempty: Arc<AtomicBool>,
    pub(super) source: Source,
    pub(super) progress: Arc<Progress>,
    /// The offset to be read next.
    pub(super) position: i64,
    /// Nothing was read from it yet.
    pub(super) fresh: bool,
    /// Read, and not decoded yet: the schema of the first one is not here. Nothing more is read meanwhile.
    pub(super) held: VecDeque<NewEvent>,
}

impl Assigned {
    /// Whether more may be read now.
    pub(super) fn has_room(&self, max_uncommitted: usize) -> bool {
        self.held.is_empty() && self.progress.at_risk() < max_uncommitted
    }

    /// Decodes what waits for that, as far as its schemas are here; `true` when the turn was over before.
    pub(super) fn decode_held(&mut self, incoming: Option<&mut Incoming>) -> bool {
        let Some(incoming) = incoming else { return false };
        let until = Instant::now() + avro::TURN;
        let mut ready = Vec::with_capacity(self.held.len());
        let mut is_over = false;
        while let Some(event) = self.held.front_mut()
            && !is_over
            && incoming.decode(event)
        {
            ready.extend(self.held.pop_front());
            is_over = Instant::now() >= until;
        }
        if !ready.is_empty() {
            self.source.push(ready);
        }
        is_over
    }

    /// Reading goes on at another offset than the next one. Usually what is in between was compacted away or ends a
    /// transaction; tells when records are gone that nobody has read.
    pub(super) fn notice_jump(&self, consumer: &KafkaConsumer, number: i32, found: i64) -> Result<()> {
        let (topic, expected) = (&*self.topic, self.position);
        if found < expected && !self.fresh {
            // What is in the lane has higher offsets, and nothing of it may be committed any more.
            return Err(Error::new(
                ErrorCode::Backend,
                format!("{topic}[{number}] starts anew: offset {found} came where {expected} was next"),
            ));
        }
        if found < expected {
            log!(
                warn,
                topic,
                partition = number,
                "there is no offset {expected}, where reading was to go on; the topic was made anew or cut off. \
                 Reading goes on at {found}, its oldest record"
            );
        } else if ffi::oldest_offset_seen(consumer, topic, number).is_some_and(|oldest| oldest > expected) {
            log!(
                warn,
                topic,
                partition = number,
                "the broker deleted records that were not read: reading goes on at offset {found}, and \
                 {expected} was next"
            );
        }
        Ok(())
    }
}
