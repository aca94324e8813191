//! JSON Schema (draft 7, which editors know best) for the documents of a resources folder.
//!
//! A document that the schema accepts may still be wrong (`check` finds out); one that it refuses is wrong, or written
//! in a way that works and looks like a slip. Tests are in `tests/schema.rs` and `tests/packages/test_schema.py`.

use serde_json::{Map, Value, json};

use super::patterns::{self, any_of};
use super::types::{self, DescribedType};
use crate::error::{Error, ErrorCode, Result};
use crate::policy::or_near;
use crate::settings::{Kind, Setting};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";
const API_VERSION: &str = "dapr.io/v1alpha1";

/// The schema of whole documents: components of every type of this build, and `Resiliency`. Documents of other kinds
/// pass.
pub fn schema() -> Value {
    let types = types::all();
    let mut names: Vec<&str> = types.iter().flat_map(DescribedType::names).collect();
    names.sort_unstable();
    let by_type: Vec<Value> = types
        .iter()
        .map(|found| {
            let is_type = json!({ "properties": { "type": { "pattern": any_of(found.names()) } }, "required": ["type"] });
            json!({ "if": is_type, "then": spec_of(found) })
        })
        .collect();
    let component = document(&json!({
        "description": "What the component is, and how it is set.",
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {
                "description": "What the component connects to.",
                "type": "string",
                "anyOf": [
                    { "enum": names },
                    { "pattern": any_of(names.iter().copied()) },
                    // Documents of other kinds of components may stand in the same folder; nobody here reads them.
                    { "not": { "pattern": r"^([bB][iI][nN][dD][iI][nN][gG][sS]|[sS][eE][cC][rR][eE][tT][sS][tT][oO][rR][eE][sS])\." } },
                ],
            },
            "version": { "description": "`v1`.", "type": "string" },
            "initTimeout": { "description": "How long connecting may take until the component counts as failed. Default `5s`.", "type": "string", "pattern": patterns::DURATION },
            "ignoreErrors": { "description": "The program may start without it. Default false.", "type": "boolean" },
            "metadata": { "description": "The settings.", "type": ["array", "null"], "items": item() },
        },
        "allOf": by_type,
    }));
    let is_kind = |kind: &str| {
        json!({
            "type": "object",
            "properties": { "apiVersion": { "const": API_VERSION }, "kind": { "const": kind } },
            "required": ["apiVersion", "kind"],
        })
    };
    json!({
        "$schema": DRAFT,
        "title": "Components and policies of Bindwright",
        "type": ["object", "null"],
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": { "type": "string", "description": format!("`{API_VERSION}`."), "examples": [API_VERSION] },
            "kind": { "type": "string", "description": "`Component` or `Resiliency`; others are passed over.", "examples": ["Component", "Resiliency"] },
        },
        "allOf": [
            { "if": is_kind("Component"), "then": component },
            { "if": is_kind("Resiliency"), "then": resiliency() },
        ],
    })
}

/// The schema of the documents of one component type.
///
/// # Errors
/// `UNKNOWN_TYPE` when this build has no such type, or it does not describe its settings.
pub fn component_schema(component_type: &str) -> Result<Value> {
    let types: Vec<DescribedType> =
        types::all().into_iter().filter(|found| found.settings.is_some()).collect();
    let is_meant =
        |found: &&DescribedType| found.names().any(|name| name.eq_ignore_ascii_case(component_type));
    let Some(found) = types.iter().find(is_meant) else {
        let names: Vec<&str> = types.iter().flat_map(DescribedType::names).collect();
        let message =
            or_near(format!("no component type is called {component_type:?}"), component_type, &names);
        let advice = format!("Use one of: {}.", names.join(", "));
        return Err(Error::new(ErrorCode::UnknownType, message).advice(advice));
    };
    let names: Vec<&str> = found.names().collect();
    let mut spec = spec_of(found);
    spec["type"] = "object".into();
    spec["required"] = json!(["type"]);
    spec["properties"]["type"] = json!({ "type": "string", "anyOf": [{ "enum": names }, { "pattern": any_of(names.iter().copied()) }] });
    let mut schema = document(&spec);
    schema["$schema"] = DRAFT.into();
    schema["title"] = found.name.into();
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    schema["properties"]["apiVersion"] = json!({ "const": API_VERSION });
    schema["properties"]["kind"] = json!({ "const": "Component" });
    Ok(schema)
}

