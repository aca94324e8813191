//! Looking on: a component's records as they come, without joining the group that an application uses.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::doctor::not_found;
use super::{Feed, Inspector, Journal, Next, Partition, Record, no_journal};
use crate::client::ClientOptions;
use crate::error::{Error, ErrorCode, Result};
use crate::manifest::{Component, Manifest};
use crate::registry;

/// Where looking on begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookFrom {
    /// With the next record that is written.
    Newest,
    /// With the oldest record that is there.
    Oldest,
    /// With the newest records that are there, so many of all partitions together, in the order of their times.
    Last(u64),
}

/// How somebody looks on.
#[derive(Debug, Clone)]
pub struct LookOptions {
    /// Where to begin.
    pub from: LookFrom,
    /// Whether to wait for more at the end.
    pub follow: bool,
    /// What the component sends to, also where it receives from something else.
    pub sent: bool,
    /// Only records whose metadata has all of these names with these values.
    pub entries: Vec<(String, String)>,
    /// How long a question to the backend may take.
    pub patience: Duration,
}

/// What looking on brings.
#[derive(Debug)]
pub enum Look {
    /// A record.
    Record(Box<Record>),
    /// Nothing came in time; look again.
    Nothing,
    /// There is no more, and nobody wanted to wait.
    End,
}

/// Somebody who looks on.
pub struct Looker {
    journal: Box<dyn Journal>,
    options: LookOptions,
    /// Partitions whose end, as it was at the beginning, was not reached yet; empty for who does not care.
    open: BTreeSet<Partition>,
    ends: Vec<(Partition, i64)>,
    /// Records that wait for those of other partitions to be put in order.
    gathered: Vec<Record>,
    ready: VecDeque<Record>,
    heard: Instant,
}

impl Looker {
    /// Opens the topics of a component.
    ///
    /// # Errors
    /// `INVALID_OPTIONS`, `COMPONENT_NOT_FOUND` and the faults of the document; `UNSUPPORTED_OPERATION` for a type
    /// that keeps nothing; else why the backend cannot be asked. `CANCELLED` when `interrupted` said yes.
    pub fn open(
        client: ClientOptions,
        name: &str,
        options: LookOptions,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Self> {
        let manifest = client.manifest()?;
        let (component, inspector) = find(&manifest, name)?;
        let feed = if options.sent { Feed::Sent } else { Feed::Either };
        let open = || {
            let mut journal = inspector.journal(component, feed, options.patience, interrupted)?;
            let extents = journal.extents()?;
            let start = |oldest: i64, end: i64| match options.from {
                LookFrom::Newest => end,
                LookFrom::Oldest => oldest,
                LookFrom::Last(count) => end.saturating_sub_unsigned(count).max(oldest),
            };
            let starts: Vec<_> =
                extents.iter().map(|one| (one.partition.clone(), start(one.oldest, one.end))).collect();
            let cares = !options.follow || matches!(options.from, LookFrom::Last(_));
            let open = extents.iter().zip(&starts).filter(|(one, (_, start))| cares && *start < one.end);
            let open = open.map(|(one, _)| one.partition.clone()).collect();
            let ends = extents.iter().map(|one| (one.partition.clone(), one.end)).collect();
            journal.start(&starts)?;
            Ok((journal, open, ends))
        };
        let (journal, open, ends) = open().map_err(|error: Error| error.component(component.name.clone()))?;
        let heard = Instant::now();
        Ok(Self { journal, options, open, ends, gathered: Vec::new(), ready: VecDeque::new(), heard })
    }

    /// The partitions that are looked at.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.ends.iter().map(|(partition, _)| partition)
    }

    /// Waits for the next record, at most so long.
    ///
    /// # Errors
    /// Why the backend cannot be read any more. One that is away for a while is only an error for who does not follow.
    pub fn look(&mut self, patience: Duration) -> Result<Look> {
        let until = Instant::now() + patience;
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(Look::Record(Box::new(record)));
            }
            if self.open.is_empty() {
                self.put_in_order();
                if !self.ready.is_empty() {
                    continue;
                }
                if !self.options.follow {
                    return Ok(Look::End);
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.journal.next(left)? {
                Next::Record(record) => {
                    self.heard = Instant::now();
                    self.sort_in(record);
                }
                Next::AtEnd(partition) => {
                    self.heard = Instant::now();
                    self.open.remove(&partition);
                }
                Next::Nothing if !self.open.is_empty() && self.heard.elapsed() > self.options.patience => {
                    return Err(silent(self.options.patience));
                }
                Next::Nothing => {}
            }
            if until <= Instant::now() && self.ready.is_empty() && !self.open.is_empty() {
                return Ok(Look::Nothing);
            }
            if until <= Instant::now() && self.ready.is_empty() && self.options.follow {
                return Ok(Look::Nothing);
            }
        }
    }

    fn sort_in(&mut self, record: Record) {
        let gathers = matches!(self.options.from, LookFrom::Last(_)) && self.open.contains(&record.partition);
        let end = self.ends.iter().find(|(partition, _)| *partition == record.partition);
        if end.is_some_and(|(_, end)| record.offset + 1 >= *end) {
            self.open.remove(&record.partition);
        }
        let metadata = &record.metadata;
        if !self.options.entries.iter().all(|(name, value)| metadata.get(name).is_some_and(|is| is == *value))
        {
            return;
        }
        if gathers || !self.gathered.is_empty() {
            self.gathered.push(record);
        } else {
            self.ready.push_back(record);
        }
    }

    /// Hands on what was gathered: of the records from before the beginning the newest, in the order of their times.
    fn put_in_order(&mut self) {
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.sort_by_key(|record| (record.timestamp(), record.offset));
        let LookFrom::Last(count) = self.options.from else { return };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.ready.extend(gathered.split_off(gathered.len().saturating_sub(count)));
    }
}

/// The component of a name and what can tell of it.
pub(super) fn find<'a>(
    manifest: &'a Manifest,
    name: &str,
) -> Result<(&'a Component, &'static dyn Inspector)> {
    let component = manifest.component(name).ok_or_else(|| not_found(manifest, name))?;
    let component_type = registry::find(component)?;
    component_type.check_settings(component).map_err(|error| error.component(component.name.clone()))?;
    component_type.inspector().map(|inspector| (component, inspector)).ok_or_else(|| no_journal(component))
}

/// The error of a journal that ought to bring something.
pub(super) fn silent(patience: Duration) -> Error {
    Error::new(ErrorCode::Unavailable, format!("the backend brought nothing for {patience:?}"))
}
