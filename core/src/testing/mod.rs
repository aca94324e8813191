//! The test kit: in-memory fakes in place of every component, for unit tests of programs that use bindings.
//!
//! While a [`Sandbox`] is open, every [`Client`](crate::Client) that is opened in the process gets a fake for each
//! component of its resources, whatever its `spec.type`, also types that this build does not have, and whether or not
//! its secrets and its servers are there. Code under test that opens its own client needs no change.
//!
//! Real are: documents, names, scopes, directions, settings of types that this build has, resiliency policies, the
//! dispatch of events (order, outcomes, redelivery, dead letters, emissions), deadlines, and the texts of errors. Fake
//! is what stands outside: calls are recorded and answered as the test says, events are those that the test pushes.
//! Pauses before another attempt or delivery are cut to [`SandboxOptions::longest_pause`].
//!
//! ```
//! use std::time::Duration;
//! use bindwright::testing::{Answer, Ending, Sandbox, block_on};
//! use bindwright::{Client, ClientOptions, ErrorCode, Metadata, Outcome, Request};
//!
//! # fn main() -> bindwright::Result<()> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # std::fs::write(folder.path().join("a.yaml"), "
//! # apiVersion: dapr.io/v1alpha1
//! # kind: Component
//! # metadata: {name: checkout}
//! # spec: {type: bindings.kafka, version: v1, metadata: [
//! #   {name: brokers, value: 'localhost:9092'}, {name: topics, value: orders}, {name: consumerGroup, value: a},
//! #   {name: publishTopic, value: orders}, {name: saslPassword, secretKeyRef: {name: kafka, key: password}}]}
//! # ").expect("written");
//! # let resources = Some(vec![folder.path().to_owned()]);
//! let sandbox = Sandbox::open()?;
//! let client = Client::open(ClientOptions { resources, ..ClientOptions::default() })?;
//!
//! // What is sent.
//! let order = Request::new(r#"{"orderId":1}"#).with("partitionKey", "1");
//! client.invoke_binding_blocking("checkout", "create", order.clone(), None, || false)?;
//! assert_eq!(sandbox.invocations(Some("checkout"))[0].request, order);
//!
//! // How failures are borne.
//! sandbox.answer("checkout", Answer::error(ErrorCode::Unavailable).times(1));
//! let failed = client.invoke_binding_blocking("checkout", "create", order, None, || false);
//! assert_eq!(failed.expect_err("told to fail").code(), ErrorCode::Unavailable);
//!
//! // What a handler makes of an event.
//! let handled = client.on("checkout", |event| async move {
//!     if event.attempt() == 1 { Outcome::RETRY } else { Outcome::Ack }
//! });
//! client.block_on(handled, || false).expect("not interrupted")?;
//! let pushed = sandbox.push("checkout", r#"{"orderId":2}"#, Metadata::new(), None)?;
//! let progress = block_on(pushed.ended(Duration::from_secs(5)), || false).expect("not interrupted")?;
//! assert_eq!((progress.ending, progress.deliveries), (Some(Ending::Ack), 2));
//! # Ok(()) }
//! ```
//!
//! `stage.rs` has the state that sandbox and fakes share, `script.rs` what calls are answered, `fakes.rs` the fakes,
//! `pushed.rs` what becomes of pushed events. Tests are in `core/tests/testing/`.

mod fakes;
mod pushed;
mod script;
mod stage;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::binding::Request;
use crate::body::Body;
pub use crate::dispatch::Ending;
use crate::error::{ErrorCode, Result};
use crate::manifest::References;
use crate::metadata::Metadata;
use crate::runtime;

pub use pushed::{Progress, PushedEvent};
pub use script::Answer;
pub(crate) use stage::{Stage, current};

/// How a sandbox differs from the world outside.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SandboxOptions {
    /// No pause before another attempt of a call or another delivery of an event is longer, whatever policies,
    /// settings and handlers ask for: 10 ms by default. Their number, time-outs, and the time for which a circuit
    /// breaker stays open are as they say.
    pub longest_pause: Duration,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self { longest_pause: Duration::from_millis(10) }
    }
}

