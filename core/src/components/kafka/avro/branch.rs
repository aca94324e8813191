//! Which branch of a union a JSON value becomes.
//!
//! Where the data names it, as in Avro's own JSON, there is nothing to choose. In plain JSON it is the first branch, in
//! the order of the schema, that the value fits, with two exceptions that keep numbers exact: a number without a fraction
//! prefers `int` and `long`, and one with a fraction a type that does not round it.

use serde_json::Value;

use super::encode::{Encoder, floating, to_float, too_ambiguous};
use super::misfit::Misfit;
use super::schema::{Branch, Id, Node};

impl Encoder<'_> {
    /// As Avro's own JSON has it: null, or an object with the branch's name.
    pub(super) fn named_branch(&mut self, id: Id, branches: &[Branch], value: &Value) -> Result<(), Misfit> {
        let (name, inner) = match value {
            Value::Null => ("null", value),
            Value::Object(object) if object.len() == 1 => {
                let (name, inner) = object.iter().next().expect("it has one");
                (name.as_str(), inner)
            }
            other => {
                let text = format!("an object with one of the names {}", names(branches));
                return Err(Misfit::expected(&text, other));
            }
        };
        // Some write the logical type behind the type, and some leave the namespace out.
        let bare = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let before_dot = name.split('.').next().unwrap_or_default();
        let position = |matches: &dyn Fn(&Branch) -> bool| branches.iter().position(matches);
        let index = position(&|branch| branch.name == name)
            .or_else(|| position(&|branch| !name.contains('.') && bare(&branch.name) == name))
            .or_else(|| position(&|branch| !self.has_name(branch.id) && branch.name == before_dot));
        let Some(index) = index else {
            let expected = self.schema.describe(id);
            return Err(Misfit::new(format!("expected {expected}, got the type {name:?}")));
        };
        self.count(index);
        self.value(branches[index].id, inner).map_err(|misfit| match value {
            Value::Null => misfit,
            _ => misfit.inside(name),
        })
    }

    /// As programs write it: the first branch that fits.
    pub(super) fn plain_branch(&mut self, id: Id, branches: &[Branch], value: &Value) -> Result<(), Misfit> {
        let ranks = branches.iter().map(|branch| self.rank(branch.id, value));
        let mut fitting: Vec<(u8, usize)> =
            ranks.enumerate().filter_map(|(index, rank)| Some((rank?, index))).collect();
        fitting.sort_unstable();
        if fitting.is_empty() {
            // The only one of its kind says better what is wrong.
            let mut alike = (0..branches.len()).filter(|index| self.is_alike(branches[*index].id, value));
            let (Some(index), None) = (alike.next(), alike.next()) else {
                return Err(Misfit::expected(&self.schema.describe(id), value));
            };
            fitting.push((0, index));
        }
        let (length, mut first_misfit) = (self.out.len(), None);
        for (_, index) in fitting {
            self.count(index);
            match self.value(branches[index].id, value) {
                Ok(()) => return Ok(()),
                Err(_) if self.is_exhausted() => return Err(too_ambiguous()),
                Err(misfit) => first_misfit = first_misfit.or(Some(misfit)),
            }
            self.out.truncate(length);
        }
        Err(first_misfit.unwrap_or_else(|| Misfit::expected(&self.schema.describe(id), value)))
    }

    /// How well a value fits as far as one can tell without looking inside; `None` when it does not.
    fn rank(&self, id: Id, value: &Value) -> Option<u8> {
        let is_whole = value.is_i64() || value.is_u64();
        match self.schema.node(id) {
            Node::Null => value.is_null().then_some(0),
            Node::Boolean => value.is_boolean().then_some(0),
            Node::Int => value.as_i64().and_then(|number| i32::try_from(number).ok()).map(|_| 0),
            Node::Long => value.as_i64().map(|_| 0),
            Node::Float => {
                let number = floating(value)?;
                let float = to_float(number)?;
                // What a float is shown as is not what it is as a double.
                let is_exact =
                    float.to_string().parse::<f64>().is_ok_and(|shown| shown.to_bits() == number.to_bits());
                Some(if !is_whole && is_exact && value.is_number() { 0 } else { 2 })
            }
            Node::Double => floating(value).map(|_| u8::from(is_whole || value.is_string())),
            Node::String => value.is_string().then_some(0),
            Node::Bytes { decimal } => self.bytes(value, *decimal).map(|_| 0),
            Node::Fixed { size, decimal, .. } => self.fixed(value, *size, *decimal).map(|_| 0),
            Node::Enum { by_name, .. } => {
                value.as_str().filter(|symbol| by_name.contains_key(*symbol)).map(|_| 0)
            }
            Node::Array(_) => value.is_array().then_some(0),
            Node::Map(_) => value.is_object().then_some(0),
            Node::Record(record) => {
                let object = value.as_object()?;
                let is_known = object.keys().all(|name| record.by_name.contains_key(name));
                let is_complete = record
                    .fields
                    .iter()
                    .all(|field| field.default.is_some() || object.contains_key(&field.name));
                (is_known && is_complete).then_some(0)
            }
            // A union stands in no union.
            Node::Union(_) => None,
        }
    }

    /// Whether JSON has the same type for both.
    fn is_alike(&self, id: Id, value: &Value) -> bool {
        match self.schema.node(id) {
            Node::Null => value.is_null(),
            Node::Boolean => value.is_boolean(),
            Node::Int | Node::Long | Node::Float | Node::Double => value.is_number(),
            Node::String | Node::Bytes { .. } | Node::Fixed { .. } | Node::Enum { .. } => value.is_string(),
            Node::Array(_) => value.is_array(),
            Node::Map(_) | Node::Record(_) => value.is_object(),
            Node::Union(_) => false,
        }
    }

    fn has_name(&self, id: Id) -> bool {
        matches!(self.schema.node(id), Node::Fixed { .. } | Node::Enum { .. } | Node::Record(_))
    }
}

/// What the object of a value can be called.
fn names(branches: &[Branch]) -> String {
    let names = branches.iter().map(|branch| branch.name.as_str()).filter(|name| *name != "null");
    names.collect::<Vec<_>>().join(", ")
}
