//! From a Kafka record to an event: data, key, headers.

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message};
use std::sync::Arc;

use super::ffi;
use super::settings::KafkaSettings;
use crate::body::Body;
use crate::event::NewEvent;
use crate::metadata::Metadata;

/// Copies a record out of librdkafka's memory.
///
/// Headers come first and the entries of our own last, so that no sender can pretend another offset or topic: the
/// last entry of a name counts.
pub(super) fn event(
    message: &BorrowedMessage<'_>,
    topic: &Arc<str>,
    settings: &KafkaSettings,
    keys: bool,
) -> NewEvent {
    let mut metadata = Metadata::with_capacity(5);
    ffi::read_headers(message, |name, value| {
        let name = String::from_utf8_lossy(name);
        let excluded = settings.exclude_headers.as_ref().is_some_and(|pattern| pattern.is_match(&name));
        if !excluded {
            add(&mut metadata, name.into_owned().into(), value, settings);
        }
    });
    if let Some(key) = message.key() {
        add(&mut metadata, "__key".into(), key, settings);
    }
    metadata.add("__topic", topic.clone());
    metadata.add("__partition", i64::from(message.partition()));
    metadata.add("__offset", message.offset());
    if let Some(millis) = message.timestamp().to_millis() {
        metadata.add("__timestamp", millis);
    }
    let body = message.payload().map(Bytes::copy_from_slice);
    let event = NewEvent::new(message.offset(), Body::from(body), metadata);
    match message.key().filter(|_| keys) {
        Some(key) => event.with_key(key),
        None => event,
    }
}

fn add(
    metadata: &mut Metadata,
    name: std::borrow::Cow<'static, str>,
    value: &[u8],
    settings: &KafkaSettings,
) {
    if settings.escape_headers {
        metadata.add(name, query_escape(value));
    } else {
        metadata.add(name, Bytes::copy_from_slice(value));
    }
}

/// Escapes as in the query of an address: a blank becomes `+`, anything but letters, digits and `-_.~` becomes `%XX`.
fn query_escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(*byte));
            }
            b' ' => text.push('+'),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                text.push('%');
                text.push(char::from(DIGITS[usize::from(byte >> 4)]));
                text.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::query_escape;

    #[test]
    fn values_are_escaped_as_in_a_query() {
        assert_eq!(query_escape("a b&c=é~".as_bytes()), "a+b%26c%3D%C3%A9~");
    }
}
