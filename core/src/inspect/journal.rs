//! What a component type offers to those who look at it from outside.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Examination;
use crate::binding::OutputBinding;
use crate::body::Body;
use crate::error::{Error, ErrorCode, Result};
use crate::manifest::Component;
use crate::metadata::Metadata;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Its number, from 0.
    pub number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.number)
    }
}

/// A record as somebody sees it who only looks on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Record {
    /// Where it stands.
    pub partition: Partition,
    /// Where it stands in its partition.
    pub offset: i64,
    /// The data; [`Body::None`] for a tombstone.
    pub body: Body,
    /// What the metadata of its event would be.
    pub metadata: Metadata,
}

impl Record {
    pub(crate) const fn new(partition: Partition, offset: i64, body: Body, metadata: Metadata) -> Self {
        Self { partition, offset, body, metadata }
    }

    /// When it was written, in milliseconds since 1970, where that is known.
    pub fn timestamp(&self) -> Option<i64> {
        self.metadata.get("__timestamp")?.parse().ok()
    }
}

/// Which topics of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// What it receives from.
    Received,
    /// What it sends to.
    Sent,
    /// What it receives from, or else what it sends to.
    Either,
}

/// What a partition holds: offsets from `oldest` up to `end`, which is the next one to be written.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    pub(crate) partition: Partition,
    pub(crate) oldest: i64,
    pub(crate) end: i64,
}

/// What comes next in a journal.
pub(crate) enum Next {
    Record(Record),
    /// So far there is no more in this partition.
    AtEnd(Partition),
    /// Nothing came in time.
    Nothing,
}

/// What is remembered of a partition beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bookmark {
    pub(crate) partition: Partition,
    pub(crate) offset: i64,
    /// At most 4096 bytes.
    pub(crate) note: String,
}

/// A component's topics, read by somebody who takes no part in its work.
pub(crate) trait Journal: Send {
    /// The partitions and what they hold now.
    fn extents(&mut self) -> Result<Vec<Extent>>;

    /// Reads from these offsets on; only from these partitions.
    fn start(&mut self, from: &[(Partition, i64)]) -> Result<()>;

    /// Waits for the next record, at most so long.
    fn next(&mut self, patience: Duration) -> Result<Next>;

    /// What is remembered under a name.
    fn bookmarks(&mut self, name: &str) -> Result<Vec<Bookmark>>;

    /// The right to change what is remembered under a name: one has it at a time, in the whole cluster.
    fn keeper(&mut self, name: &str, interrupted: &dyn Fn() -> bool) -> Result<Box<dyn Keeper>>;
}

/// The right to change what is remembered; given up when dropped.
pub(crate) trait Keeper: Send {
    /// Remembers, and returns when it is confirmed.
    ///
    /// # Errors
    /// Also when the right was lost; then nothing was remembered.
    fn write(&mut self, bookmarks: &[Bookmark]) -> Result<()>;

    /// Has to be called every few seconds, or the right is lost.
    fn tend(&mut self) -> Result<()>;
}

/// What a component type can tell of its components.
pub(crate) trait Inspector: Send + Sync {
    /// Looks at everything that a component of a checked document needs.
    fn examine(&self, component: &Component, examination: &mut Examination<'_>);

    /// Opens a component's topics. `patience` bounds each question to the backend.
    fn journal(
        &self,
        component: &Component,
        _feed: Feed,
        _patience: Duration,
        _interrupted: &dyn Fn() -> bool,
    ) -> Result<Box<dyn Journal>> {
        Err(no_journal(component))
    }

    /// An output that sends records as they came to a topic of the component's backend.
    fn output_to(&self, component: &Component, _topic: &str) -> Result<Arc<dyn OutputBinding>> {
        Err(no_journal(component))
    }
}

/// The error for a component that cannot be looked at.
pub(crate) fn no_journal(component: &Component) -> Error {
    let message =
        format!("components of type {} keep nothing that could be looked at", component.component_type);
    Error::new(ErrorCode::UnsupportedOperation, message)
        .component(component.name.clone())
        .advice("Name a component whose messages stand in a topic, such as one of type bindings.kafka.")
}
