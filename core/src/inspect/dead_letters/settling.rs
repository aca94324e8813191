//! Sending dead letters back, or giving them up, so that nothing is done twice.
//!
//! Letters go in portions. A portion is sent, confirmed, and only then remembered; whoever is killed in between repeats
//! at most that portion. One run at a time has the right to remember, in the whole cluster. What was written after the
//! run began is left to the next one: a letter that fails again would otherwise go round for ever.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::{Bookmark, Keeper, Partition};
use super::done::{Done, LONGEST};
use super::{DeadLetter, DeadLetterFilter, DeadLetterOrigin, DeadLetters, SLICE, Walk, cancelled};
use crate::binding::{Call, OutputBinding};
use crate::error::{Error, ErrorCode, Result};
use crate::manifest::Manifest;
use crate::{registry, runtime};

/// Letters that are sent together and then remembered.
const PORTION: usize = 100;
/// With a rate, so often a second a portion is sent.
const PORTIONS_A_SECOND: f64 = 10.0;
/// Left free in what is remembered: a portion of which only some is confirmed makes a longer text.
const SLACK: usize = 800;
/// How long the right to remember is left alone.
const TEND: Duration = Duration::from_secs(1);

/// What becomes of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// They are sent back to the topics that they came from.
    Replay,
    /// They are given up: remembered as done, and not sent.
    Drop,
}

/// How dead letters are settled.
#[derive(Debug, Clone)]
pub struct Settling {
    /// What becomes of them.
    pub action: Action,
    /// The most letters; `None` for all.
    pub limit: Option<u64>,
    /// The most letters a second; `None` for as fast as they are confirmed.
    pub rate: Option<f64>,
}

/// What a run has done so far.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settled {
    /// Letters that were sent and confirmed, or given up, and remembered.
    pub settled: u64,
    /// Letters that could not be sent back and stay pending, by the reason.
    pub unfit: BTreeMap<Unfit, u64>,
    /// Why it ended before everything was done.
    pub ended: Option<Error>,
    /// Letters that were sent in the portion that ended it, and may have been written: they are sent again.
    pub uncertain: u64,
}

/// Why a dead letter cannot be sent back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unfit {
    /// Another program wrote it: it does not tell where it came from.
    NoOrigin,
    /// Nothing can be sent to where it came from.
    NoWay(DeadLetterOrigin, String),
    /// It was refused.
    Refused(String),
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoOrigin => formatter
                .write_str("another program wrote it: deadLetterSource and deadLetterTopic are missing"),
            Self::NoWay(origin, why) => {
                write!(formatter, "from {} on {}: {why}", origin.source, origin.topic)
            }
            Self::Refused(why) => formatter.write_str(why),
        }
    }
}

impl DeadLetters {
    /// Settles those that are pending and meant; `tell` hears of every portion.
    ///
    /// # Errors
    /// Before anything is settled: `UNAVAILABLE` when another run has the right to remember, and why the topic cannot
    /// be read. What ends a run later is in [`Settled::ended`].
    pub fn settle(
        &mut self,
        filter: &DeadLetterFilter,
        settling: &Settling,
        tell: &mut dyn FnMut(&Settled),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Settled> {
        let mut keeper = self.journal.keeper(&self.group, interrupted)?;
        // Only now: another run may have gone on until it lost the right.
        self.extents = self.journal.extents()?;
        let (done, _) = self.done()?;
        let starts: Vec<_> = done.iter().map(|(partition, done)| (partition.clone(), done.below)).collect();
        let manifest = &self.manifest;
        let way = |origin: &DeadLetterOrigin| way_back(manifest, origin);
        let mut run = Run {
            keeper: &mut *keeper,
            seen: starts.iter().cloned().collect(),
            done,
            way: &way,
            outputs: HashMap::new(),
            portion: Vec::new(),
            settled: Settled::default(),
            patience: self.patience,
            tended: Instant::now(),
        };
        let mut walk = Walk::begin(&mut *self.journal, &self.extents, &starts, self.patience)?;
        let ended = run.go(&mut walk, filter, settling, tell, interrupted);
        if let Ok(Walked::ToTheEnd) = ended
            && run.settled.settled > 0
        {
            // Nothing else is there, but for the ends of transactions and the like.
            for extent in &self.extents {
                run.pass(&extent.partition, extent.end);
            }
        }
        let ended = ended.and_then(|_| run.remember());
        run.close();
        let Run { mut settled, .. } = run;
        settled.ended = ended.err();
        Ok(settled)
    }

    /// Where a dead letter would be sent back to.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn target(&self, letter: &DeadLetter) -> Result<DeadLetterOrigin, Unfit> {
        let origin = letter.origin().ok_or(Unfit::NoOrigin)?;
        match self.manifest.component(&origin.source) {
            Some(_) => Ok(origin),
            None => Err(unknown_source(&origin)),
        }
    }
}

