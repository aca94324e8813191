//! One dead letter: what it tells of itself, and what is sent back.

use std::borrow::Cow;

use super::super::Record;
use crate::binding::Request;
use crate::metadata::{Metadata, MetadataValue};

/// Names in front of which dispatch wrote `deadLetterHeader.`, because the binding takes them for instructions.
const RENAMED: &str = "deadLetterHeader.";
/// Where a replayed record says that it is one.
pub(super) const REPLAY: &str = "deadLetterReplay";
/// What dispatch adds to the metadata of an event, beside the names of the component's own.
const ADDED: [&str; 7] = [
    "deadLetterSource",
    "deadLetterAttempts",
    "deadLetterFirstTime",
    "deadLetterLastTime",
    "deadLetterCode",
    "deadLetterCause",
    REPLAY,
];
/// Names of the component's own as dead letters carry them.
const PLACES: [&str; 4] =
    ["deadLetterTopic", "deadLetterPartition", "deadLetterOffset", "deadLetterTimestamp"];

/// A record of a dead-letter topic.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The record.
    pub record: Record,
    /// Whether it was neither replayed nor dropped yet.
    pub pending: bool,
}

/// Where a dead letter's event came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeadLetterOrigin {
    /// The component that received the event.
    pub source: String,
    /// The topic that it came from.
    pub topic: String,
}

impl DeadLetter {
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.record.metadata.get(name)
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// The component that received the event.
    pub fn source(&self) -> Option<Cow<'_, str>> {
        self.text("deadLetterSource")
    }

    /// The topic that the event came from.
    pub fn topic(&self) -> Option<Cow<'_, str>> {
        self.text("deadLetterTopic")
    }

    /// The short name of why it was given up.
    pub fn code(&self) -> Option<Cow<'_, str>> {
        self.text("deadLetterCode")
    }

    /// Why it was given up.
    pub fn cause(&self) -> Option<Cow<'_, str>> {
        self.text("deadLetterCause")
    }

    /// How many deliveries failed.
    pub fn attempts(&self) -> Option<i64> {
        self.number("deadLetterAttempts")
    }

    /// When the last delivery failed, else when the dead letter was written: milliseconds since 1970.
    pub fn time(&self) -> Option<i64> {
        self.number("deadLetterLastTime").or_else(|| self.record.timestamp())
    }

    /// Where it came from; `None` where another program wrote it, which does not tell.
    pub fn origin(&self) -> Option<DeadLetterOrigin> {
        Some(DeadLetterOrigin { source: self.source()?.into_owned(), topic: self.topic()?.into_owned() })
    }

    /// The event as it was: data, key and headers, without what was added for the dead letter; and where the dead
    /// letter stands, so that receivers can tell.
    pub(super) fn request(&self) -> Request {
        let record = &self.record;
        let mut metadata = Metadata::with_capacity(record.metadata.len());
        for (name, value) in record.metadata.iter() {
            let name = name.strip_prefix(RENAMED).unwrap_or(name);
            let is_added = ADDED.contains(&name) || PLACES.contains(&name) || name.starts_with("__");
            if !is_added {
                metadata.add(name.to_owned(), value.clone());
            }
        }
        if let Some(key) = record.metadata.value("__key") {
            metadata.add("__key", key.clone());
        }
        let place = format!("{}/{}", record.partition, record.offset);
        metadata.add(REPLAY, MetadataValue::from(place));
        Request { metadata, ..Request::new(record.body.clone()) }
    }
}

/// Offsets of one partition, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    /// The partition's number.
    pub partition: i32,
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
}

/// Which dead letters are meant: those that all of this is true of.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// One of these codes; empty for any.
    pub codes: Vec<String>,
    /// From one of these components; empty for any.
    pub sources: Vec<String>,
    /// All of these names with these values in the metadata.
    pub entries: Vec<(String, String)>,
    /// Given up at this moment or later, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Given up before this moment, in milliseconds since 1970.
    pub until: Option<i64>,
    /// In one of these ranges; empty for any place.
    pub ranges: Vec<OffsetRange>,
}

