//! Data of others on the terminal of somebody: nothing in it may steer the terminal.

use std::fmt::Write as _;
use std::time::Duration;

use bindwright::inspect::{read_time_span, show_moment};
use bindwright::{Body, Metadata};
use serde_json::{Map, Value, json};

/// Text for people, in one line: control characters, and what changes the direction of writing, as escapes.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        let is_tricky = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        match letter {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            _ if letter.is_control() || is_tricky => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(letter));
            }
            _ => shown.push(letter),
        }
    }
    shown
}

/// A body for people: text as it is but in lines that cannot steer the terminal, anything else in hexadecimal digits.
pub(crate) fn body(body: &Body) -> String {
    let Some(bytes) = body.as_bytes() else { return "(no data)".to_owned() };
    if let Ok(all) = std::str::from_utf8(bytes) {
        return all.split('\n').map(text).collect::<Vec<_>>().join("\n");
    }
    bytes.iter().fold("(hex) ".to_owned(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// A body for programs: `data` where it is text, `dataBase64` where it is not; `data` is null without data.
pub(crate) fn put_body(object: &mut Map<String, Value>, body: &Body) {
    let Some(bytes) = body.as_bytes() else {
        object.insert("data".to_owned(), Value::Null);
        return;
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert("data".to_owned(), json!(text)),
        Err(_) => object.insert("dataBase64".to_owned(), json!(base64(bytes))),
    };
}

/// Metadata for programs; of a name that stands twice the last value counts.
pub(crate) fn metadata(metadata: &Metadata) -> Value {
    metadata.iter().map(|(name, value)| (name.to_owned(), json!(value.text()))).collect::<Map<_, _>>().into()
}

/// A moment in milliseconds since 1970.
pub(crate) fn moment(millis: Option<i64>) -> String {
    millis.map_or_else(|| "-".to_owned(), show_moment)
}

/// How long something took.
pub(crate) fn took(time: Duration) -> String {
    if time >= Duration::from_secs(1) {
        return format!("{:.1} s", time.as_secs_f64());
    }
    format!("{} ms", time.as_millis())
}

/// Rows of words in columns; the last column is as wide as it likes.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut shown = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        shown.push_str(cells.join("  ").trim_end());
        shown.push('\n');
    }
    shown
}

/// A time span in an argument.
pub(crate) fn time_span(text: &str) -> Result<Duration, String> {
    read_time_span(text).map_err(|error| error.message().to_owned())
}

/// `NAME=VALUE` in an argument.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index)) as usize & 63];
            text.push(if index <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_others_cannot_steer_the_terminal() {
        assert_eq!(text("a\u{1b}[2J\u{7}\r\n\u{202e}é"), "a\\u{1b}[2J\\u{7}\\r\\n\\u{202e}é");
        assert_eq!(body(&Body::from("one\n\u{9b}31mtwo")), "one\n\\u{9b}31mtwo");
        assert_eq!(body(&Body::from(vec![0xff, 0])), "(hex) ff00");
        assert_eq!(body(&Body::None), "(no data)");
    }

    #[test]
    fn bytes_have_their_base64() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xff, 0xfe]), "//4=");
    }
}
