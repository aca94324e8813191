//! Variables of the environment in a text: `$NAME` and `${NAME}`, as the library of Go replaces them.
//!
//! What is not set is replaced by nothing. A dollar sign before anything that cannot be a name stays.

/// Replaces all variables.
pub(super) fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, length) = name_of(after);
        if length == 0 {
            expanded.push('$');
        } else if let Some(value) = name.and_then(&variable) {
            expanded.push_str(&value);
        }
        rest = &after[length..];
    }
    expanded.push_str(rest);
    expanded
}

/// The name that a text begins with, and how much of the text it takes.
fn name_of(text: &str) -> (Option<&str>, usize) {
    if let Some(inside) = text.strip_prefix('{') {
        return match inside.find('}') {
            // `${}`, and braces that do not end: the sign and the brace go.
            Some(0) => (None, 2),
            Some(end) => (Some(&inside[..end]), end + 2),
            None => (None, 1),
        };
    }
    // The variables of a shell, which no environment has.
    if let Some(b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9') = text.bytes().next() {
        return (Some(&text[..1]), 1);
    }
    let is_part = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    let length = text.bytes().take_while(|byte| is_part(*byte)).count();
    (Some(&text[..length]), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_other_signs_stay() {
        let expanded =
            |text: &str| expand(text, |name| (name == "RATE" || name == "A B").then(|| "0.5".to_owned()));
        for (text, expected) in [
            ("rate: \"$RATE\"", "rate: \"0.5\""),
            ("${RATE}x$RATE/", "0.5x0.5/"),
            ("$RATES ${unset} ${A B}", "  0.5"),
            ("costs 5$ a piece: $, $ä", "costs 5$ a piece: $, $ä"),
            ("$$RATE $1x", "RATE x"),
            ("a${}b ${open", "ab open"),
        ] {
            assert_eq!(expanded(text), expected, "{text}");
        }
    }
}
