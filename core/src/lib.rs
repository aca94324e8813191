//! Bindings to outside systems inside your own process.
//!
//! An application names an outside system in component YAML (the format that Dapr uses) and calls
//! [`Client::invoke_binding`], or receives events with [`Client::subscribe`] and [`Client::on`].
//!
//! This file is the public API, read from top to bottom. How the parts work together is in
//! `docs/architecture.md`.
#![deny(unsafe_code)]

mod binding;
mod body;
mod client;
mod components;
mod dispatch;
mod engine;
mod error;
mod event;
pub mod event_loop;
mod health;
#[cfg_attr(not(feature = "kafka"), allow(dead_code))] // who asks over HTTP is left out
mod http;
#[cfg_attr(not(feature = "kafka"), allow(dead_code, unused_imports))]
pub mod inspect;
mod instances;
pub mod logs;
mod manifest;
mod metadata;
mod policy;
pub mod process;
mod queue;
mod registry;
mod runtime;
mod secrets;
mod settings;
mod telemetry;
pub mod testing;
#[cfg_attr(not(feature = "kafka"), allow(dead_code))] // as above
mod tls;
mod transport;

pub use binding::{Encoding, Reply, Request};
pub use body::Body;
pub use client::{Client, ClientOptions, DEFAULT_DRAIN, DEFAULT_TIMEOUT};
pub use dispatch::{Batch, HandOut, OrderBy, Subscription};
pub use engine::Reload;
pub use error::{Error, ErrorCode, Place, Result, Retry, Status};
pub use event::{Cause, Emission, Event, Outcome, SettleToken};
pub use health::{Health, State};
pub use manifest::Yaml;
pub use metadata::{Metadata, MetadataValue};
pub use policy::{BreakerUse, Ledger, PolicyReport, PolicyUse};
pub use telemetry::TraceContext;
pub use transport::{ComponentInfo, SidecarOptions, TransportKind};

/// For component types of your own: implement the traits and [`register`](component::register) the type.
pub mod component {
    pub use crate::binding::{Call, Driver, InputBinding, OutputBinding, Reading};
    pub use crate::dispatch::{Intake, SettledPrefix, Settler, Source};
    pub use crate::event::NewEvent;
    pub use crate::manifest::{Component, Direction, Manifest, Origin, Property};
    pub use crate::policy::Backoff;
    pub use crate::registry::{ComponentType, names, register};
    pub use crate::settings::{
        ByteSize, CommaList, Flag, Kind, Millis, RuntimeSettings, Seconds, Secret, Setting, StrictFlag, Way,
        decode,
    };
}

/// Servers inside this process, for development and tests.
#[cfg(feature = "kafka")]
pub mod dev {
    pub use crate::components::kafka::dev_broker::{DEFAULT_PORT, DevBroker};
}
