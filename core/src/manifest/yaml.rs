//! YAML text to a small tree of nodes that know their place. Tests are in `tests.rs`.
//!
//! Input comes from outside, so a document can cost no more than its size: nesting is limited to [`MAX_DEPTH`] levels,
//! the values of a document to [`MAX_VALUES`], and aliases share the node they name, with a budget of
//! [`ALIASED_FOR_EACH_BYTE`] for what they may stand for. Nothing here recurses deeper than that limit, whatever the
//! text. What a scalar means is in `scalar.rs`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput, Tag};

use crate::error::{Error, ErrorCode, Place};

/// The deepest nesting of lists and mappings, counted through aliases.
const MAX_DEPTH: usize = 64;
/// The most lists, mappings and scalars of one document: about 200 bytes are kept for each.
const MAX_VALUES: usize = 2_000_000;
/// How many bytes of text all aliases of a document may stand for together, for each byte that the document has: what
/// is made of them is kept. Structure counts too, see [`extent`].
const ALIASED_FOR_EACH_BYTE: usize = 8;
/// So many are free.
const ALIASED_AT_LEAST: usize = 16 << 10;

/// A part of a file that holds one document.
pub(super) struct Part<'a> {
    pub(super) bytes: &'a [u8],
    /// The line of the file that the part begins with.
    pub(super) first_line: usize,
}

/// Splits a file at every line that begins with `---`, before any YAML is read, so that one broken document
/// does not take the others with it. The rest of such a line is not read, except on a file's first line.
pub(super) fn split(text: &[u8]) -> Vec<Part<'_>> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut parts = Vec::new();
    let (mut start, mut end, mut first_line) = (0, 0, 1);
    for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if index > 0 && line.starts_with(b"---") {
            parts.push(Part { bytes: &text[start..end], first_line });
            start = end + line.len();
            first_line = index + 2;
        }
        end += line.len();
    }
    parts.push(Part { bytes: &text[start..], first_line });
    parts
}

/// Something that is wrong at a place of the file.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) message: Cow<'static, str>,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Flaw {
    pub(super) fn into_error(self, file: &Arc<str>) -> Error {
        let place = Place { file: Arc::clone(file), line: self.line, column: self.column };
        Error::new(ErrorCode::InvalidManifest, self.message).place(place)
    }
}

/// A value of a document, shared by the aliases that name it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) line: usize,
    pub(super) column: usize,
    /// Levels below and including this node; bounds every recursion, dropping included.
    height: usize,
    /// Bytes that the text of this node would have about, aliased ones counted each time.
    size: usize,
}

/// How a scalar was written, which decides what it can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Neither quoted, nor a block, nor tagged: the text may stand for something that is not text.
    Plain,
    /// Text, whatever it looks like.
    Text,
    /// Tagged as something that is not text: `!!int` and the like.
    Tagged(Kind),
}

/// What a tag can ask for beside text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Integer,
    Float,
    /// `!!binary`, which is not read.
    Binary,
}

#[derive(Debug)]
pub(super) enum Content {
    Scalar { text: String, form: Form },
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    /// The value of a mapping's field, by its name in any case. Of several the last one counts; then the
    /// mappings merged in with `<<` are asked. `None` for anything but a mapping.
    pub(super) fn field(&self, name: &str) -> Option<&Rc<Node>> {
        let Content::Mapping(entries) = &self.content else { return None };
        let named =
            |wanted: &str| entries.iter().rev().find(|(key, _)| key.is_key(wanted)).map(|(_, value)| value);
        named(name).or_else(|| {
            let merged = named("<<")?;
            match &merged.content {
                Content::Sequence(sources) => sources.iter().find_map(|source| source.field(name)),
                _ => merged.field(name),
            }
        })
    }

    /// What a field that is not there stands for.
    pub(super) const fn nothing() -> Self {
        let content = Content::Scalar { text: String::new(), form: Form::Plain };
        Self { content, line: 1, column: 1, height: 1, size: 1 }
    }

