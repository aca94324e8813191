//! From the body of a record in Avro to JSON. The body comes from outside: whatever it holds, reading it takes neither
//! more stack nor more memory than its length and the limits below allow.

use std::io::Write as _;

use super::decimal;
use super::encode::Form;
use super::misfit::Misfit;
use super::schema::{Decimal, Id, Node, Record, Schema};

/// Records, arrays and maps inside of each other.
const MOST_LEVELS: usize = 500;
/// JSON that any body may become, however short.
const SHORTEST_LIMIT: usize = 1 << 20;
/// Bytes of JSON for each byte of the body beyond that: names of fields are written out for every record.
const MOST_GROWTH: usize = 64;

/// Decodes a body with the schema that it was written with, to compact JSON.
///
/// # Errors
/// Where and why it is not a body of this schema; also when something is left behind it.
pub(in crate::components::kafka) fn decode(
    schema: &Schema,
    body: &[u8],
    form: Form,
) -> Result<Vec<u8>, Misfit> {
    let most = body.len().saturating_mul(MOST_GROWTH).saturating_add(SHORTEST_LIMIT);
    let out = Vec::with_capacity(body.len() * 2);
    let mut decoder = Decoder { schema, form, rest: body, out, most, levels: 0 };
    decoder.value(schema.root())?;
    if !decoder.rest.is_empty() {
        return Err(Misfit::new(format!("{} bytes are left behind the end", decoder.rest.len())));
    }
    Ok(decoder.out)
}

