//! Records that were written with a schema registry, on their way to dispatch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::by_id::{ById, Look};
use super::decode::decode;
use super::encode::Form;
use super::registry::Registry;
use super::schema::Schema;
use super::wire;
use crate::body::Body;
use crate::components::kafka::consumer::Status;
use crate::components::kafka::progress::Alarm;
use crate::components::kafka::settings::Schemas;
use crate::error::Result;
use crate::event::{Cause, NewEvent};

/// How long a partition's events are decoded before the next one has its turn.
pub(in crate::components::kafka) const TURN: Duration = Duration::from_millis(20);
/// The code of what cannot be read, in dead letters and in the component's state.
const UNREADABLE: &str = "UNREADABLE";
/// The number of the schema that an event was written with.
const SCHEMA_ID: &str = "__schemaId";
/// A header of senders that work as we do. It says how the record is encoded, which the event is not any more.
const SCHEMA_TYPE: &str = "valueSchemaType";

/// Decodes for one reader.
#[derive(Clone)]
pub(in crate::components::kafka) struct Incoming {
    schemas: Arc<ById>,
    form: Form,
    /// Of the last event: almost always the next one's.
    last: Option<(u32, Arc<Schema>)>,
}

impl Incoming {
    /// `None` where events stay as they come.
    pub(in crate::components::kafka) fn new(
        settings: &Schemas,
        runtime: &Handle,
        alarm: &Arc<Alarm>,
        status: &Arc<Status>,
    ) -> Result<Option<Self>> {
        let Some(registry) = settings.registry.as_ref().filter(|_| settings.avro_by_default) else {
            return Ok(None);
        };
        let schemas = ById::new(Registry::new(registry)?, runtime.clone(), alarm.clone(), status.clone());
        Ok(Some(Self { schemas, form: Form::of(settings), last: None }))
    }

    /// Makes an event of what was read; `false` when its schema is not here yet. What cannot be read becomes an event
    /// that says so.
    pub(in crate::components::kafka) fn decode(&mut self, event: &mut NewEvent) -> bool {
        let Body::Bytes(record) = &event.body else { return true };
        let (id, body) = match wire::split(record) {
            Ok(parts) => parts,
            Err(text) => {
                event.unreadable = Some(Box::new(Cause::new(UNREADABLE, text)));
                return true;
            }
        };
        let schema = match &self.last {
            Some((last, schema)) if *last == id => schema,
            _ => match self.schemas.look(id) {
                Look::Here(schema) => &self.last.insert((id, schema)).1,
                Look::NotYet => return false,
                Look::Never(error) => {
                    event.unreadable = Some(Box::new(Cause::new(UNREADABLE, error.to_string())));
                    return true;
                }
            },
        };
        match decode(schema, body, self.form) {
            Ok(json) => {
                event.body = Bytes::from(json).into();
                event.metadata.remove(SCHEMA_TYPE);
                event.metadata.add(SCHEMA_ID, i64::from(id));
            }
            Err(misfit) => {
                let text = format!("the value is no body of schema {id}: {misfit}");
                event.unreadable = Some(Box::new(Cause::new(UNREADABLE, text)));
            }
        }
        true
    }

    /// No event waits for a schema any more.
    pub(in crate::components::kafka) fn nothing_waits(&self) {
        self.schemas.nothing_waits();
    }
}
