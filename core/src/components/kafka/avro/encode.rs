//! From JSON to the body of a record in Avro. Which branch of a union a value becomes is in `branch.rs`.

use serde_json::{Map, Number, Value};

use super::decimal;
use super::misfit::Misfit;
use super::schema::{Decimal, Id, Node, Record, Schema};
use crate::components::kafka::settings::Schemas;
use crate::settings::nearest;

/// Records, arrays and maps inside of each other; more than that is a default that contains itself.
const MOST_LEVELS: usize = 500;

/// How JSON stands for what it has no type for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::components::kafka) enum Form {
    /// As programs write it: a value of a union is the value, a decimal its digits as a text.
    Plain,
    /// As Avro has it: a value of a union is an object that names its type, a decimal the bytes as a text.
    Avro,
}

impl Form {
    pub(super) const fn of(settings: &Schemas) -> Self {
        if settings.avro_json { Self::Avro } else { Self::Plain }
    }
}

/// Encodes a JSON text with a schema: `out` gets the body at its end.
///
/// # Errors
/// Where in the data it does not fit, and why.
pub(in crate::components::kafka) fn encode(
    schema: &Schema,
    json: &[u8],
    form: Form,
    out: Vec<u8>,
) -> Result<Vec<u8>, Misfit> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| Misfit::new(format!("expected JSON to encode as Avro: {error}")))?;
    let rules = match form {
        Form::Plain => Rules { branches_are_named: false, decimals_are_digits: true },
        Form::Avro => Rules { branches_are_named: true, decimals_are_digits: false },
    };
    // Choosing branches by trial can take long for nested unions of similar records.
    let steps = json.len().saturating_mul(32).saturating_add(1000);
    let mut encoder = Encoder { schema, rules, out, levels: 0, steps };
    encoder.value(schema.root(), &value)?;
    Ok(encoder.out)
}

/// What a form means for single values. Defaults in a schema have rules of their own: decimals are bytes there, and
/// branches have no names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) branches_are_named: bool,
    pub(super) decimals_are_digits: bool,
}

const RULES_OF_DEFAULTS: Rules = Rules { branches_are_named: false, decimals_are_digits: false };

pub(super) struct Encoder<'a> {
    pub(super) schema: &'a Schema,
    pub(super) rules: Rules,
    pub(super) out: Vec<u8>,
    levels: usize,
    steps: usize,
}