struct Decoder<'a> {
    schema: &'a Schema,
    form: Form,
    rest: &'a [u8],
    out: Vec<u8>,
    /// Bytes that may be written.
    most: usize,
    levels: usize,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, id: Id) -> Result<(), Misfit> {
        // Every value writes something, so this bounds what a few bytes can ask for.
        if self.out.len() > self.most {
            return Err(Misfit::new(format!("it would become more than {} bytes of JSON", self.most)));
        }
        match self.schema.node(id) {
            Node::Null => self.out.extend_from_slice(b"null"),
            Node::Boolean => match self.take(1)? {
                [0] => self.out.extend_from_slice(b"false"),
                [1] => self.out.extend_from_slice(b"true"),
                other => return Err(Misfit::new(format!("expected a boolean, got the byte {}", other[0]))),
            },
            Node::Int => {
                let number = self.long()?;
                let number = i32::try_from(number)
                    .map_err(|_| Misfit::new(format!("expected an int, got {number}")))?;
                self.show(number);
            }
            Node::Long => {
                let number = self.long()?;
                self.show(number);
            }
            Node::Float => {
                let number = f32::from_le_bytes(self.array_of()?);
                if number.is_finite() { self.json(&number) } else { self.odd(number.into()) }
            }
            Node::Double => {
                let number = f64::from_le_bytes(self.array_of()?);
                if number.is_finite() { self.json(&number) } else { self.odd(number) }
            }
            Node::String => self.text()?,
            Node::Bytes { decimal } => {
                let bytes = self.prefixed()?;
                self.bytes(bytes, *decimal)?;
            }
            Node::Fixed { size, decimal, .. } => {
                let bytes = self.take(*size)?;
                self.bytes(bytes, *decimal)?;
            }
            Node::Enum { name, symbols, .. } => {
                let index = self.long()?;
                let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
                let symbol = symbol.ok_or_else(|| Misfit::new(format!("{name} has no symbol {index}")))?;
                self.json(symbol);
            }
            Node::Array(items) => self.nested(|decoder| decoder.array(*items))?,
            Node::Map(values) => self.nested(|decoder| decoder.map(*values))?,
            Node::Record(record) => self.nested(|decoder| decoder.record(record))?,
            Node::Union(branches) => {
                let index = self.long()?;
                let branch = usize::try_from(index).ok().and_then(|index| branches.get(index));
                let branch = branch.ok_or_else(|| Misfit::new(format!("the union has no type {index}")))?;
                if self.form == Form::Plain || matches!(self.schema.node(branch.id), Node::Null) {
                    return self.value(branch.id);
                }
                self.out.push(b'{');
                self.json(&branch.name);
                self.out.push(b':');
                self.value(branch.id)?;
                self.out.push(b'}');
            }
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

    fn record(&mut self, record: &Record) -> Result<(), Misfit> {
        self.out.push(b'{');
        for (index, field) in record.fields.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.json(&field.name);
            self.out.push(b':');
            self.value(field.id).map_err(|misfit| misfit.inside(&field.name))?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn array(&mut self, items: Id) -> Result<(), Misfit> {
        self.out.push(b'[');
        let mut index = 0;
        while let Some(count) = self.block()? {
            for _ in 0..count {
                if index > 0 {
                    self.out.push(b',');
                }
                self.value(items).map_err(|misfit| misfit.at(index))?;
                index += 1;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, values: Id) -> Result<(), Misfit> {
        self.out.push(b'{');
        let mut is_first = true;
        while let Some(count) = self.block()? {
            for _ in 0..count {
                if !std::mem::replace(&mut is_first, false) {
                    self.out.push(b',');
                }
                let key = self.text_bytes()?;
                self.json(key);
                self.out.push(b':');
                self.value(values).map_err(|misfit| misfit.inside(key))?;
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    /// The number of items that follow; `None` at the end of them.
    fn block(&mut self) -> Result<Option<u64>, Misfit> {
        let count = self.long()?;
        if count < 0 {
            // The length in bytes follows, for those who skip.
            self.long()?;
        }
        Ok((count != 0).then(|| count.unsigned_abs()))
    }

    fn bytes(&mut self, bytes: &[u8], decimal: Option<Decimal>) -> Result<(), Misfit> {
        match decimal {
            Some(decimal) if self.form == Form::Plain => {
                let text = decimal::to_text(bytes, decimal);
                let text = text.ok_or_else(|| Misfit::new("a decimal with too many digits"))?;
                self.json(&text);
            }
            _ => {
                // Each byte is the character of its number.
                self.out.push(b'"');
                for byte in bytes {
                    match byte {
                        b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', *byte]),
                        0..0x20 => {
                            let _ = write!(self.out, "\\u{byte:04x}");
                        }
                        0x20..0x80 => self.out.push(*byte),
                        _ => {
                            self.out.extend_from_slice(char::from(*byte).encode_utf8(&mut [0; 2]).as_bytes());
                        }
                    }
                }
                self.out.push(b'"');
            }
        }
        Ok(())
    }

    fn text(&mut self) -> Result<(), Misfit> {
        let text = self.text_bytes()?;
        self.json(text);
        Ok(())
    }

    fn text_bytes(&mut self) -> Result<&'a str, Misfit> {
        let bytes = self.prefixed()?;
        std::str::from_utf8(bytes).map_err(|_| Misfit::new("expected a text, got bytes that are no UTF-8"))
    }

    fn prefixed(&mut self) -> Result<&'a [u8], Misfit> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| Misfit::new(format!("a length of {length}")))?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Misfit> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            let message = format!("{length} bytes are needed here, and {} are left", self.rest.len());
            return Err(Misfit::new(message));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array_of<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Misfit> {
        let mut array = [0; SIZE];
        array.copy_from_slice(self.take(SIZE)?);
        Ok(array)
    }

    fn long(&mut self) -> Result<i64, Misfit> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array_of()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        Err(Misfit::new("a number with more than 64 bits"))
    }

    fn show(&mut self, number: impl std::fmt::Display) {
        // Writing into memory does not fail.
        let _ = write!(self.out, "{number}");
    }

    fn json(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        let _ = serde_json::to_writer(&mut self.out, value);
    }

    /// JSON has no numbers for these.
    fn odd(&mut self, number: f64) {
        let text = match number {
            number if number.is_nan() => "NaN",
            number if number > 0.0 => "Infinity",
            _ => "-Infinity",
        };
        self.json(text);
    }
}
