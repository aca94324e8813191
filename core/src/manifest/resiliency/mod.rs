//! `Resiliency` documents: from nodes to [`Policies`].
//!
//! The format is Dapr's, with one field more: `repeatUnknown`. A document with a value that cannot be used is left out
//! as a whole; a field that nobody knows is only warned about. Whether the names of policies and components in it
//! exist is asked when all documents are read. Tests are in `tests.rs`.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::Scope;
use super::document::{self, Audience};
use super::fields;
use super::yaml::{Content, Flaw, Node};
use crate::error::Error;
use crate::policy::{BreakerSettings, Codes, Matching, Name, Names, Policies, Retry, Target, Trip};
use crate::settings::{nearest, parse_duration};

const KIND: &str = "Resiliency";
/// The most faults of one document that are told at once.
const MAX_FAULTS: usize = 100;

/// Whether a document is one of these.
pub(super) fn is_meant(root: &Node) -> bool {
    let says = |field, wanted| fields::text_field(root, field).is_ok_and(|text| text == wanted);
    says("apiVersion", document::API_VERSION) && says("kind", KIND)
}

/// What one document says.
#[derive(Default)]
pub(super) struct Document {
    /// `None` when it has faults.
    pub(super) policies: Option<Policies>,
    /// What is wrong, and what looks wrong.
    pub(super) faults: Vec<Error>,
}

/// Reads a document, with all its faults.
pub(super) fn read(root: &Node, file: &Arc<str>, scope: &Scope<'_>) -> Document {
    let mut reader = Reader { file, faults: Vec::new(), is_usable: true };
    let policies = reader.document(root, scope);
    Document { policies: policies.filter(|_| reader.is_usable), faults: reader.faults }
}

/// A named policy or target.
struct Entry<'a> {
    name: String,
    /// For messages.
    path: String,
    key: &'a Node,
    value: &'a Node,
}

struct Reader<'a> {
    file: &'a Arc<str>,
    faults: Vec<Error>,
    /// Whether no fault but warnings was found.
    is_usable: bool,
}

