//! What a client says about its components, and how it changes them.

use std::time::Duration;

use super::{Client, ClientOptions};
use crate::engine::Reload;
use crate::error::{Error, Result};
use crate::policy::PolicyReport;
use crate::runtime;
use crate::transport::{ComponentInfo, TransportKind};

impl Client {
    /// [`open`](Self::open), then [`ready`](Self::ready).
    ///
    /// # Errors
    /// As the two.
    pub async fn open_ready(options: ClientOptions, timeout: Duration) -> Result<Self> {
        let client = Self::open(options)?;
        client.ready(timeout).await?;
        Ok(client)
    }

    /// Opens the output of every component that can send, and waits until each works; so do inputs that somebody
    /// subscribed to. Inputs that nobody subscribed to stay closed and do not count, nor do components whose documents
    /// say `ignoreErrors: true` once they failed.
    ///
    /// # Errors
    /// The error of the first component that failed: its document is wrong, or its backend did not answer within its
    /// `initTimeout` (5 s when the document does not say). When `timeout` is over before that: `UNAVAILABLE` with the
    /// last error, or `TIMEOUT` where there is none, naming the components that are not ready. `FORKED`, `CLOSED`.
    ///
    /// The client stays usable: what is not ready yet goes on connecting.
    pub async fn ready(&self, timeout: Duration) -> Result<()> {
        self.check_open()?;
        let deadline = runtime::moment_in(timeout);
        self.on_runtime(self.0.transport.ready(deadline)).await
    }

    /// All components in scope and how they are, by name. Embedded it is known at once; a sidecar is asked, and
    /// waited for as long as a call is.
    ///
    /// # Errors
    /// Of a sidecar: those of a call that does not reach it, and `UNAUTHENTICATED`; `FORKED`.
    pub async fn components(&self) -> Result<Vec<ComponentInfo>> {
        // Embedded nothing is waited for, so that a child can look at what it inherited.
        if self.transport() != TransportKind::Embedded {
            self.check_process()?;
        }
        let deadline = runtime::moment_in(self.0.timeout);
        self.on_runtime(self.0.transport.components(deadline)).await
    }

    /// The operations of the output binding `name`, in the order shown to users. Opens it, as a call does.
    ///
    /// # Errors
    /// `COMPONENT_NOT_FOUND`, `UNSUPPORTED_DIRECTION`, and whatever keeps the binding from being opened; `FORKED`,
    /// `CLOSED`.
    pub fn operations(&self, name: &str) -> Result<Vec<&'static str>> {
        let (_under_way, output) = self.output(name)?;
        Ok(output.operations().to_vec())
    }

    /// What policies did: how often calls and events were attempted again, and how circuit breakers are.
    pub fn policies(&self) -> PolicyReport {
        self.0.transport.policies()
    }

    /// Documents that were left out and settings that look wrong, with their places.
    pub fn faults(&self) -> Vec<Error> {
        self.0.transport.faults()
    }

    /// Adds the components of a YAML text, all or none of them, and gives their names. They belong to this client,
    /// take precedence over components of the same name in the files, and are closed with the client. What is
    /// subscribed to such a name follows.
    ///
    /// # Errors
    /// `INVALID_MANIFEST`, `INVALID_SETTINGS` and `UNKNOWN_TYPE` as for files, with `<text>` as the file;
    /// `INVALID_MANIFEST` also for a name that this client has added before, and for a text without a component for
    /// this app. `FORKED`, `CLOSED`.
    pub fn add_component(&self, text: &str) -> Result<Vec<String>> {
        self.check_open()?;
        self.0.transport.add_component(text)
    }

    /// Removes a component that was added, so that one of the same name in the files is seen again; or hides one of
    /// the files from this client. Calls under way finish; subscriptions wait for the name to come back.
    ///
    /// # Errors
    /// `COMPONENT_NOT_FOUND`, `FORKED`, `CLOSED`.
    pub fn remove_component(&self, name: &str) -> Result<()> {
        self.check_open()?;
        self.0.transport.remove_component(name)
    }

    /// Looks at the resource files now, instead of within two seconds, and applies what they say, even when they
    /// are just being written. For all clients of the same resources and app id.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` when hot reload is off, `FORKED`, `CLOSED`. What is wrong with the files is no error of this
    /// call, see [`Reload::faults`].
    pub async fn reload(&self) -> Result<Reload> {
        self.check_open()?;
        self.on_runtime(self.0.transport.reload()).await
    }
}