fn unknown_source(origin: &DeadLetterOrigin) -> Unfit {
    Unfit::NoWay(origin.clone(), "no component of this name is in the resources".to_owned())
}

/// An output that sends back to where letters came from.
fn way_back(manifest: &Manifest, origin: &DeadLetterOrigin) -> Result<Arc<dyn OutputBinding>, Unfit> {
    let component = manifest.component(&origin.source).ok_or_else(|| unknown_source(origin))?;
    let opened = registry::find(component).and_then(|found| match found.inspector() {
        Some(inspector) => inspector.output_to(component, &origin.topic),
        None => Err(super::super::no_journal(component)),
    });
    opened.map_err(|error| Unfit::NoWay(origin.clone(), error.to_string()))
}

/// How far a run went that was not broken off.
enum Walked {
    ToTheEnd,
    ToTheLimit,
}

type Way<'a> = dyn Fn(&DeadLetterOrigin) -> Result<Arc<dyn OutputBinding>, Unfit> + 'a;

/// One run under way.
struct Run<'a> {
    keeper: &'a mut dyn Keeper,
    done: BTreeMap<Partition, Done>,
    /// Up to where each partition was read.
    seen: BTreeMap<Partition, i64>,
    way: &'a Way<'a>,
    outputs: HashMap<DeadLetterOrigin, Result<Arc<dyn OutputBinding>, Unfit>>,
    portion: Vec<(DeadLetter, Option<DeadLetterOrigin>)>,
    settled: Settled,
    patience: Duration,
    tended: Instant,
}

