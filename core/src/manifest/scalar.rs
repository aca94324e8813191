//! What a scalar means: YAML 1.1 as Go's reader has it, which is the one that Dapr reads documents with. Tests are in
//! `tests/scalars.rs`.
//!
//! `yes`, `on` and `y` are booleans, `010` is 8, `1_000` is 1000. Numbers with colons and dates are text. What is quoted
//! or stands in a block is text.

use std::borrow::Cow;

use super::yaml::{Form, Kind};
use crate::settings::parse_integer;

/// What a scalar means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning<'a> {
    Null,
    Bool(bool),
    /// From the least `i64` to the largest `u64`.
    Integer(i128),
    Float(f64),
    Text(&'a str),
}

/// What a scalar means.
///
/// # Errors
/// What was expected, where a tag contradicts the text.
pub(super) fn meaning(text: &str, form: Form) -> Result<Meaning<'_>, &'static str> {
    match (form, plain(text)) {
        (Form::Text, _) => Ok(Meaning::Text(text)),
        (Form::Plain, meaning)
        | (Form::Tagged(Kind::Null), meaning @ Meaning::Null)
        | (Form::Tagged(Kind::Bool), meaning @ Meaning::Bool(_))
        | (Form::Tagged(Kind::Integer), meaning @ Meaning::Integer(_))
        | (Form::Tagged(Kind::Float), meaning @ (Meaning::Float(_) | Meaning::Integer(_))) => Ok(meaning),
        (Form::Tagged(Kind::Null), _) => Err("expected nothing, because of the tag !!null"),
        (Form::Tagged(Kind::Bool), _) => Err("expected true or false, because of the tag !!bool"),
        (Form::Tagged(Kind::Integer), _) => Err("expected a whole number, because of the tag !!int"),
        (Form::Tagged(Kind::Float), _) => Err("expected a number, because of the tag !!float"),
        (Form::Tagged(Kind::Binary), _) => Err("the tag !!binary is not supported: write the text itself"),
    }
}

fn plain(text: &str) -> Meaning<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Meaning::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Meaning::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Meaning::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let number = match text.as_bytes()[0] {
        b'.' => float(text),
        // No number is longer; long texts are not to be looked through.
        b'0'..=b'9' | b'+' | b'-' if text.len() <= 512 => number(&text.replace('_', "")),
        _ => None,
    };
    number.unwrap_or(Meaning::Text(text))
}

fn number(text: &str) -> Option<Meaning<'static>> {
    let is_signed = text.starts_with(['+', '-']);
    let integer = parse_integer(text).filter(|number| {
        let most = if is_signed { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
        !text.is_empty() && (i128::from(i64::MIN)..=most).contains(number)
    });
    integer.map(Meaning::Integer).or_else(|| float(text))
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, as long as it is finite.
fn float(text: &str) -> Option<Meaning<'static>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let number = (exponent_fits && mantissa_fits).then(|| text.parse::<f64>().ok()).flatten()?;
    number.is_finite().then_some(Meaning::Float(number))
}

impl<'a> Meaning<'a> {
    /// As a field of text holds it: a name, a type, a version.
    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Null => "".into(),
            Self::Bool(value) => value.to_string().into(),
            Self::Integer(number) => number.to_string().into(),
            Self::Float(number) => general(number).into(),
            Self::Text(text) => text.into(),
        }
    }

    /// As JSON writes it, for anything but text; `None` for a number that JSON does not have.
    pub(super) fn json(&self) -> Option<String> {
        match self {
            Self::Float(number) if !number.is_finite() => None,
            Self::Float(number) => Some(json_float(*number)),
            Self::Null => Some("null".to_owned()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Text(_) => None,
        }
    }
}

/// Go's `FormatFloat(number, 'g', -1, 64)`.
fn general(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let (mantissa, exponent) = scientific(number);
    if number != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    number.to_string()
}

/// As Go's `encoding/json` writes a finite number.
fn json_float(number: f64) -> String {
    if number != 0.0 && !(1e-6..1e21).contains(&number.abs()) {
        let (mantissa, exponent) = scientific(number);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{}", exponent.abs());
    }
    number.to_string()
}

/// The shortest digits that give the number back, and its power of ten.
fn scientific(number: f64) -> (String, i32) {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.to_owned(), exponent.parse().unwrap_or_default())
}
