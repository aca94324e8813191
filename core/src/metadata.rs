//! Metadata: the names and values beside the data of a request, a reply or an event.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A value as it came; it becomes text only when somebody asks for it.
///
/// A consumer that hands out hundreds of thousands of events a second would spend much of its time writing
/// offsets as decimal digits that nobody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataValue {
    /// Text of its own.
    Text(Cow<'static, str>),
    /// Text that many entries share, such as a topic's name.
    Shared(Arc<str>),
    /// A number, shown in decimal digits.
    Integer(i64),
    /// Bytes from outside; shown as UTF-8 with a replacement character for what is not.
    Bytes(Bytes),
}

impl MetadataValue {
    /// The value as text.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Shared(text) => Cow::Borrowed(text),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// The value as bytes, unchanged where it came as bytes.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Text(text) => Cow::Borrowed(text.as_bytes()),
            Self::Shared(text) => Cow::Borrowed(text.as_bytes()),
            Self::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
        }
    }
}

impl From<String> for MetadataValue {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&'static str> for MetadataValue {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Arc<str>> for MetadataValue {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl From<i64> for MetadataValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Bytes> for MetadataValue {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// Names and values, in the order in which they were added. Names are matched exactly.
///
/// Where a name stands twice, [`get`](Self::get) returns the last one, as a map filled in order would.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(Cow<'static, str>, MetadataValue)>);

impl Metadata {
    /// No entries, no allocation.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Room for so many entries.
    pub fn with_capacity(entries: usize) -> Self {
        Self(Vec::with_capacity(entries))
    }

    /// Adds an entry at the end.
    pub fn add(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<MetadataValue>) {
        self.0.push((name.into(), value.into()));
    }

    /// The value of a name as text.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name).map(MetadataValue::text)
    }

    /// The value of a name as it came.
    pub fn value(&self, name: &str) -> Option<&MetadataValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Takes every entry of a name away.
    #[cfg_attr(not(feature = "kafka"), allow(dead_code))]
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MetadataValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<MetadataValue>> FromIterator<(N, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Metadata {
    /// Names only: values can be personal data or tokens.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
