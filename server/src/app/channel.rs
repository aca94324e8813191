//! The way to the application, whichever protocol it speaks.

use bindwright::Event;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::grpc::GrpcApp;
use super::http::HttpApp;
use super::input::Input;
use super::outcome::{Answer, Unanswered};
use crate::options::{AppProtocol, Options};
use crate::trace::Tracing;

/// What is said of an `APP_API_TOKEN` that cannot be sent; to go without it would be refused by the application.
pub(super) const UNFIT_TOKEN: &str =
    "APP_API_TOKEN cannot be a header: it has a line break or other control characters";

pub(super) struct Channel {
    protocol: Protocol,
    port: u16,
    /// What the application takes at once, where there is a limit.
    permits: Option<Semaphore>,
    probe_timeout: std::time::Duration,
}

enum Protocol {
    Http(Box<HttpApp>),
    Grpc(GrpcApp),
}

impl Channel {
    pub(super) fn new(options: &Options, port: u16, tracing: Tracing) -> Result<Self, String> {
        let protocol = match options.protocol() {
            AppProtocol::Grpc | AppProtocol::Grpcs => Protocol::Grpc(GrpcApp::new(options, port, tracing)?),
            _ => Protocol::Http(Box::new(HttpApp::new(options, port, tracing)?)),
        };
        let permits = options.concurrency().map(|most| Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Ok(Self { protocol, port, permits, probe_timeout: options.app_binding_options_timeout })
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Whether the application wants the events of a binding; an error where it did not say in time.
    pub(super) async fn wants(&self, input: &Input) -> Result<bool, String> {
        // The time that others take of the application is not its own.
        let _permit = self.permit().await;
        let asking = async {
            match &self.protocol {
                Protocol::Http(app) => app.wants(input).await,
                Protocol::Grpc(app) => app.wants(input).await,
            }
        };
        let asked = tokio::time::timeout(self.probe_timeout, asking).await;
        asked.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.probe_timeout)))
    }

    /// Whether the application says that it is well.
    pub(super) async fn is_well(&self) -> bool {
        match &self.protocol {
            Protocol::Http(app) => app.is_well().await,
            Protocol::Grpc(app) => app.is_well().await,
        }
    }

    /// Gives the application an event; whoever does so has a permit.
    pub(super) async fn deliver(&self, input: &Input, event: &Event) -> Result<Answer, Unanswered> {
        match &self.protocol {
            Protocol::Http(app) => app.deliver(input, event).await,
            Protocol::Grpc(app) => app.deliver(event).await,
        }
    }

    /// Waits until the application may be asked something more.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.as_ref()?.acquire().await.ok()
    }
}
