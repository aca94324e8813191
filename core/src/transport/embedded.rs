//! The bindings inside this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tracing::Instrument;

use super::view::View;
use super::{ComponentInfo, Transport};
use crate::binding::{Call, Driver, OutputBinding, Reply, Request};
use crate::dispatch::{HandOut, Subscription};
use crate::engine::Reload;
use crate::error::{Error, ErrorCode, Result};
use crate::health::Health;
use crate::instances::Opened;
use crate::policy::{Outbound, PolicyReport};
use crate::telemetry;

/// A client's components: its own, and its share of the engine.
pub(crate) struct Embedded(Arc<View>);

impl Embedded {
    pub(crate) fn open(
        resources: &[PathBuf],
        app_id: Option<&str>,
        hot_reload: bool,
        denied: Vec<String>,
    ) -> Result<Self> {
        Ok(Self(View::open(resources, app_id, hot_reload, denied)?))
    }
}

#[async_trait]
impl Transport for Embedded {
    fn output(&self, name: &str) -> Result<Arc<dyn OutputBinding>> {
        self.0.output(name)
    }

    async fn subscribe(&self, name: &str, hand_out: HandOut) -> Result<Subscription> {
        self.0.subscribe(name, hand_out).await
    }

    async fn components(&self, _: Instant) -> Result<Vec<ComponentInfo>> {
        Ok(self.0.components())
    }

    fn policies(&self) -> PolicyReport {
        self.0.policies()
    }

    fn faults(&self) -> Vec<Error> {
        self.0.faults()
    }

    fn add_component(&self, text: &str) -> Result<Vec<String>> {
        self.0.add(text)
    }

    fn remove_component(&self, name: &str) -> Result<()> {
        self.0.remove(name)
    }

    async fn reload(&self) -> Result<Reload> {
        let view = self.0.clone();
        // Reads files, and is called by whoever wants to.
        let looked = tokio::task::spawn_blocking(move || view.engine().reload()).await;
        looked.unwrap_or_else(|error| {
            Err(Error::new(ErrorCode::Internal, format!("looking at the resources: {error}")))
        })
    }

    async fn ready(&self, deadline: Instant) -> Result<()> {
        self.0.ready(deadline).await
    }

    async fn close(&self, deadline: Instant) {
        self.0.close(deadline).await;
    }
}

/// A component's output as callers get it: every call, of whichever component, passes here.
pub(crate) struct Guarded {
    pub(crate) name: Arc<str>,
    /// Closed when the last one who uses it lets go.
    pub(crate) binding: Opened,
    /// Retries, breaker and timeout around `binding`, where a document asks for any.
    pub(crate) policy: Option<Outbound>,
}

impl Guarded {
    fn check(&self, operation: &str) -> Result<()> {
        if self.binding.knows(operation) {
            return Ok(());
        }
        let known = self.binding.operations();
        Err(Error::new(
            ErrorCode::UnsupportedOperation,
            format!("unknown operation {operation:?}; known operations: {}", known.join(", ")),
        ))
    }

    fn named(&self, call: &Call, error: Error) -> Error {
        error.component(self.name.clone()).operation(&call.operation)
    }
}

#[async_trait]
impl OutputBinding for Guarded {
    fn operations(&self) -> &[&'static str] {
        self.binding.operations()
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        self.check(&call.operation).map_err(|error| self.named(call, error))?;
        let span = telemetry::invocation(&self.name, &call.operation, Some(&request.metadata));
        let result = match &self.policy {
            None => self.binding.invoke(call, request).instrument(span).await,
            // Boxed, so that calls without a policy do not pay for its room.
            Some(policy) => Box::pin(policy.invoke(&*self.binding, call, request)).instrument(span).await,
        };
        result.map_err(|error| self.named(call, error))
    }

    async fn invoke_many(&self, call: &Call, requests: Vec<Request>) -> Vec<Result<Reply>> {
        if let Err(error) = self.check(&call.operation) {
            let error = self.named(call, error);
            return requests.iter().map(|_| Err(error.clone())).collect();
        }
        let span = telemetry::invocation(&self.name, &call.operation, None);
        let mut results = match &self.policy {
            None => self.binding.invoke_many(call, requests).instrument(span).await,
            Some(policy) => {
                Box::pin(policy.invoke_many(&*self.binding, call, requests)).instrument(span).await
            }
        };
        for result in &mut results {
            if let Err(error) = result {
                *error = self.named(call, error.clone());
            }
        }
        results
    }

    fn health(&self) -> Health {
        let health = self.binding.health();
        match &self.policy {
            None => health,
            Some(policy) => policy.health(health),
        }
    }

    fn is_repeatable(&self, operation: &str) -> bool {
        self.binding.is_repeatable(operation)
    }

    fn driver(&self) -> Option<&dyn Driver> {
        self.binding.driver()
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        self.binding.close(deadline).await
    }
}
