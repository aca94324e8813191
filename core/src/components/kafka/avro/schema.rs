//! Avro schemas, made ready for reading and writing: names are resolved, and every type is a node in one list, so that a
//! recursive schema is a number that points back.
//!
//! Bodies are read and written here and not by a crate, because those we know take a body that ends early for one with
//! nulls, follow a recursive body until the stack ends, and allocate what a length prefix asks for. The tests compare
//! with `apache-avro` and with bytes of `fastavro`.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// The place of a type in its schema's list.
pub(super) type Id = usize;

/// Digits of a decimal; a schema that asks for more gets the plain bytes.
const MOST_DIGITS: u64 = 600;

/// A schema with everything it refers to.
#[derive(Debug)]
pub(in crate::components::kafka) struct Schema {
    nodes: Vec<Node>,
    root: Id,
}

#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    String,
    Bytes { decimal: Option<Decimal> },
    Fixed { name: String, size: usize, decimal: Option<Decimal> },
    Enum { name: String, symbols: Vec<String>, by_name: HashMap<String, usize> },
    Array(Id),
    Map(Id),
    Union(Vec<Branch>),
    Record(Record),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    pub(super) precision: usize,
    pub(super) scale: usize,
}

/// One of the types of a union.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) id: Id,
    /// As Avro's JSON calls it: the full name where it has one, else its type.
    pub(super) name: String,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    pub(super) by_name: HashMap<String, usize>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) id: Id,
    pub(super) default: Option<Value>,
}

impl Schema {
    /// Reads a schema; `references` are the texts of those that it refers to, each after those that it needs itself.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub(in crate::components::kafka) fn parse(text: &str, references: &[String]) -> Result<Self, String> {
        let mut compiler = Compiler { nodes: Vec::new(), names: HashMap::new() };
        for reference in references {
            compiler.text(reference)?;
        }
        let root = compiler.text(text)?;
        Ok(Self { nodes: compiler.nodes, root })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    /// What is expected of a value, in words.
    pub(super) fn describe(&self, id: Id) -> String {
        match self.node(id) {
            Node::Bytes { decimal: Some(Decimal { precision, scale }) }
            | Node::Fixed { decimal: Some(Decimal { precision, scale }), .. } => {
                format!("decimal({precision}, {scale})")
            }
            Node::Union(branches) => {
                let names: Vec<_> = branches.iter().map(|branch| branch.name.as_str()).collect();
                format!("one of {}", names.join(", "))
            }
            Node::Enum { name, symbols, .. } => {
                let some: Vec<_> = symbols.iter().take(10).map(String::as_str).collect();
                let more = if symbols.len() > some.len() { ", …" } else { "" };
                format!("{name} ({}{more})", some.join(", "))
            }
            Node::Fixed { name, size, .. } => format!("{name} ({size} bytes)"),
            node => node.name().to_owned(),
        }
    }
}

impl Node {
    /// The full name where it has one, else its type.
    fn name(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes { .. } => "bytes",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Fixed { name, .. } | Self::Enum { name, .. } | Self::Record(Record { name, .. }) => name,
        }
    }
}

struct Compiler {
    nodes: Vec<Node>,
    names: HashMap<String, Id>,
}

