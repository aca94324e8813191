//! Values of calls, on their way to a record that is written with a schema registry.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::encode::{Form, encode};
use super::latest::{Latest, Writer};
use super::registry::Registry;
use super::wire;
use crate::components::kafka::settings::{Schemas, is_avro};
use crate::error::{Error, ErrorCode, Result};
use crate::metadata::Metadata;

/// Encodes for one output.
pub(in crate::components::kafka) struct Outgoing {
    by_default: bool,
    form: Form,
    latest: Option<Latest>,
}

impl Outgoing {
    pub(in crate::components::kafka) fn new(settings: &Schemas, topic: &str) -> Result<Self> {
        let latest = match &settings.registry {
            Some(registry) => {
                let ttl = registry.latest_ttl;
                Some(Latest::new(Registry::new(registry)?, format!("{topic}-value"), ttl))
            }
            None => None,
        };
        Ok(Self { by_default: settings.avro_by_default, form: Form::of(settings), latest })
    }

    /// Whether the value of a call is to be encoded.
    pub(in crate::components::kafka) fn is_wanted(&self, metadata: &Metadata) -> Result<bool> {
        let Some(kind) = metadata.get("valueSchemaType") else { return Ok(self.by_default) };
        is_avro(&kind).ok_or_else(|| {
            let message = format!("valueSchemaType: expected Avro or none, got {kind:?}");
            Error::new(ErrorCode::InvalidRequest, message)
        })
    }

    /// What values are written with now.
    pub(in crate::components::kafka) async fn writer(&self, deadline: Instant) -> Result<Arc<Writer>> {
        match &self.latest {
            Some(latest) => latest.get(deadline).await,
            None => Err(Error::new(
                ErrorCode::InvalidRequest,
                "valueSchemaType: Avro needs schemaRegistryURL in the component's document",
            )),
        }
    }

    /// A record's value: the prefix, and JSON data as the schema has it.
    pub(in crate::components::kafka) fn encode(
        &self,
        writer: &Result<Arc<Writer>>,
        data: &Bytes,
    ) -> Result<Bytes> {
        let writer = match writer {
            Ok(writer) => writer,
            // What is no JSON is not helped by any schema.
            Err(_) if serde_json::from_slice::<IgnoredAny>(data).is_err() => {
                return Err(Error::new(ErrorCode::InvalidRequest, "$: expected JSON to encode as Avro"));
            }
            Err(error) => return Err(error.clone()),
        };
        let mut value = Vec::with_capacity(wire::PREFIX + data.len());
        value.extend_from_slice(&wire::prefix(writer.id));
        encode(&writer.schema, data, self.form, value)
            .map(Bytes::from)
            .map_err(|misfit| Error::new(ErrorCode::InvalidRequest, misfit.to_string()))
    }
}
