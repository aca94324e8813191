//! What a request, a reply or an event carries.

use bytes::Bytes;

/// The data of a request, a reply or an event: bytes, or nothing at all.
///
/// "Nothing at all" is not the same as zero bytes: on Kafka it is a tombstone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// No data.
    #[default]
    None,
    /// Bytes, possibly zero of them. They are shared, not copied, when the body is cloned.
    Bytes(Bytes),
    // A stream becomes a third variant; that is why the enum is non-exhaustive.
}

impl Body {
    /// Zero bytes.
    pub const fn empty() -> Self {
        Self::Bytes(Bytes::new())
    }

    /// Whether there is no data at all.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The bytes, or `None` where there is no data at all.
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::None => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }

    /// The number of bytes; no data counts as zero.
    pub fn len(&self) -> usize {
        self.as_bytes().map_or(0, Bytes::len)
    }

    /// Whether there is no byte to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Bytes(Bytes::from_static(text.as_bytes()))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

impl<B: Into<Self>> From<Option<B>> for Body {
    fn from(body: Option<B>) -> Self {
        body.map_or(Self::None, Into::into)
    }
}
