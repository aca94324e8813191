//! Letters that tokens and requests for them are written with.

use std::fmt::Write as _;

/// base64url without padding.
pub(super) fn base64_url(bytes: &[u8]) -> String {
    let text = openssl::base64::encode_block(bytes);
    text.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// The bytes behind base64url, with or without padding.
pub(super) fn from_base64_url(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let padding = "=".repeat((4 - text.len() % 4) % 4);
    let text = format!("{}{padding}", text.replace('-', "+").replace('_', "/"));
    openssl::base64::decode_block(&text).ok()
}

/// A text as it may stand in a query or a form: everything but letters, digits and `-._~` as `%XX`.
pub(super) fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{base64_url, from_base64_url, percent};

    #[test]
    fn a_text_is_safe_in_a_query() {
        assert_eq!(percent("a-Z.9_~ +/=&\u{e4}"), "a-Z.9_~%20%2B%2F%3D%26%C3%A4");
    }

    #[test]
    fn bytes_come_back_from_their_letters() {
        for length in 0..70_u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(251)).collect();
            let text = base64_url(&bytes);
            assert!(text.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_".contains(&letter)));
            assert_eq!(from_base64_url(&text).as_deref(), Some(&*bytes));
        }
    }
}
