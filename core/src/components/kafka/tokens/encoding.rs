//! Letters that tokens are written with.

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

#[cfg(test)]
mod tests {
    use super::{base64_url, from_base64_url};

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