/// What stands around the `spec` of a component.
fn document(spec: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["metadata", "spec"],
        "properties": {
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": { "description": "What callers name.", "type": "string", "minLength": 1, "pattern": "^[^/%]+$" },
                    "namespace": { "description": "Counts where the environment names a `NAMESPACE`.", "type": "string" },
                },
            },
            "spec": spec,
            "scopes": { "description": "The only app ids that see it. Default: all.", "type": ["array", "null"], "items": { "type": "string" } },
            "auth": {
                "type": ["object", "null"],
                "properties": { "secretStore": { "description": "Where `secretKeyRef` looks.", "type": "string" } },
            },
        },
    })
}

/// One item of `spec.metadata`, whatever the type.
fn item() -> Value {
    let scalar = json!(["string", "number", "boolean", "null"]);
    let reference = json!({
        "description": "A value from the secret store that `auth.secretStore` names.",
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "description": "The secret.", "type": "string", "minLength": 1 },
            "key": { "description": "The key inside of the secret. Default: as the secret.", "type": "string" },
        },
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "description": "The setting, in any case.", "type": "string", "minLength": 1 },
            "value": { "description": "Its value.", "type": scalar },
            "envRef": { "description": "The variable of the environment that has the value.", "type": "string", "minLength": 1 },
            "secretKeyRef": reference,
        },
        "oneOf": [{ "required": ["value"] }, { "required": ["envRef"] }, { "required": ["secretKeyRef"] }],
    })
}

/// What a type adds to `spec`.
fn spec_of(component_type: &DescribedType) -> Value {
    if component_type.settings.is_none() {
        return json!({});
    }
    let settings = component_type.all_settings();
    let required: Vec<&Setting> = settings.iter().filter(|setting| setting.is_required).collect();
    let spellings: Vec<&str> = settings.iter().flat_map(Setting::names).collect();
    let values: Vec<Value> = settings
        .iter()
        .map(|setting| {
            let is_meant = json!({ "properties": { "name": { "pattern": any_of(setting.names()) } } });
            json!({ "if": is_meant, "then": { "properties": { "value": value_of(setting) } } })
        })
        .collect();
    let mut metadata = json!({
        "type": ["array", "null"],
        "items": {
            "properties": {
                "name": { "anyOf": [{ "enum": spellings }, { "pattern": any_of(spellings.iter().copied()) }] },
            },
            "allOf": values,
        },
    });
    let contains = |setting: &&Setting| json!({ "contains": { "required": ["name"], "properties": { "name": { "pattern": any_of(setting.names()) } } } });
    if !required.is_empty() {
        metadata["allOf"] = required.iter().map(contains).collect();
        metadata["type"] = "array".into();
    }
    let mut spec = json!({ "properties": {
        "version": { "type": "string", "pattern": r"^$|^[vV][01]$" },
        "metadata": metadata,
    } });
    if !required.is_empty() {
        spec["required"] = json!(["type", "metadata"]);
    }
    spec
}

/// What the value of a setting looks like.
fn value_of(setting: &Setting) -> Value {
    let mut value = match &setting.kind {
        Kind::Text | Kind::List => json!({ "type": ["string", "number", "boolean", "null"] }),
        Kind::Flag => text_or(&["boolean", "integer", "null"], &any_of(FLAG_WORDS)),
        Kind::StrictFlag => {
            text_or(&["boolean", "integer"], "^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$")
        }
        Kind::Integer { least, most } => {
            let mut value = text_or(&["integer", "null"], patterns::INTEGER);
            limit(&mut value, "minimum", *least, i64::MIN);
            limit(&mut value, "maximum", *most, i64::MAX);
            value
        }
        Kind::Number => text_or(&["number", "null"], patterns::NUMBER),
        Kind::Seconds | Kind::Millis => positive(text_or(&["integer", "null"], patterns::DURATION)),
        Kind::Bytes => positive(text_or(&["number", "null"], patterns::BYTES)),
        // The first part is what editors offer, the second what counts.
        Kind::Words(words) => {
            let words_in_any_case = any_of(words.iter().map(String::as_str));
            json!({ "type": "string", "anyOf": [{ "enum": words }, { "pattern": words_in_any_case }] })
        }
    };
    let map = value.as_object_mut().into_iter();
    map.for_each(|map| describe(map, setting));
    value
}

