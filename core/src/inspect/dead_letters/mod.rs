//! Dead letters: what is in a dead-letter topic, sending it back to where it came from, and giving it up.
//!
//! What was sent back or given up is remembered in the offsets of a consumer group of our own, `<topic>.bindwright-dlq`
//! ([`done`]), so that nothing is done twice: see [`settling`]. The topic itself is never changed.

mod done;
mod letter;
mod settling;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::looking::{find, silent};
use super::{Extent, Feed, Journal, Next, Partition, Record};
use crate::client::ClientOptions;
use crate::error::{Error, ErrorCode, Result};
use crate::manifest::Manifest;
use crate::settings::RuntimeSettings;

use done::Done;
pub use letter::{DeadLetter, DeadLetterFilter, DeadLetterOrigin, OffsetRange};
pub use settling::{Action, Settled, Settling, Unfit};

/// How long a look for the next record takes before somebody can interrupt.
const SLICE: Duration = Duration::from_millis(50);

/// The dead letters of a component.
pub struct DeadLetters {
    manifest: Manifest,
    component: String,
    journal: Box<dyn Journal>,
    extents: Vec<Extent>,
    group: String,
    patience: Duration,
}

/// What there is, as [`DeadLetters::survey`] counts it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// Dead letters that the filter means and that are neither replayed nor dropped.
    pub pending: u64,
    /// Dead letters that the filter means and that were replayed or dropped.
    pub done: u64,
    /// Whether anything is remembered of an earlier replay or drop. Brokers forget that of a group that nobody used
    /// for `offsets.retention.minutes`, 7 days by default.
    pub remembered: bool,
}