    /// The fields of a mapping as they are written, those merged in with `<<` left out.
    pub(super) fn own_entries(&self) -> &[(Rc<Node>, Rc<Node>)] {
        if let Content::Mapping(entries) = &self.content { entries } else { &[] }
    }

    /// The fields of a mapping by their exact names: each once, the last one given, merged ones at the end.
    pub(super) fn entries(&self) -> Vec<(&str, &Node, &Node)> {
        let mut entries = Vec::new();
        self.collect(&mut entries, &mut HashMap::new());
        entries
    }

    fn collect<'a>(
        &'a self,
        entries: &mut Vec<(&'a str, &'a Node, &'a Node)>,
        taken: &mut HashMap<&'a str, usize>,
    ) {
        let inherited = entries.len();
        for (key, value) in self.own_entries() {
            let Content::Scalar { text, .. } = &key.content else { continue };
            match taken.get(text.as_str()) {
                _ if text == "<<" => {}
                // What is merged in never takes the place of what is written out.
                Some(index) if *index < inherited => {}
                Some(index) => entries[*index] = (text, key, value),
                None => {
                    taken.insert(text, entries.len());
                    entries.push((text, key, value));
                }
            }
        }
        let Some(merged) = self.field("<<") else { return };
        let sources = match &merged.content {
            Content::Sequence(sources) => sources.as_slice(),
            _ => std::slice::from_ref(merged),
        };
        for source in sources {
            source.collect(entries, taken);
        }
    }

    /// Nothing, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, form: Form::Plain | Form::Tagged(Kind::Null) }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub(super) fn flaw(&self, message: impl Into<Cow<'static, str>>) -> Flaw {
        Flaw { message: message.into(), line: self.line, column: self.column }
    }

    fn is_key(&self, name: &str) -> bool {
        matches!(&self.content, Content::Scalar { text, .. } if text.eq_ignore_ascii_case(name))
    }
}

/// What a part holds.
pub(super) struct Document {
    /// `None` when there is nothing but comments.
    pub(super) root: Option<Rc<Node>>,
    /// Set when more follows that is not read.
    pub(super) unread: Option<Flaw>,
}

/// Reads the document of a part.
pub(super) fn compose(part: &Part<'_>) -> Result<Document, Flaw> {
    let text = std::str::from_utf8(part.bytes).map_err(|error| not_utf8(part, error.valid_up_to()))?;
    // A directive stands before a `---`, where the file was split; alone it is no document to YAML.
    let is_empty = |line: &str| matches!(line.trim_start().as_bytes().first(), None | Some(b'#' | b'%'));
    if text.split(['\n', '\r']).all(is_empty) {
        return Ok(Document { root: None, unread: None });
    }
    let mut composer = Composer {
        parser: Parser::new_from_str(text),
        lines_before: part.first_line - 1,
        anchors: HashMap::new(),
        may_be_aliased: ALIASED_AT_LEAST + ALIASED_FOR_EACH_BYTE * text.len(),
        aliased: 0,
        values: 0,
    };
    composer.document()
}

fn not_utf8(part: &Part<'_>, at: usize) -> Flaw {
    let before = String::from_utf8_lossy(&part.bytes[..at]);
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    let message = if part.first_line == 1 && matches!(part.bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]) {
        "expected UTF-8, got a file in UTF-16"
    } else {
        "expected UTF-8, got a byte that is none"
    };
    Flaw {
        message: message.into(),
        line: part.first_line + before.matches('\n').count(),
        column: last_line.chars().count() + 1,
    }
}

/// Builds the tree from the parser's events.
struct Composer<'a> {
    parser: Parser<'a, StrInput<'a>>,
    lines_before: usize,
    /// Finished nodes by the parser's anchor number, so that no alias can name a node that contains it.
    anchors: HashMap<usize, Rc<Node>>,
    may_be_aliased: usize,
    aliased: usize,
    values: usize,
}

