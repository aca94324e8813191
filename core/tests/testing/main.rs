//! The test kit, as tests of Rust programs use it. A sandbox is for the whole process, so these tests take turns.

mod calls;
mod events;
mod lifetime;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bindwright::testing::{Ending, PushedEvent, Sandbox, block_on};
use bindwright::{Body, Client, ClientOptions, ErrorCode, Metadata, Outcome, Reply, Request, Result};
use parking_lot::{Mutex, MutexGuard};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

static TURN: Mutex<()> = Mutex::new(());

/// A folder of documents, and the turn to use a sandbox.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

pub(crate) fn document(name: &str, kind: &str, settings: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\n\
         spec: {{type: {kind}, version: v1, metadata: [{settings}]}}\n---\n"
    )
}

pub(crate) fn memory(name: &str, settings: &str) -> String {
    document(name, "bindings.memory", settings)
}

impl Bench {
    pub(crate) fn new(documents: &[String]) -> Self {
        let turn = TURN.lock();
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.yaml"), documents.concat()).expect("written");
        Self { folder, _turn: turn }
    }

    pub(crate) fn client(&self) -> Client {
        open(self.folder.path())
    }
}

fn open(folder: &Path) -> Client {
    let resources = Some(vec![folder.to_owned()]);
    Client::open(ClientOptions { resources, ..ClientOptions::default() }).expect("opened")
}

pub(crate) fn invoke(client: &Client, name: &str, operation: &str, body: &'static str) -> Result<Reply> {
    client.invoke_binding_blocking(name, operation, Request::new(body), Some(PATIENCE), || false)
}

pub(crate) fn bodies(sandbox: &Sandbox, binding: &str) -> Vec<Body> {
    sandbox.invocations(Some(binding)).into_iter().map(|one| one.request.body).collect()
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.expect_err("an error").code()
}

/// Handles the events of `orders` until the client is closed.
pub(crate) fn handle(client: &Client, handler: impl Fn(&str, u32) -> Outcome + Send + Sync + 'static) {
    let handler = Arc::new(handler);
    let on = client.on("orders", move |event| {
        let handler = handler.clone();
        async move {
            let body = event.body().as_bytes().cloned().unwrap_or_default();
            handler(std::str::from_utf8(&body).expect("text"), event.attempt())
        }
    });
    client.block_on(on, || false).expect("not interrupted").expect("subscribed");
}

pub(crate) fn push(sandbox: &Sandbox, body: &'static str) -> PushedEvent {
    sandbox.push("orders", body, Metadata::new(), None).expect("pushed")
}

/// How the event ended, and after how many deliveries.
pub(crate) fn end(pushed: &PushedEvent) -> (Ending, u32) {
    let progress = block_on(pushed.ended(PATIENCE), || false).expect("not interrupted").expect("ended");
    (progress.ending.expect("ended"), progress.deliveries)
}
