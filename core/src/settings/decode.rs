//! A serde deserializer over a component's properties. Tests are in `tests.rs`.
//!
//! * Names match without regard to case. Of a field with `#[serde(alias)]`es the main name counts, else the
//!   alias that stands first in the document; what then has no effect is warned about.
//! * A property that no field and no part of the runtime knows is warned about too, with the nearest name.
//! * A value is a text, read by the field's type: see `values.rs`. A plain `bool` reads like `Flag`, integers
//!   take `0x`, `0o` and `0b`, an empty text is 0, and the words of an enum match without regard to case.
//! * `#[serde(flatten)]` is not possible: serde does not tell the names of such a struct, so that no name
//!   could be matched or warned about.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer,
    MapAccess, Unexpected, Visitor,
};

use super::RUNTIME_NAMES;
use super::number::{parse_float, parse_integer, parse_lenient_bool};
use super::values::SECRET_NAME;
use crate::error::{Error, ErrorCode, Place, Result};
use crate::manifest::{Component, Origin, Property};

/// How much of a value or a name a message shows.
const MAX_SHOWN: usize = 80;

/// Reads a component's settings as `T`, a struct; the second part is what to warn about.
///
/// # Errors
/// [`ErrorCode::InvalidSettings`]: a value that its field cannot take, with the value's place, or a missing
/// field that has no default, with the component's place. The value of a [`Secret`](super::Secret) is never
/// shown. [`ErrorCode::Internal`] when `T` is not a struct or uses `#[serde(flatten)]`.
pub fn decode<T: DeserializeOwned>(component: &Component) -> Result<(T, Vec<Error>)> {
    let mut attempt =
        Attempt { component, fields: &[], main_names: Vec::new(), without_effect: Vec::new(), current: None };
    // serde keeps the names of a field together with its aliases to itself. Its complaint about a field given
    // twice tells the main name, so the next attempt can do it right. Every attempt settles one property.
    loop {
        match T::deserialize(&mut attempt) {
            Ok(settings) => return Ok((settings, attempt.warnings())),
            Err(Fault::Duplicate(main_name)) if attempt.settle(main_name) => {}
            Err(fault) => return Err(attempt.error(fault)),
        }
    }
}

struct Attempt<'a> {
    component: &'a Component,
    fields: &'static [&'static str],
    /// Fields that must come first because an alias of them is given too.
    main_names: Vec<&'static str>,
    /// Properties that another name for the same field outdoes.
    without_effect: Vec<usize>,
    /// The property that serde was given last, with the field's spelling of its name.
    current: Option<(usize, &'static str)>,
}

impl Attempt<'_> {
    /// Which property each field gets, main names first.
    fn entries(&self) -> Vec<(usize, &'static str)> {
        let mut entries: Vec<_> = (self.component.properties.iter().enumerate())
            .filter(|(index, _)| !self.without_effect.contains(index))
            .filter_map(|(index, property)| Some((index, field_of(self.fields, &property.name)?)))
            .collect();
        entries.sort_by_key(|(_, field)| !self.main_names.contains(field));
        entries
    }

    /// Learns from "this field is given twice"; `false` when nothing is left to learn.
    fn settle(&mut self, main_name: &'static str) -> bool {
        match self.current.take() {
            Some((_, field)) if field == main_name && !self.main_names.contains(&field) => {
                self.main_names.push(field);
            }
            Some((index, _)) => self.without_effect.push(index),
            None => return false,
        }
        true
    }

    fn warnings(&self) -> Vec<Error> {
        let known = |name: &str| field_of(self.fields, name).is_some() || is_runtime_name(name);
        (self.component.properties.iter().enumerate())
            .filter_map(|(index, property)| {
                let message = if self.without_effect.contains(&index) {
                    format!(
                        "{}: has no effect beside another name of the same setting",
                        shown(&property.name)
                    )
                } else if known(&property.name) {
                    return None;
                } else {
                    unknown_setting(&property.name, &self.component.component_type, self.fields)
                };
                let advice = "Correct or remove it; the component works as if it were not there.";
                Some(self.invalid(message, &property.name_place).advice(advice))
            })
            .collect()
    }

    fn error(&self, fault: Fault) -> Error {
        let component = self.component;
        match fault {
            Fault::Value { property, hidden, expected } => {
                let Property { name, value, value_place, origin, .. } = &component.properties[property];
                let given = match origin {
                    Origin::Document if hidden => String::new(),
                    Origin::Document => format!(", got {:?}", shown(value)),
                    elsewhere => format!(", got {elsewhere}"),
                };
                self.invalid(format!("{}: {expected}{given}", shown(name)), value_place)
            }
            Fault::Missing(field) => {
                self.invalid(format!("{field}: required, but missing"), &component.place)
            }
            Fault::Duplicate(field) => self.invalid(format!("{field}: given twice"), &component.place),
            Fault::Other(message) => self.invalid(message, &component.place),
            Fault::NotAStruct => {
                Error::new(ErrorCode::Internal, "settings must be a struct without `flatten`")
                    .component(Arc::clone(&component.name))
            }
        }
    }

    fn invalid(&self, message: String, place: &Place) -> Error {
        Error::new(ErrorCode::InvalidSettings, message)
            .component(Arc::clone(&self.component.name))
            .place(place.clone())
    }
}