impl<'a> Composer<'a> {
    fn document(&mut self) -> Result<Document, Flaw> {
        let mut root = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(Document { root, unread: None }),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                // Dapr reads no further either, but says nothing about it.
                _ if root.is_some() => {
                    let message =
                        "expected the end of the document after `...`: begin another one with `---`";
                    return Ok(Document { root, unread: Some(self.flaw(at, message)) });
                }
                event => root = Some(self.node(event, at, 1)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Marker), Flaw> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start)),
            Some(Err(error)) => Err(self.flaw(*error.marker(), format!("not valid YAML: {}", error.info()))),
            None => Ok((Event::StreamEnd, Marker::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, at: Marker, depth: usize) -> Result<Rc<Node>, Flaw> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.flaw(at, format!("the document has more than {MAX_VALUES} values")));
        }
        let (anchor, content) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let form = form_of(style, tag.as_deref());
                (anchor, Content::Scalar { text: text.into_owned(), form })
            }
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(at, depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(at, depth)?),
            Event::Alias(anchor) => return self.alias(anchor, at, depth),
            // The parser never sends another event in place of a node.
            _ => return Err(self.flaw(at, "not valid YAML: expected a value")),
        };
        let (height, size) = extent(&content);
        let (line, column) = self.position(at);
        let node = Rc::new(Node { content, line, column, height, size });
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn sequence(&mut self, at: Marker, depth: usize) -> Result<Content, Flaw> {
        self.check_depth(at, depth)?;
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::Sequence(items)),
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, at: Marker, depth: usize) -> Result<Content, Flaw> {
        self.check_depth(at, depth)?;
        let mut entries = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Content::Mapping(entries));
            }
            let key = self.node(event, at, depth + 1)?;
            let (event, at) = self.next()?;
            entries.push((key, self.node(event, at, depth + 1)?));
        }
    }

    fn alias(&mut self, anchor: usize, at: Marker, depth: usize) -> Result<Rc<Node>, Flaw> {
        let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
            return Err(self.flaw(at, "an alias names a value that contains it"));
        };
        self.aliased = self.aliased.saturating_add(node.size);
        if self.aliased > self.may_be_aliased {
            let message = format!("aliases stand for too much, more than {} bytes", self.may_be_aliased);
            return Err(self.flaw(at, message));
        }
        self.check_depth(at, depth + node.height - 1)?;
        Ok(node)
    }

    fn check_depth(&self, at: Marker, depth: usize) -> Result<(), Flaw> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(self.flaw(at, format!("nested more than {MAX_DEPTH} levels deep")))
    }

    fn position(&self, at: Marker) -> (usize, usize) {
        // The parser counts lines from 1 and columns from 0, both in characters.
        (self.lines_before + at.line(), at.col() + 1)
    }

    fn flaw(&self, at: Marker, message: impl Into<Cow<'static, str>>) -> Flaw {
        let (line, column) = self.position(at);
        Flaw { message: message.into(), line, column }
    }
}

/// `!!int 5` and `!!bool true` are read as what they say; any other tag asks for the text as it is.
fn form_of(style: ScalarStyle, tag: Option<&Tag>) -> Form {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { Form::Plain } else { Form::Text };
    };
    match tag.suffix.as_str() {
        _ if !tag.is_yaml_core_schema() => Form::Text,
        "null" => Form::Tagged(Kind::Null),
        "bool" => Form::Tagged(Kind::Bool),
        "int" => Form::Tagged(Kind::Integer),
        "float" => Form::Tagged(Kind::Float),
        "binary" => Form::Tagged(Kind::Binary),
        _ => Form::Text,
    }
}

/// Height and size. Every node counts a few bytes beside its text, for its quotes, its comma and what holds it.
fn extent(content: &Content) -> (usize, usize) {
    const BESIDE_TEXT: usize = 16;
    let over = |(height, size): (usize, usize), node: &Node| {
        (height.max(node.height), size.saturating_add(node.size))
    };
    let (height, size) = match content {
        Content::Scalar { text, .. } => (0, text.len()),
        Content::Sequence(items) => items.iter().fold((0, 0), |sum, item| over(sum, item)),
        Content::Mapping(entries) => {
            entries.iter().fold((0, 0), |sum, (key, value)| over(over(sum, key), value))
        }
    };
    (height + 1, size.saturating_add(BESIDE_TEXT))
}