/// One attempt of a call, as a fake saw it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Invocation {
    /// The component's name.
    pub binding: Arc<str>,
    /// What was asked: `create`, `get`, …
    pub operation: Arc<str>,
    /// The data and the metadata that came.
    pub request: Request,
    /// The code of the error that it was answered with; `CANCELLED` when the caller gave up before. `None` when it
    /// succeeded.
    pub error: Option<ErrorCode>,
}

/// Fakes in place of every component of the clients that are opened while it is open.
///
/// One at a time in a process. Clients that were opened before keep their real components; those opened inside keep
/// their fakes when it ends, which then answer `CLOSED` and receive nothing. It ends when it is dropped. A child of
/// `fork` gets a sandbox of its own with the same options, in which nothing has happened yet.
#[derive(Debug)]
pub struct Sandbox {
    stage: Arc<Stage>,
}

impl Sandbox {
    /// Opens a sandbox.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` when there is one already.
    pub fn open() -> Result<Self> {
        Self::with(SandboxOptions::default())
    }

    /// Opens a sandbox with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with(options: SandboxOptions) -> Result<Self> {
        stage::enter(options).map(|stage| Self { stage })
    }

    /// The stage of this process: a child of a fork has one of its own.
    fn stage(&self) -> Arc<Stage> {
        if self.stage.is_inherited() {
            current().unwrap_or_else(|| self.stage.clone())
        } else {
            self.stage.clone()
        }
    }

    /// What was sent, to one binding or to all of them: every attempt that was answered, in the order in which they
    /// began. Dead letters and emissions are among them. They are kept until [`forget`](Self::forget).
    pub fn invocations(&self, binding: Option<&str>) -> Vec<Invocation> {
        self.stage().invocations(binding, None)
    }

    /// Forgets what was sent so far.
    pub fn forget(&self) {
        self.stage().forget();
    }

    /// Waits until so many attempts of a binding, or of one operation of it, were answered; gives all there are by
    /// then. Any executor can poll it. Cancel safe.
    ///
    /// # Errors
    /// `TIMEOUT` when there are fewer after `timeout`, telling what there is instead; `CLOSED` when the sandbox ended.
    pub async fn wait_for(
        &self,
        binding: &str,
        operation: Option<&str>,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Invocation>> {
        self.stage().wait_for(binding, operation, count, timeout).await
    }

    /// Says how calls of a binding are answered; without any, they succeed without data. Answers for a number of times
    /// ([`Answer::times`]) are used up first, in the order in which they were given. Of the others the last one counts
    /// for its operation, and one for an operation counts before one for all.
    ///
    /// The name need not be known yet: clients may be opened later.
    pub fn answer(&self, binding: &str, answer: Answer) {
        self.stage().answer(binding, answer);
    }

    /// Has a binding receive an event. Events of a binding have one partition; under `orderBy: key` they have the
    /// order of their keys. Without a subscription they wait for one. Metadata arrives as given: what a real component
    /// would add, such as Kafka's `__offset`, is the test's to give.
    ///
    /// # Errors
    /// `CLOSED` when the sandbox ended.
    pub fn push(
        &self,
        binding: &str,
        body: impl Into<Body>,
        metadata: Metadata,
        key: Option<&str>,
    ) -> Result<PushedEvent> {
        self.stage().push(binding, body.into(), metadata, key)
    }

    /// Ends it, as dropping does.
    pub fn end(&self) {
        stage::leave(&self.stage());
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a future of this module to its end on the calling thread; `None` when `interrupted`, which is asked about
/// twenty times a second, said yes.
pub fn block_on<F: Future>(future: F, interrupted: impl FnMut() -> bool) -> Option<F::Output> {
    let runtime = runtime::handle().ok()?;
    runtime::block_on(&runtime, future, None, interrupted)
}

/// How documents are read for an engine with this stage, or with none.
pub(crate) fn references(stage: Option<&Arc<Stage>>) -> References {
    if stage.is_some() { References::LeftOut } else { References::Resolved }
}