impl Reader<'_> {
    fn document(&mut self, root: &Node, scope: &Scope<'_>) -> Option<Policies> {
        let nothing = Node::nothing();
        let metadata = self.keep(fields::mapping_field(root, "metadata"))?.unwrap_or(&nothing);
        let audience = self.keep(Audience::of(root, metadata))?;
        if !audience.includes(scope) {
            tracing::debug!(target: "bindwright", file = %self.file, line = root.line, "passed over: not in scope");
            return Some(Policies::default());
        }
        let mut policies = Policies::default();
        policies.documents.push(self.keep(fields::text_field(metadata, "name"))?);
        self.warn_of_unknown(root, "", &["apiVersion", "kind", "metadata", "scopes", "spec"]);
        let Some(spec) = self.section(root, "", "spec", &["policies", "targets"]) else {
            return Some(policies);
        };
        let known = ["timeouts", "retries", "circuitBreakers"];
        if let Some(section) = self.section(spec, "spec", "policies", &known) {
            self.policies(section, &mut policies);
        }
        if let Some(targets) = self.section(spec, "spec", "targets", &["apps", "actors", "components"]) {
            self.targets(targets, &mut policies);
        }
        Some(policies)
    }

    fn policies(&mut self, section: &Node, policies: &mut Policies) {
        for Entry { name, path, value, .. } in self.entries(section, "spec.policies", "timeouts") {
            if let Some(timeout) = self.duration(value, &path) {
                policies.timeouts.insert(name, timeout);
            }
        }
        for Entry { name, path, value, .. } in self.entries(section, "spec.policies", "retries") {
            if let Some(retry) = self.retry(value, &path) {
                policies.retries.insert(name, retry);
            }
        }
        for Entry { name, path, value, .. } in self.entries(section, "spec.policies", "circuitBreakers") {
            if let Some(breaker) = self.breaker(value, &path) {
                policies.breakers.insert(name, breaker);
            }
        }
    }

    fn retry(&mut self, node: &Node, path: &str) -> Option<Retry> {
        let known = ["policy", "duration", "maxInterval", "maxRetries", "matching", "repeatUnknown"];
        self.mapping(node, path)?;
        self.warn_of_unknown(node, path, &known);
        let duration = self.duration_field(node, path, "duration", Duration::from_secs(5))?;
        let maximum = self.duration_field(node, path, "maxInterval", Duration::from_mins(1))?;
        // Any negative number means for ever, as in Dapr.
        let retries = match self.number_field(node, path, "maxRetries", -1)? {
            ..0 => None,
            number => Some(u32::try_from(number).unwrap_or(u32::MAX)),
        };
        let retry = match self.text_field(node, path, "policy")?.to_lowercase().as_str() {
            "" | "constant" => Retry::constant(duration, retries),
            "exponential" => Retry::exponential(maximum, retries),
            other => {
                let at = node.field("policy").map_or(node, |node| node);
                self.fault(at, path, "policy", &format!("expected constant or exponential, got {other:?}"));
                return None;
            }
        };
        let flag = fields::bool_field(node, "repeatUnknown");
        let repeat_unknown = self.keep(flag.map_err(|flaw| below(path, &flaw)))?;
        Some(Retry { matching: self.matching(node, path)?, repeat_unknown, ..retry })
    }

    fn matching(&mut self, node: &Node, path: &str) -> Option<Matching> {
        let Some(section) = self.section(node, path, "matching", &["httpStatusCodes", "gRPCStatusCodes"])
        else {
            return Some(Matching::ALL);
        };
        let path = format!("{path}.matching");
        let http = self.codes(section, &path, "httpStatusCodes", 100..=599);
        let grpc = self.codes(section, &path, "gRPCStatusCodes", 0..=16);
        Some(Matching { http: http?, grpc: grpc? })
    }

    fn codes(
        &mut self,
        node: &Node,
        path: &str,
        field: &str,
        range: std::ops::RangeInclusive<u16>,
    ) -> Option<Codes> {
        let text = self.text_field(node, path, field)?;
        let codes = Codes::parse(&text, *range.start(), *range.end());
        codes.map_err(|why| self.fault(node.field(field).map_or(node, |node| node), path, field, &why)).ok()
    }

    fn breaker(&mut self, node: &Node, path: &str) -> Option<BreakerSettings> {
        self.mapping(node, path)?;
        self.warn_of_unknown(node, path, &["maxRequests", "interval", "timeout", "trip"]);
        let defaults = BreakerSettings::default();
        let max_requests = self.number_field(node, path, "maxRequests", 1)?;
        let interval = self.duration_field(node, path, "interval", defaults.interval)?;
        let timeout = self.duration_field(node, path, "timeout", defaults.timeout)?;
        let Ok(max_requests) = u32::try_from(max_requests) else {
            let at = node.field("maxRequests").map_or(node, |node| node);
            self.fault(at, path, "maxRequests", "expected a whole number from 0 to 4294967295");
            return None;
        };
        let trip = self.trip(node, path)?;
        // 0 means the default, as in Dapr.
        let timeout = if timeout.is_zero() { defaults.timeout } else { timeout };
        Some(BreakerSettings { max_requests: max_requests.max(1), interval, timeout, trip })
    }

    fn trip(&mut self, node: &Node, path: &str) -> Option<Trip> {
        let text = self.text_field(node, path, "trip")?;
        let Some(at) = node.field("trip").filter(|_| !text.is_empty()) else {
            return Some(Trip::default());
        };
        match Trip::parse(&text) {
            Ok((trip, doubt)) => {
                if let Some(doubt) = doubt {
                    self.warn(at, format!("{path}.trip: {doubt}"), "Correct the expression.");
                }
                Some(trip)
            }
            Err(why) => {
                self.fault(at, path, "trip", &why);
                None
            }
        }
    }

    fn targets(&mut self, section: &Node, policies: &mut Policies) {
        for Entry { name, path, key, value } in self.entries(section, "spec.targets", "components") {
            if self.mapping(value, &path).is_none() {
                continue;
            }
            self.warn_of_unknown(value, &path, &["inbound", "outbound"]);
            let outbound = self.names(value, &path, "outbound");
            let inbound = self.names(value, &path, "inbound");
            let place = fields::place_of(key, self.file);
            policies.targets.insert(name, Target { outbound, inbound, place });
        }
    }

    /// The policies that one direction names; an empty `{}` names none, and that is something else than no field.
    fn names(&mut self, target: &Node, path: &str, way: &str) -> Option<Names> {
        let node = self.section(target, path, way, &["timeout", "retry", "circuitBreaker"])?;
        let path = format!("{path}.{way}");
        let mut name = |field| {
            let text = self.text_field(node, &path, field).filter(|text| !text.is_empty())?;
            let place = fields::place_of(node.field(field)?, self.file);
            Some(Name { text, place })
        };
        Some(Names { timeout: name("timeout"), retry: name("retry"), breaker: name("circuitBreaker") })
    }

    /// The entries of a mapping from names to something. Nothing stands for an empty mapping.
    fn entries<'a>(&mut self, node: &'a Node, path: &str, field: &str) -> Vec<Entry<'a>> {
        let Some(section) = self.keep(mapping(node, path, field)).flatten() else { return Vec::new() };
        let entry = |(name, key, value): (&str, _, _)| Entry {
            name: name.to_owned(),
            path: format!("{path}.{field}.{name}"),
            key,
            value,
        };
        section.entries().into_iter().map(entry).collect()
    }

    /// A field that holds a mapping; warns of what it should not hold.
    fn section<'a>(&mut self, node: &'a Node, path: &str, field: &str, known: &[&str]) -> Option<&'a Node> {
        let section = self.keep(mapping(node, path, field)).flatten()?;
        self.warn_of_unknown(section, &joined(path, field), known);
        Some(section)
    }

    /// Takes a node that must be a mapping; nothing stands for an empty one.
    fn mapping(&mut self, node: &Node, path: &str) -> Option<()> {
        let is_mapping = node.is_null() || matches!(node.content, Content::Mapping(_));
        let flaw = || node.flaw(format!("{path}: expected a mapping of fields"));
        self.keep(is_mapping.then_some(()).ok_or_else(flaw))
    }

    fn text_field(&mut self, node: &Node, path: &str, field: &str) -> Option<String> {
        self.keep(fields::text_field(node, field).map_err(|flaw| below(path, &flaw)))
    }

    fn number_field(&mut self, node: &Node, path: &str, field: &str, default: i64) -> Option<i64> {
        let text = self.text_field(node, path, field)?;
        if text.is_empty() {
            return Some(default);
        }
        let at = node.field(field).map_or(node, |node| node);
        let fault = |_| self.fault(at, path, field, &format!("expected a whole number, got {text:?}"));
        text.parse().map_err(fault).ok()
    }

    fn duration_field(
        &mut self,
        node: &Node,
        path: &str,
        field: &str,
        default: Duration,
    ) -> Option<Duration> {
        match node.field(field) {
            Some(value) if !value.is_null() => self.duration(value, &joined(path, field)),
            _ => Some(default),
        }
    }

    fn duration(&mut self, node: &Node, path: &str) -> Option<Duration> {
        let text = fields::text_of(node).map_err(|flaw| node.flaw(format!("{path}: {}", flaw.message)));
        let text = self.keep(text)?;
        let duration = if text.is_empty() {
            Err("expected a duration such as 5s, or a whole number of milliseconds")
        } else {
            parse_duration(&text, Duration::from_millis(1))
        };
        let flaw = |why| node.flaw(format!("{path}: {why}, got {text:?}"));
        self.keep(duration.map_err(flaw))
    }

    fn warn_of_unknown(&mut self, node: &Node, path: &str, known: &[&str]) {
        for (key, _) in node.own_entries() {
            let Content::Scalar { text, .. } = &key.content else { continue };
            if text == "<<" || known.iter().any(|known| known.eq_ignore_ascii_case(text)) {
                continue;
            }
            let unknown = format!("{}: no field of a Resiliency document", joined(path, text));
            let message = match nearest(text, known.iter().copied()) {
                Some(near) => format!("{unknown}; did you mean {near:?}"),
                None => unknown,
            };
            self.warn(key, message, "Correct or remove it; the document counts as if it were not there.");
        }
    }

    fn warn(&mut self, node: &Node, message: String, advice: &'static str) {
        if self.faults.len() >= MAX_FAULTS {
            return;
        }
        self.faults.push(node.flaw(message).into_error(self.file).advice(advice));
    }

    fn fault(&mut self, node: &Node, path: &str, field: &str, why: &str) {
        self.keep::<()>(Err(node.flaw(format!("{path}.{field}: {why}"))));
    }

    fn keep<T>(&mut self, result: Result<T, Flaw>) -> Option<T> {
        let advice = "Correct the document; until then none of its policies and targets counts.";
        let note = |flaw: Flaw| {
            self.is_usable = false;
            if self.faults.len() >= MAX_FAULTS {
                return;
            }
            self.faults.push(flaw.into_error(self.file).advice(advice));
        };
        result.map_err(note).ok()
    }
}

fn mapping<'a>(node: &'a Node, path: &str, field: &str) -> Result<Option<&'a Node>, Flaw> {
    fields::mapping_field(node, field).map_err(|flaw| below(path, &flaw))
}

fn below(path: &str, flaw: &Flaw) -> Flaw {
    Flaw { message: joined(path, &flaw.message).into(), line: flaw.line, column: flaw.column }
}

fn joined(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}
