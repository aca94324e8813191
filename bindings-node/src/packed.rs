//! Texts that cross as one: each after its length in UTF-16 units, as JavaScript counts, and a colon. One string is
//! made in about the time of one text, and JavaScript takes it apart only when somebody asks for what is in it.

use std::fmt::Write as _;

use bindwright::Metadata;

/// Texts in one.
#[derive(Default)]
pub(crate) struct Packed {
    text: String,
    /// Of all of it, in UTF-16 units.
    units: u32,
}

impl Packed {
    /// Adds the names and values of metadata, in turn.
    pub(crate) fn add(&mut self, metadata: &Metadata) {
        for (name, value) in metadata.iter() {
            self.add_text(name);
            self.add_text(&value.text());
        }
    }

    fn add_text(&mut self, text: &str) {
        let units = if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
        let before = self.text.len();
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{units}:");
        let head = self.text.len() - before;
        self.text.push_str(text);
        self.units = self.units.saturating_add(u32::try_from(head + units).unwrap_or(u32::MAX));
    }

    /// Its length as JavaScript counts.
    pub(crate) fn units(&self) -> u32 {
        self.units
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.units = 0;
    }
}

/// Metadata of names and values in turn, as TypeScript packs them.
pub(crate) fn unpacked(packed: Option<&str>) -> Metadata {
    let Some(packed) = packed else { return Metadata::new() };
    let mut metadata = Metadata::with_capacity(2);
    let mut rest = packed;
    while let Some(name) = next(&mut rest)
        && let Some(value) = next(&mut rest)
    {
        metadata.add(name.to_owned(), value.to_owned());
    }
    metadata
}

fn next<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (length, after) = rest.split_once(':')?;
    let units: usize = length.parse().ok()?;
    let bytes = if after.as_bytes().get(..units).is_some_and(<[u8]>::is_ascii) {
        units
    } else {
        bytes_of(after, units)
    };
    let (text, left) = after.split_at_checked(bytes)?;
    *rest = left;
    Some(text)
}

/// How many bytes so many UTF-16 units take.
fn bytes_of(text: &str, units: usize) -> usize {
    let mut left = units;
    let mut bytes = 0;
    for character in text.chars() {
        if left < character.len_utf16() {
            break;
        }
        left -= character.len_utf16();
        bytes += character.len_utf8();
    }
    bytes
}
