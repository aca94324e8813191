//! Rules about parts of the API: `spec.api.allowed` and `spec.api.denied`.

use bindwright::{Result, Yaml};

/// A part of the API that can be switched off; health never can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Bindings,
    Metadata,
    Shutdown,
}

/// What the API is called over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    name: String,
    version: String,
    protocol: String,
}

impl Rule {
    pub(super) fn all(list: &Yaml) -> Result<Vec<Self>> {
        list.items()?.iter().map(Self::of).collect()
    }

    fn of(item: &Yaml) -> Result<Self> {
        let text = |name| -> Result<String> {
            let field = item.field(name).ok_or_else(|| item.error(&format!("expected a field {name}")))?;
            field.text()
        };
        let rule = Self { name: text("name")?, version: text("version")?, protocol: text("protocol")? };
        if !matches!(rule.protocol.as_str(), "http" | "grpc") {
            return Err(item.error(&format!("protocol: expected http or grpc, got {:?}", rule.protocol)));
        }
        Ok(rule)
    }

    pub(super) fn is_over(&self, protocol: Protocol) -> bool {
        self.protocol == if protocol == Protocol::Http { "http" } else { "grpc" }
    }

    pub(super) fn names(&self, part: Part, over: Protocol) -> bool {
        let name = match part {
            Part::Bindings => "bindings",
            Part::Metadata => "metadata",
            Part::Shutdown => "shutdown",
        };
        let is_version = self.version == "v1" || (over == Protocol::Http && self.version == "v1.0");
        self.name == name && is_version
    }
}