const FLAG_WORDS: [&str; 13] = ["y", "yes", "true", "t", "on", "1", "n", "no", "false", "f", "off", "0", ""];

fn text_or(types: &[&str], pattern: &str) -> Value {
    let types: Vec<&str> = std::iter::once("string").chain(types.iter().copied()).collect();
    json!({ "type": types, "pattern": pattern })
}

fn positive(mut value: Value) -> Value {
    value["minimum"] = 0.into();
    value
}

fn limit(value: &mut Value, key: &str, limit: i64, none: i64) {
    if limit != none {
        value[key] = limit.into();
    }
}

fn describe(schema: &mut Map<String, Value>, setting: &Setting) {
    let mut text = setting.description.clone();
    if let Some(replacement) = &setting.replacement {
        text = format!("{text} Older; write `{replacement}`.");
        schema.insert("deprecated".to_owned(), true.into());
    }
    schema.insert("description".to_owned(), text.into());
    if let Some(default) = &setting.default {
        schema.insert("default".to_owned(), default.clone().into());
    }
    if setting.is_secret {
        schema.insert("writeOnly".to_owned(), true.into());
    }
}

/// `Resiliency` documents. Their reader has no struct; `tests/schema.rs` compares the two.
fn resiliency() -> Value {
    let scalar = |text: &str| json!({ "description": text, "type": ["string", "null"] });
    let duration = |text: &str| json!({ "description": text, "type": ["string", "integer"], "minimum": 0, "pattern": patterns::DURATION.trim_start_matches("^$|") });
    let number = |text: &str| json!({ "description": text, "type": ["integer", "string"], "pattern": "^[+-]?[0-9]+$" });
    let codes = |text: &str| json!({ "description": text, "type": ["string", "integer"], "pattern": "^$|^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$" });
    let names = json!({
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": { "timeout": scalar("A time-out policy."), "retry": scalar("A retry policy."), "circuitBreaker": scalar("A circuit breaker policy.") },
    });
    let retry = json!({
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "policy": { "description": "`constant` (default) or `exponential`.", "type": "string", "anyOf": [{ "enum": ["constant", "exponential"] }, { "pattern": any_of(["constant", "exponential", ""]) }] },
            "duration": duration("The constant pause. Default `5s`."),
            "maxInterval": duration("The longest pause. Default `60s`."),
            "maxRetries": number("Attempts after the first; negative (default) for ever."),
            "matching": {
                "type": ["object", "null"],
                "additionalProperties": false,
                "properties": { "httpStatusCodes": codes("Which are repeated: `429,500-599`."), "gRPCStatusCodes": codes("Which are repeated: `1-4,14`.") },
            },
            "repeatUnknown": { "description": "Also repeat calls whose outcome is unknown. Default false.", "type": "boolean" },
        },
    });
    let breaker = json!({
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "maxRequests": number("Calls that pass while the breaker is half open. Default 1."),
            "interval": duration("After how long counts begin anew. Default: never."),
            "timeout": duration("How long the breaker stays open. Default `60s`."),
            "trip": { "description": "When it opens, in CEL. Default `consecutiveFailures > 5`.", "type": "string" },
        },
    });
    let by_name = |value: &Value| json!({ "type": ["object", "null"], "additionalProperties": value });
    let target = json!({ "type": ["object", "null"], "additionalProperties": false, "properties": { "inbound": names, "outbound": names } });
    let timeout = duration("How long one attempt may take.");
    json!({
        "type": "object",
        "properties": {
            "metadata": { "type": ["object", "null"] },
            "scopes": { "type": ["array", "null"], "items": { "type": "string" } },
            "spec": {
                "type": ["object", "null"],
                "additionalProperties": false,
                "properties": {
                    "policies": {
                        "type": ["object", "null"],
                        "additionalProperties": false,
                        "properties": { "timeouts": by_name(&timeout), "retries": by_name(&retry), "circuitBreakers": by_name(&breaker) },
                    },
                    "targets": {
                        "type": ["object", "null"],
                        "additionalProperties": false,
                        "properties": { "components": by_name(&target), "apps": { "type": ["object", "null"] }, "actors": { "type": ["object", "null"] } },
                    },
                },
            },
        },
    })
}