impl Compiler {
    fn text(&mut self, text: &str) -> Result<Id, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        self.compile(&value, "")
    }

    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn compile(&mut self, schema: &Value, namespace: &str) -> Result<Id, String> {
        match schema {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            other => Err(format!("expected a type, got {other}")),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<Id, String> {
        if let Some(node) = primitive(name) {
            return Ok(self.add(node));
        }
        let known = self.names.get(&full_name(name, namespace)).or_else(|| self.names.get(name));
        known.copied().ok_or_else(|| format!("no type is called {name:?}"))
    }

    fn union(&mut self, types: &[Value], namespace: &str) -> Result<Id, String> {
        let mut branches: Vec<Branch> = Vec::with_capacity(types.len());
        for schema in types {
            let id = self.compile(schema, namespace)?;
            let name = self.nodes[id].name().to_owned();
            if matches!(self.nodes[id], Node::Union(_)) {
                return Err("a union stands directly in a union".to_owned());
            }
            if branches.iter().any(|branch| branch.name == name) {
                return Err(format!("{name} stands twice in a union"));
            }
            branches.push(Branch { id, name });
        }
        if branches.is_empty() {
            return Err("a union without types".to_owned());
        }
        Ok(self.add(Node::Union(branches)))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<Id, String> {
        let kind = object.get("type").ok_or("an object without \"type\"")?;
        let Value::String(kind) = kind else { return self.compile(kind, namespace) };
        match kind.as_str() {
            "record" | "error" => self.record(object, namespace),
            "enum" => self.enumeration(object, namespace),
            "fixed" => self.fixed(object, namespace),
            "array" => {
                let items = object.get("items").ok_or("an array without \"items\"")?;
                let id = self.compile(items, namespace)?;
                Ok(self.add(Node::Array(id)))
            }
            "map" => {
                let values = object.get("values").ok_or("a map without \"values\"")?;
                let id = self.compile(values, namespace)?;
                Ok(self.add(Node::Map(id)))
            }
            "bytes" => Ok(self.add(Node::Bytes { decimal: decimal(object) })),
            name => self.named(name, namespace),
        }
    }

    /// The full name and the place of a type that can be referred to by its name, also from inside of itself.
    fn begin(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<(String, Id), String> {
        let name = object.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = name.ok_or("a record, enum or fixed without \"name\"")?;
        let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let name = full_name(name, namespace);
        // A union inside of it asks for the name before the rest is known.
        let (fields, by_name) = (Vec::new(), HashMap::new());
        let id = self.add(Node::Record(Record { name: name.clone(), fields, by_name }));
        if self.names.insert(name.clone(), id).is_some() {
            return Err(format!("{name} is defined twice"));
        }
        Ok((name, id))
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<Id, String> {
        let (name, id) = self.begin(object, namespace)?;
        let inner = name.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let given = object.get("fields").and_then(Value::as_array);
        let given = given.ok_or_else(|| format!("{name}: a record without \"fields\""))?;
        let mut fields = Vec::with_capacity(given.len());
        let mut by_name = HashMap::with_capacity(given.len());
        for field in given {
            let field_name = field.get("name").and_then(Value::as_str);
            let field_name = field_name.ok_or_else(|| format!("{name}: a field without \"name\""))?;
            let schema = field.get("type").ok_or_else(|| format!("{name}.{field_name}: no \"type\""))?;
            let at = |error| format!("{name}.{field_name}: {error}");
            let id = self.compile(schema, &inner).map_err(at)?;
            if by_name.insert(field_name.to_owned(), fields.len()).is_some() {
                return Err(format!("{name}.{field_name} is defined twice"));
            }
            fields.push(Field { name: field_name.to_owned(), id, default: field.get("default").cloned() });
        }
        self.nodes[id] = Node::Record(Record { name, fields, by_name });
        Ok(id)
    }

    fn enumeration(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<Id, String> {
        let (name, id) = self.begin(object, namespace)?;
        let symbols = object.get("symbols").and_then(Value::as_array);
        let symbols = symbols.ok_or_else(|| format!("{name}: an enum without \"symbols\""))?;
        let symbols: Option<Vec<String>> =
            symbols.iter().map(|symbol| symbol.as_str().map(str::to_owned)).collect();
        let symbols = symbols.ok_or_else(|| format!("{name}: a symbol that is no text"))?;
        let by_name = symbols.iter().enumerate().map(|(index, symbol)| (symbol.clone(), index)).collect();
        self.nodes[id] = Node::Enum { name, symbols, by_name };
        Ok(id)
    }

    fn fixed(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<Id, String> {
        let (name, id) = self.begin(object, namespace)?;
        let size = object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or_else(|| format!("{name}: a fixed without \"size\""))?;
        self.nodes[id] = Node::Fixed { name, size, decimal: decimal(object) };
        Ok(id)
    }
}

fn primitive(name: &str) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int,
        "long" => Node::Long,
        "float" => Node::Float,
        "double" => Node::Double,
        "string" => Node::String,
        "bytes" => Node::Bytes { decimal: None },
        _ => return None,
    })
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// As Avro says, a logical type that cannot be is ignored.
fn decimal(object: &Map<String, Value>) -> Option<Decimal> {
    if object.get("logicalType")?.as_str()? != "decimal" {
        return None;
    }
    let precision = object.get("precision")?.as_u64().filter(|digits| (1..=MOST_DIGITS).contains(digits))?;
    let scale = object.get("scale").map_or(Some(0), Value::as_u64).filter(|scale| *scale <= precision)?;
    Some(Decimal { precision: usize::try_from(precision).ok()?, scale: usize::try_from(scale).ok()? })
}