impl DeadLetters {
    /// Opens the dead letters of a component: those that its `deadLetterBinding` sends, or else those in its own topic.
    /// `patience` bounds each question to the backend.
    ///
    /// # Errors
    /// As [`Looker::open`](super::Looker::open); `INVALID_SETTINGS` for a component with more than one topic.
    pub fn open(
        client: ClientOptions,
        name: &str,
        patience: Duration,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Self> {
        let manifest = client.manifest()?;
        let (mut component, mut inspector) = find(&manifest, name)?;
        let mut feed = Feed::Either;
        if let Some(target) = RuntimeSettings::of(component)?.dead_letter_binding {
            (component, inspector) = find(&manifest, &target)?;
            feed = Feed::Sent;
        }
        let open = || {
            let mut journal = inspector.journal(component, feed, patience, interrupted)?;
            let extents = journal.extents()?;
            let first = extents.first().map(|extent| extent.partition.topic.clone());
            let topic = first.ok_or_else(|| Error::new(ErrorCode::TargetNotFound, "there is no topic"))?;
            if extents.iter().any(|extent| extent.partition.topic != topic) {
                let message = "it receives from several topics, and one is expected";
                return Err(Error::new(ErrorCode::InvalidSettings, message)
                    .advice("Name a component whose one topic holds the dead letters."));
            }
            Ok((journal, extents, topic))
        };
        let (journal, extents, topic) =
            open().map_err(|error: Error| error.component(component.name.clone()))?;
        let component = component.name.to_string();
        let group = format!("{topic}.bindwright-dlq");
        Ok(Self { manifest, component, journal, extents, group, patience })
    }

    /// The component whose topic holds them.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// The topic that holds them.
    pub fn topic(&self) -> &str {
        self.extents.first().map_or("", |extent| &extent.partition.topic)
    }

    /// The consumer group that remembers what is done.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Goes through all that are there now and are meant, within a partition in their order.
    ///
    /// # Errors
    /// Why the topic cannot be read; `CANCELLED` when `interrupted` said yes.
    pub fn survey(
        &mut self,
        filter: &DeadLetterFilter,
        mut each: impl FnMut(&DeadLetter),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Survey> {
        let (done, remembered) = self.done()?;
        let mut survey = Survey { remembered, ..Survey::default() };
        let starts: Vec<_> =
            self.extents.iter().map(|extent| (extent.partition.clone(), extent.oldest)).collect();
        let mut walk = Walk::begin(&mut *self.journal, &self.extents, &starts, self.patience)?;
        while let Some(record) = walk.next(interrupted)? {
            let is_done = done.get(&record.partition).is_some_and(|done| done.contains(record.offset));
            let letter = DeadLetter { record, pending: !is_done };
            if filter.matches(&letter) {
                *(if is_done { &mut survey.done } else { &mut survey.pending }) += 1;
                each(&letter);
            }
        }
        Ok(survey)
    }

    /// One dead letter.
    ///
    /// # Errors
    /// `TARGET_NOT_FOUND` when nothing stands there; else why the topic cannot be read.
    pub fn find(
        &mut self,
        partition: i32,
        offset: i64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<DeadLetter> {
        let topic = self.topic().to_owned();
        let nothing = || {
            let message = format!("no record stands at {partition}:{offset} of {topic:?}");
            Error::new(ErrorCode::TargetNotFound, message)
                .advice("It may have been deleted; `bindwright dlq ls --each` lists what is there.")
        };
        let extent = self.extents.iter().find(|extent| extent.partition.number == partition);
        let extent = extent.filter(|extent| (extent.oldest..extent.end).contains(&offset)).cloned();
        let extent = extent.ok_or_else(nothing)?;
        let start = [(extent.partition.clone(), offset)];
        let (done, _) = self.done()?;
        let mut walk = Walk::begin(&mut *self.journal, &[extent], &start, self.patience)?;
        let record = walk.next(interrupted)?.filter(|record| record.offset == offset).ok_or_else(nothing)?;
        let is_done = done.get(&record.partition).is_some_and(|done| done.contains(offset));
        Ok(DeadLetter { record, pending: !is_done })
    }

    /// What is done of each partition, and whether anything is remembered.
    fn done(&mut self) -> Result<(BTreeMap<Partition, Done>, bool)> {
        let mut all: BTreeMap<_, _> = self
            .extents
            .iter()
            .map(|extent| (extent.partition.clone(), Done::below(extent.oldest)))
            .collect();
        let mut remembered = false;
        for bookmark in self.journal.bookmarks(&self.group)? {
            let Some(known) = all.get_mut(&bookmark.partition) else { continue };
            remembered = true;
            let oldest = known.below;
            *known = Done::read(bookmark.offset, &bookmark.note)?;
            // What was deleted meanwhile needs nothing done.
            known.add(0..oldest);
        }
        Ok((all, remembered))
    }
}

/// Once through what a journal holds now.
struct Walk<'a> {
    journal: &'a mut dyn Journal,
    /// The ends of partitions that were not reached yet.
    open: BTreeMap<Partition, i64>,
    patience: Duration,
    heard: Instant,
}

impl<'a> Walk<'a> {
    fn begin(
        journal: &'a mut dyn Journal,
        extents: &[Extent],
        starts: &[(Partition, i64)],
        patience: Duration,
    ) -> Result<Self> {
        let start = |partition: &Partition| starts.iter().find(|(known, _)| known == partition);
        let left = |extent: &&Extent| start(&extent.partition).is_some_and(|(_, start)| *start < extent.end);
        let open: BTreeMap<_, _> =
            extents.iter().filter(left).map(|extent| (extent.partition.clone(), extent.end)).collect();
        let starts: Vec<_> = starts.iter().filter(|(one, _)| open.contains_key(one)).cloned().collect();
        if !starts.is_empty() {
            journal.start(&starts)?;
        }
        Ok(Self { journal, open, patience, heard: Instant::now() })
    }

    /// The next record of those that were there at the beginning.
    fn next(&mut self, interrupted: &dyn Fn() -> bool) -> Result<Option<Record>> {
        while !self.open.is_empty() {
            if interrupted() {
                return Err(cancelled());
            }
            match self.journal.next(SLICE)? {
                Next::Record(record) => {
                    self.heard = Instant::now();
                    let Some(end) = self.open.get(&record.partition).copied() else { continue };
                    if record.offset + 1 >= end {
                        self.open.remove(&record.partition);
                    }
                    if record.offset < end {
                        return Ok(Some(record));
                    }
                }
                Next::AtEnd(partition) => {
                    self.heard = Instant::now();
                    self.open.remove(&partition);
                }
                Next::Nothing if self.heard.elapsed() > self.patience => return Err(silent(self.patience)),
                Next::Nothing => {}
            }
        }
        Ok(None)
    }
}

fn cancelled() -> Error {
    Error::new(ErrorCode::Cancelled, "it was interrupted")
}
