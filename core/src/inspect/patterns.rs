//! Regular expressions for JSON Schema, which has no flag for "in any case".

/// One of these texts, in any case.
pub(super) fn any_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(letters).collect();
    format!("^({})$", texts.join("|"))
}

fn letters(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphabetic() {
            pattern.extend(['[', letter.to_ascii_lowercase(), letter.to_ascii_uppercase(), ']']);
        } else if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_') {
            pattern.push(letter);
        } else {
            pattern.extend(['\\', letter]);
        }
    }
    pattern
}

/// A duration of Go, or a bare number. Nothing is 0.
pub(super) const DURATION: &str = r"^$|^[+]?[0-9]+$|^[+]?([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$";
/// A quantity of Kubernetes.
pub(super) const BYTES: &str = r"^$|^[+]?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";
/// A whole number as Go reads it.
pub(super) const INTEGER: &str = r"^$|^[+-]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|[0-9][0-9_]*)$";
/// A number.
pub(super) const NUMBER: &str = r"^$|^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$";