impl Encoder<'_> {
    pub(super) fn value(&mut self, id: Id, value: &Value) -> Result<(), Misfit> {
        let schema = self.schema;
        let misfit = || Misfit::expected(&schema.describe(id), value);
        self.steps = self.steps.checked_sub(1).ok_or_else(too_ambiguous)?;
        match schema.node(id) {
            Node::Null if value.is_null() => {}
            Node::Null => return Err(misfit()),
            Node::Boolean => self.out.push(u8::from(value.as_bool().ok_or_else(misfit)?)),
            Node::Int => {
                let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
                self.long(number.ok_or_else(misfit)?.into());
            }
            Node::Long => self.long(value.as_i64().ok_or_else(misfit)?),
            Node::Float => {
                let number = floating(value).and_then(to_float).ok_or_else(misfit)?;
                self.out.extend_from_slice(&number.to_le_bytes());
            }
            Node::Double => {
                let number = floating(value).ok_or_else(misfit)?;
                self.out.extend_from_slice(&number.to_le_bytes());
            }
            Node::String => self.prefixed(value.as_str().ok_or_else(misfit)?.as_bytes()),
            Node::Bytes { decimal } => {
                let bytes = self.bytes(value, *decimal).ok_or_else(misfit)?;
                self.prefixed(&bytes);
            }
            Node::Fixed { size, decimal, .. } => {
                let bytes = self.fixed(value, *size, *decimal).ok_or_else(misfit)?;
                self.out.extend_from_slice(&bytes);
            }
            Node::Enum { by_name, .. } => {
                let index = value.as_str().and_then(|symbol| by_name.get(symbol)).ok_or_else(misfit)?;
                self.count(*index);
            }
            Node::Array(items) => {
                let list = value.as_array().ok_or_else(misfit)?;
                self.nested(|encoder| encoder.array(*items, list))?;
            }
            Node::Map(values) => {
                let object = value.as_object().ok_or_else(misfit)?;
                self.nested(|encoder| encoder.map(*values, object))?;
            }
            Node::Record(record) => {
                let object = value.as_object().ok_or_else(misfit)?;
                self.nested(|encoder| encoder.record(record, object))?;
            }
            Node::Union(branches) if self.rules.branches_are_named => {
                self.named_branch(id, branches, value)?;
            }
            Node::Union(branches) => self.plain_branch(id, branches, value)?,
        }
        Ok(())
    }

    fn nested(&mut self, with: impl FnOnce(&mut Self) -> Result<(), Misfit>) -> Result<(), Misfit> {
        if self.levels == MOST_LEVELS {
            return Err(Misfit::new(format!("more than {MOST_LEVELS} levels inside of each other")));
        }
        self.levels += 1;
        let result = with(self);
        self.levels -= 1;
        result
    }

    fn array(&mut self, items: Id, list: &[Value]) -> Result<(), Misfit> {
        if !list.is_empty() {
            self.count(list.len());
            for (index, item) in list.iter().enumerate() {
                self.value(items, item).map_err(|misfit| misfit.at(index))?;
            }
        }
        self.out.push(0);
        Ok(())
    }

    fn map(&mut self, values: Id, object: &Map<String, Value>) -> Result<(), Misfit> {
        if !object.is_empty() {
            self.count(object.len());
            for (key, value) in object {
                self.prefixed(key.as_bytes());
                self.value(values, value).map_err(|misfit| misfit.inside(key))?;
            }
        }
        self.out.push(0);
        Ok(())
    }

    fn record(&mut self, record: &Record, object: &Map<String, Value>) -> Result<(), Misfit> {
        let mut found = 0;
        for field in &record.fields {
            let written = match (object.get(&field.name), &field.default) {
                (Some(value), _) => {
                    found += 1;
                    self.value(field.id, value)
                }
                (None, Some(default)) => self.default(field.id, default),
                (None, None) => {
                    let expected = self.schema.describe(field.id);
                    Err(Misfit::new(format!(
                        "expected {expected}, got nothing, and the schema has no default"
                    )))
                }
            };
            written.map_err(|misfit| misfit.inside(&field.name))?;
        }
        if found < object.len()
            && let Some(unknown) = object.keys().find(|name| !record.by_name.contains_key(*name))
        {
            let near = nearest(unknown, record.by_name.keys().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            return Err(Misfit::new(format!("{} has no such field{near}", record.name)).inside(unknown));
        }
        Ok(())
    }

    fn default(&mut self, id: Id, default: &Value) -> Result<(), Misfit> {
        let rules = std::mem::replace(&mut self.rules, RULES_OF_DEFAULTS);
        let result = self.value(id, default);
        self.rules = rules;
        result.map_err(|misfit| Misfit::new(format!("the schema's default does not fit: {misfit}")))
    }

    pub(super) fn bytes(&self, value: &Value, decimal: Option<Decimal>) -> Option<Vec<u8>> {
        match decimal {
            Some(decimal) if self.rules.decimals_are_digits => digits_of(value, decimal),
            _ => value.as_str()?.chars().map(|letter| u8::try_from(letter).ok()).collect(),
        }
    }

    pub(super) fn fixed(&self, value: &Value, size: usize, decimal: Option<Decimal>) -> Option<Vec<u8>> {
        let bytes = self.bytes(value, decimal)?;
        if decimal.is_none() || !self.rules.decimals_are_digits {
            return Some(bytes).filter(|bytes| bytes.len() == size);
        }
        let missing = size.checked_sub(bytes.len())?;
        let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { 0xff } else { 0 };
        let mut padded = vec![sign; missing];
        padded.extend_from_slice(&bytes);
        Some(padded)
    }

    pub(super) fn count(&mut self, number: usize) {
        self.long(i64::try_from(number).unwrap_or(i64::MAX));
    }

    fn long(&mut self, number: i64) {
        let mut rest = (number << 1 ^ number >> 63).cast_unsigned();
        while rest >= 0x80 {
            self.out.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        self.out.push(rest.to_le_bytes()[0]);
    }

    fn prefixed(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// Whether choosing branches took too long.
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps == 0
    }
}

pub(super) fn too_ambiguous() -> Misfit {
    Misfit::new(
        "too many ways to read the unions of the schema; with useAvroJSON the data names the types itself",
    )
}

/// A decimal is a text of digits, or a number that JSON's parser has not rounded.
fn digits_of(value: &Value, decimal: Decimal) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => decimal::from_text(text, decimal),
        Value::Number(number) => {
            let text = number.to_string();
            let digits = text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
            let digits = digits.filter(u8::is_ascii_digit).count();
            let is_exact = !number.is_f64() || digits <= 15;
            decimal::from_text(&text, decimal).filter(|_| is_exact)
        }
        _ => None,
    }
}

/// A number of any kind, and the texts for what JSON has no numbers for.
pub(super) fn floating(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Number::as_f64(number),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// Rounded, but never to infinity.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn to_float(number: f64) -> Option<f32> {
    let rounded = number as f32;
    (rounded.is_finite() || !number.is_finite()).then_some(rounded)
}