impl Run<'_> {
    fn go(
        &mut self,
        walk: &mut Walk<'_>,
        filter: &DeadLetterFilter,
        settling: &Settling,
        tell: &mut dyn FnMut(&Settled),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Walked> {
        let began = Instant::now();
        let portion = settling.rate.map_or(PORTION, portion_of);
        let limit = settling.limit.unwrap_or(u64::MAX);
        loop {
            let room = limit.saturating_sub(self.settled.settled);
            let is_full = self.portion.len() >= portion || self.portion.len() as u64 >= room;
            let record = if is_full { None } else { walk.next(interrupted)? };
            let is_last = record.is_none() && !is_full;
            if record.is_none() {
                self.settle_portion(settling.action)?;
                tell(&self.settled);
                if is_last {
                    return Ok(Walked::ToTheEnd);
                }
                if self.settled.settled >= limit {
                    return Ok(Walked::ToTheLimit);
                }
                self.keep_pace(began, settling.rate, interrupted)?;
                continue;
            }
            if let Some(record) = record {
                self.pass(&record.partition, record.offset);
                self.seen.insert(record.partition.clone(), record.offset + 1);
                if !self.is_done(&record.partition, record.offset) {
                    self.take(DeadLetter { record, pending: true }, filter, settling.action);
                }
            }
            self.tend()?;
        }
    }

    fn is_done(&self, partition: &Partition, offset: i64) -> bool {
        self.done.get(partition).is_some_and(|done| done.contains(offset))
    }

    /// Offsets before this one that were not brought do not exist.
    fn pass(&mut self, partition: &Partition, offset: i64) {
        let seen = self.seen.get(partition).copied().unwrap_or(offset);
        if let Some(done) = self.done.get_mut(partition) {
            done.add(seen..offset);
        }
    }

    fn take(&mut self, letter: DeadLetter, filter: &DeadLetterFilter, action: Action) {
        if !filter.matches(&letter) {
            return;
        }
        if action == Action::Drop {
            self.portion.push((letter, None));
            return;
        }
        let found = letter.origin().ok_or(Unfit::NoOrigin);
        let found = found.and_then(|origin| {
            let output = self.outputs.entry(origin.clone()).or_insert_with_key(self.way);
            output.as_ref().map(|_| origin).map_err(Clone::clone)
        });
        match found {
            Ok(origin) => self.portion.push((letter, Some(origin))),
            Err(unfit) => *self.settled.unfit.entry(unfit).or_default() += 1,
        }
    }

    /// Sends what was taken, waits until it is confirmed, and remembers it.
    fn settle_portion(&mut self, action: Action) -> Result<()> {
        let portion = std::mem::take(&mut self.portion);
        if portion.is_empty() {
            return Ok(());
        }
        self.check_room(&portion)?;
        let mut result = Ok(());
        let mut confirmed = Vec::with_capacity(portion.len());
        if action == Action::Drop {
            confirmed.extend(portion.iter().map(|(letter, _)| letter));
        } else {
            let mut groups: BTreeMap<&DeadLetterOrigin, Vec<&DeadLetter>> = BTreeMap::new();
            for (letter, origin) in &portion {
                groups
                    .entry(origin.as_ref().expect("what is replayed has an origin"))
                    .or_default()
                    .push(letter);
            }
            for (origin, letters) in groups {
                let sent = self.send(origin, &letters, &mut confirmed);
                result = result.and(sent);
                if result.is_err() {
                    break;
                }
            }
        }
        for letter in &confirmed {
            let (partition, offset) = (&letter.record.partition, letter.record.offset);
            if let Some(done) = self.done.get_mut(partition) {
                done.add(offset..offset + 1);
            }
        }
        if let Err(error) = self.remember() {
            self.settled.uncertain += confirmed.len() as u64;
            return Err(error);
        }
        self.settled.settled += confirmed.len() as u64;
        result
    }

    fn send<'l>(
        &mut self,
        origin: &DeadLetterOrigin,
        letters: &[&'l DeadLetter],
        confirmed: &mut Vec<&'l DeadLetter>,
    ) -> Result<()> {
        let Some(Ok(output)) = self.outputs.get(origin) else { return Ok(()) };
        let call = Call { operation: "create".into(), deadline: runtime::moment_in(self.patience) };
        let requests = letters.iter().map(|letter| letter.request()).collect();
        let sending = output.invoke_many(&call, requests);
        let replies = runtime::block_on(&runtime::handle()?, sending, output.driver(), || false);
        let mut result = Ok(());
        for (letter, reply) in letters.iter().zip(replies.unwrap_or_default()) {
            let Err(error) = reply else {
                confirmed.push(letter);
                continue;
            };
            match error.code() {
                ErrorCode::InvalidRequest
                | ErrorCode::PayloadTooLarge
                | ErrorCode::TargetNotFound
                | ErrorCode::PermissionDenied => {
                    let unfit = Unfit::Refused(error.component(origin.source.clone()).to_string());
                    *self.settled.unfit.entry(unfit).or_default() += 1;
                }
                code => {
                    if code == ErrorCode::OutcomeUnknown {
                        self.settled.uncertain += 1;
                    }
                    result = result.and(Err(error.component(origin.source.clone())));
                }
            }
        }
        result
    }

    /// What cannot be remembered must not be sent.
    fn check_room(&self, portion: &[(DeadLetter, Option<DeadLetterOrigin>)]) -> Result<()> {
        let mut after = self.done.clone();
        for (letter, _) in portion {
            if let Some(done) = after.get_mut(&letter.record.partition) {
                done.add(letter.record.offset..letter.record.offset + 1);
            }
        }
        let Some((partition, _)) = after.iter().find(|(_, done)| done.text().len() > LONGEST - SLACK) else {
            return Ok(());
        };
        let message = format!("too many gaps between what is done in {partition} to be remembered");
        Err(Error::new(ErrorCode::InvalidRequest, message)
            .advice("Replay or drop the older dead letters in between first, or choose a range of offsets."))
    }

    fn remember(&mut self) -> Result<()> {
        let bookmarks: Vec<_> = self
            .done
            .iter()
            .map(|(partition, done)| Bookmark {
                partition: partition.clone(),
                offset: done.below,
                note: done.text(),
            })
            .collect();
        self.tended = Instant::now();
        self.keeper.write(&bookmarks)
    }

    fn tend(&mut self) -> Result<()> {
        if self.tended.elapsed() < TEND {
            return Ok(());
        }
        self.tended = Instant::now();
        self.keeper.tend()
    }

    fn keep_pace(&mut self, began: Instant, rate: Option<f64>, interrupted: &dyn Fn() -> bool) -> Result<()> {
        let Some(rate) = rate.filter(|rate| *rate > 0.0) else { return Ok(()) };
        #[expect(clippy::cast_precision_loss, reason = "nobody sends so many")]
        let due = Duration::try_from_secs_f64(self.settled.settled as f64 / rate).unwrap_or(Duration::MAX);
        while began.elapsed() < due {
            if interrupted() {
                return Err(cancelled());
            }
            std::thread::sleep(SLICE.min(due.saturating_sub(began.elapsed())));
            self.tend()?;
        }
        Ok(())
    }

    fn close(&mut self) {
        let deadline = runtime::moment_in(self.patience);
        let Ok(handle) = runtime::handle() else { return };
        for output in self.outputs.drain().filter_map(|(_, output)| output.ok()) {
            runtime::block_on(&handle, output.close(deadline), output.driver(), || false);
        }
    }
}

/// So many letters at once keep to a rate without haste.
fn portion_of(rate: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let portion = (rate / PORTIONS_A_SECOND).ceil().clamp(1.0, 100.0) as usize;
    portion.min(PORTION)
}