impl DeadLetterFilter {
    pub(super) fn matches(&self, letter: &DeadLetter) -> bool {
        let among = |list: &[String], is: Option<Cow<'_, str>>| {
            list.is_empty() || is.is_some_and(|is| list.iter().any(|one| *one == is))
        };
        let (number, offset) = (letter.record.partition.number, letter.record.offset);
        let in_range =
            |range: &OffsetRange| range.partition == number && (range.first..=range.last).contains(&offset);
        let time = letter.time();
        among(&self.codes, letter.code())
            && among(&self.sources, letter.source())
            && self.entries.iter().all(|(name, value)| letter.text(name).is_some_and(|is| is == *value))
            && self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time.is_some_and(|time| time < until))
            && (self.ranges.is_empty() || self.ranges.iter().any(in_range))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::body::Body;
    use crate::inspect::Partition;

    fn letter(metadata: &[(&'static str, &'static str)]) -> DeadLetter {
        let metadata = metadata.iter().map(|(name, value)| (*name, Bytes::from_static(value.as_bytes())));
        let partition = Partition { topic: "failed".into(), number: 2 };
        let record = Record::new(partition, 7, Body::from("data"), metadata.collect());
        DeadLetter { record, pending: true }
    }

    #[test]
    fn what_is_sent_back_is_the_event_as_it_was() {
        let letter = letter(&[
            ("type", "order"),
            ("deadLetterHeader.partitionNumber", "9"),
            ("deadLetterTopic", "orders"),
            ("deadLetterOffset", "3"),
            ("deadLetterSource", "orders-in"),
            ("deadLetterCode", "ValueError"),
            ("deadLetterReplay", "failed/0/1"),
            ("__key", "customer"),
            ("__topic", "failed"),
            ("__offset", "7"),
        ]);
        let request = letter.request();
        let sent: Vec<_> =
            request.metadata.iter().map(|(name, value)| (name, value.text().into_owned())).collect();
        let expected = [
            ("type", "order"),
            ("partitionNumber", "9"),
            ("__key", "customer"),
            ("deadLetterReplay", "failed/2/7"),
        ];
        assert_eq!(sent, expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(request.body, Body::from("data"));
        let origin = letter.origin().expect("it tells");
        assert_eq!((origin.source.as_str(), origin.topic.as_str()), ("orders-in", "orders"));
    }

    #[test]
    fn a_filter_means_letters_of_which_all_is_true() {
        let letter = letter(&[
            ("deadLetterSource", "a"),
            ("deadLetterCode", "X"),
            ("deadLetterLastTime", "1000"),
            ("tenant", "t1"),
        ]);
        let all = DeadLetterFilter {
            codes: vec!["Y".into(), "X".into()],
            sources: vec!["a".into()],
            entries: vec![("tenant".into(), "t1".into())],
            since: Some(1000),
            until: Some(1001),
            ranges: vec![OffsetRange { partition: 2, first: 7, last: 7 }],
        };
        assert!(all.matches(&letter) && DeadLetterFilter::default().matches(&letter));
        for other in [
            DeadLetterFilter { codes: vec!["Y".into()], ..all.clone() },
            DeadLetterFilter { sources: vec!["b".into()], ..all.clone() },
            DeadLetterFilter { entries: vec![("tenant".into(), "t2".into())], ..all.clone() },
            DeadLetterFilter { since: Some(1001), ..all.clone() },
            DeadLetterFilter { until: Some(1000), ..all.clone() },
            DeadLetterFilter { ranges: vec![OffsetRange { partition: 1, first: 0, last: 9 }], ..all.clone() },
        ] {
            assert!(!other.matches(&letter), "{other:?}");
        }
    }
}
