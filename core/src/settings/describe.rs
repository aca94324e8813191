//! What can be said about each setting of a component: for editors, `check` and `explain`.
//!
//! It follows from the struct that decodes: names, kinds and words from `schemars::JsonSchema`, and what serde's derive
//! does not tell from `#[schemars(extend(…))]` beside the field. Those are:
//!
//! | key | value |
//! |---|---|
//! | `x-default` | the text that stands for leaving the setting out |
//! | `x-aliases` | the names in `#[serde(alias)]`; a test compares them |
//! | `x-words` | the words of a text that has only these |
//! | `x-way` | `input` or `output`: the only direction that the setting concerns |
//! | `x-needed` | true: that direction cannot be opened without it |
//! | `x-ours` | true: Dapr ignores it |
//! | `x-ignored` | true: accepted, without effect |
//! | `x-replacement` | the setting to use instead |
//!
//! Tests are in `core/src/inspect/tests/settings.rs`.

#[cfg(test)]
pub(crate) mod field_names;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// One setting of a component type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools)] // independent facts, each asked for by its name
pub struct Setting {
    /// The documented spelling; documents may write it in any case.
    pub name: String,
    /// Older names, which count where `name` is not given.
    pub aliases: Vec<String>,
    /// What it is for, in one or more sentences.
    pub description: String,
    /// The text that stands for leaving it out; `None` where nothing does.
    pub default: Option<String>,
    /// What its value looks like.
    pub kind: Kind,
    /// Its value is shown nowhere.
    pub is_secret: bool,
    /// The component cannot do without it.
    pub is_required: bool,
    /// The only direction that it concerns.
    pub way: Option<Way>,
    /// That direction cannot be opened without it.
    pub is_needed: bool,
    /// Dapr ignores it.
    pub is_ours: bool,
    /// It is accepted and has no effect.
    pub is_ignored: bool,
    /// The setting to use instead.
    pub replacement: Option<String>,
}

/// What a value looks like.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// Any text.
    Text,
    /// Texts separated by commas.
    List,
    /// True for `y yes true t on 1`, false for anything else.
    Flag,
    /// `true` or `false`, as Go reads them.
    StrictFlag,
    /// A whole number.
    Integer {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
    },
    /// A number.
    Number,
    /// A duration; a bare number means seconds.
    Seconds,
    /// A duration; a bare number means milliseconds.
    Millis,
    /// A number of bytes, with or without a unit.
    Bytes,
    /// One of these, in any case.
    Words(Vec<String>),
}

impl Kind {
    /// What stands in lists for people.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::List => "list",
            Self::Flag | Self::StrictFlag => "flag",
            Self::Integer { .. } => "integer",
            Self::Number => "number",
            Self::Seconds => "duration, s",
            Self::Millis => "duration, ms",
            Self::Bytes => "bytes",
            Self::Words(_) => "word",
        }
    }
}

/// A direction of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It receives.
    Input,
    /// It sends.
    Output,
}

impl Way {
    /// As documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

impl Setting {
    /// Whether a document that writes `name` means this setting.
    pub fn is_called(&self, name: &str) -> bool {
        self.names().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The name, then the aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    fn new(name: &str, schema: &Value, is_required: bool) -> Self {
        let text = |key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
        let is = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or_default();
        Self {
            name: name.to_owned(),
            aliases: words_of(schema, "x-aliases"),
            description: text("description").unwrap_or_default().replace('\n', " "),
            default: text("x-default"),
            kind: kind_of(schema),
            is_secret: is("writeOnly"),
            is_required,
            way: match text("x-way").as_deref() {
                Some("input") => Some(Way::Input),
                Some("output") => Some(Way::Output),
                _ => None,
            },
            is_needed: is("x-needed"),
            is_ours: is("x-ours"),
            is_ignored: is("x-ignored"),
            replacement: text("x-replacement"),
        }
    }
}

/// The settings of a struct that decodes, in the order of its fields' names.
pub(crate) fn settings_of<T: JsonSchema>() -> Vec<Setting> {
    let generator = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let schema: Value = Schema::into(generator.into_generator().into_root_schema_for::<T>());
    let required = words_of(&schema, "required");
    let properties = schema.get("properties").and_then(Value::as_object);
    let setting = |(name, schema): (&String, &Value)| Setting::new(name, schema, required.contains(name));
    properties.into_iter().flatten().map(setting).collect()
}

fn words_of(schema: &Value, key: &str) -> Vec<String> {
    let items = schema.get(key).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn kind_of(schema: &Value) -> Kind {
    let has = |key: &str, wanted: &str| match &schema[key] {
        Value::String(text) => text == wanted,
        Value::Array(items) => items.iter().any(|item| item == wanted),
        _ => false,
    };
    let limit = |key: &str, usual: i64| schema[key].as_i64().unwrap_or(usual);
    let words = Words::of(schema).0;
    if !words.is_empty() {
        return Kind::Words(words);
    }
    for (key, value, kind) in [
        ("x-kind", "flag", Kind::Flag),
        ("x-kind", "strict-flag", Kind::StrictFlag),
        ("x-kind", "list", Kind::List),
        ("x-unit", "s", Kind::Seconds),
        ("x-unit", "ms", Kind::Millis),
        ("x-unit", "bytes", Kind::Bytes),
        ("type", "number", Kind::Number),
        // Booleans in a struct read like a `Flag`.
        ("type", "boolean", Kind::Flag),
    ] {
        if has(key, value) {
            return kind;
        }
    }
    if !has("type", "integer") {
        return Kind::Text;
    }
    let (least, most) = match schema["format"].as_str() {
        Some("uint8") => (0, i64::from(u8::MAX)),
        Some("uint16") => (0, i64::from(u16::MAX)),
        Some("uint32") => (0, i64::from(u32::MAX)),
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Some("uint64" | "uint") => (0, i64::MAX),
        _ => (i64::MIN, i64::MAX),
    };
    Kind::Integer { least: limit("minimum", least), most: limit("maximum", most) }
}

/// The words of an enum, wherever its schema has them.
struct Words(Vec<String>);

impl Words {
    fn of(schema: &Value) -> Self {
        let mut words = words_of(schema, "x-words");
        if words.is_empty() {
            words = words_of(schema, "enum");
        }
        words.extend(schema["const"].as_str().map(str::to_owned));
        for key in ["oneOf", "anyOf", "allOf"] {
            for part in schema[key].as_array().into_iter().flatten() {
                words.extend(Self::of(part).0);
            }
        }
        Self(words)
    }
}