impl<'de> Deserializer<'de> for &mut Attempt<'_> {
    type Error = Fault;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.fields = fields;
        self.current = None;
        let entries = self.entries().into_iter();
        visitor.visit_map(Entries { attempt: self, entries })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fault> {
        Err(Fault::NotAStruct)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Entries<'a, 'b> {
    attempt: &'a mut Attempt<'b>,
    entries: std::vec::IntoIter<(usize, &'static str)>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.attempt.current = self.entries.next();
        let Some((_, field)) = self.attempt.current else { return Ok(None) };
        let name: StrDeserializer<'_, Fault> = field.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let Some((property, _)) = self.attempt.current else {
            return Err(Fault::custom("a value was asked for before its name"));
        };
        let hidden = Cell::new(false);
        let text = &self.attempt.component.properties[property].value;
        seed.deserialize(Value { text, hidden: &hidden }).map_err(|fault| {
            let expected = match fault {
                Fault::Other(expected) | Fault::Value { expected, .. } => expected,
                Fault::Missing(field) | Fault::Duplicate(field) => format!("expected one {field:?}"),
                Fault::NotAStruct => "expected a text".to_owned(),
            };
            Fault::Value { property, hidden: hidden.get(), expected }
        })
    }
}

/// One value: a text that the field's type asks to be read in some way.
struct Value<'a> {
    text: &'a str,
    /// Set as soon as the type turns out to be a secret.
    hidden: &'a Cell<bool>,
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let number = parse_integer(self.text).and_then(|number| <$type>::try_from(number).ok());
            visitor.$visit(number.ok_or_else(|| {
                let (least, most) = (<$type>::MIN, <$type>::MAX);
                Fault::custom(format_args!("expected a whole number from {least} to {most}"))
            })?)
        })*
    };
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Fault;

    integers! {
        deserialize_i8 visit_i8 i8; deserialize_i16 visit_i16 i16; deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64; deserialize_u8 visit_u8 u8; deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32; deserialize_u64 visit_u64 u64;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_f64(parse_float(self.text).ok_or_else(|| Fault::custom("expected a number"))?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_bool(parse_lenient_bool(self.text))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name == SECRET_NAME {
            self.hidden.set(true);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match field_of(variants, self.text) {
            Some(word) => visitor.visit_enum(Word(word)),
            None => Err(Fault::unknown_variant(self.text, variants)),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.text)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

/// A word of an enum, in the enum's spelling.
struct Word(&'static str);

impl<'de> EnumAccess<'de> for Word {
    type Error = Fault;
    // Lets unit variants through and says of any other what it expected.
    type Variant = <StrDeserializer<'de, Fault> as EnumAccess<'de>>::Variant;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Fault> {
        let word: StrDeserializer<'de, Fault> = self.0.into_deserializer();
        word.variant_seed(seed)
    }
}

/// Why an attempt failed; what to show and where is decided when it is over.
#[derive(Debug)]
enum Fault {
    Duplicate(&'static str),
    Missing(&'static str),
    Value { property: usize, hidden: bool, expected: String },
    Other(String),
    NotAStruct,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(field) => write!(formatter, "{field}: given twice"),
            Self::Missing(field) => write!(formatter, "{field}: required, but missing"),
            Self::Value { expected, .. } | Self::Other(expected) => formatter.write_str(expected),
            Self::NotAStruct => formatter.write_str("settings must be a struct without `flatten`"),
        }
    }
}

impl std::error::Error for Fault {}

/// No text made here contains the value: it is added at the end, unless it is a secret.
impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }

    fn invalid_type(_given: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Other(format!("expected {expected}"))
    }

    fn invalid_value(_given: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Other(format!("expected {expected}"))
    }

    fn unknown_variant(_given: &str, words: &'static [&'static str]) -> Self {
        Self::Other(format!("expected one of {}", words.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::Duplicate(field)
    }
}

/// The spelling that `fields` has for a name.
fn field_of(fields: &[&'static str], name: &str) -> Option<&'static str> {
    let exact = fields.iter().find(|field| **field == name);
    exact.or_else(|| fields.iter().find(|field| field.to_lowercase() == name.to_lowercase())).copied()
}

/// `route` counts in its exact case only, so another spelling of it deserves the warning.
pub(crate) fn is_runtime_name(name: &str) -> bool {
    RUNTIME_NAMES
        .iter()
        .any(|known| if *known == "route" { name == *known } else { known.eq_ignore_ascii_case(name) })
}

/// What is said about a setting that nobody reads.
pub(crate) fn unknown_setting(name: &str, component_type: &str, fields: &[&str]) -> String {
    let unknown = format!("{}: no setting of {component_type}", shown(name));
    match nearest(name, fields.iter().chain(&RUNTIME_NAMES).copied()) {
        Some(near) => format!("{unknown}; did you mean {near:?}"),
        None => unknown,
    }
}

/// The name that a few typing errors make into `name`.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().take(MAX_SHOWN).collect();
    let limit = (name.len() / 3).clamp(1, 3);
    candidates
        .map(|candidate| {
            (edit_distance(&name, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, removed, replaced or swapped with their neighbour.
fn edit_distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *letter == right[column - 1] && left[row - 1] == *other {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

/// A text short enough for a message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
