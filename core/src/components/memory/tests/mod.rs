//! The rules of a memory component, seen through the public client.

mod receiving;
mod sending;

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::failures::Failures;
use super::registered::Hold;
use crate::binding::{Reply, Request};
use crate::body::Body;
use crate::client::{Client, ClientOptions};
use crate::dispatch::{HandOut, Subscription};
use crate::error::{ErrorCode, Result};
use crate::event::{Event, Outcome};
use crate::health::State;

const PATIENCE: Duration = Duration::from_secs(10);

/// A folder with the component `orders` on a queue that nobody else uses.
struct Folder {
    folder: tempfile::TempDir,
    queue: String,
}

impl Folder {
    /// With further settings, `name: value` each.
    fn new(settings: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let queue = format!("queue-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = Self { folder: tempfile::tempdir().expect("a temporary folder"), queue };
        folder.write("orders", settings);
        folder
    }

    /// Writes a component of the same queue.
    fn write(&self, name: &str, settings: &[&str]) {
        let mut document = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  \
             type: bindings.memory\n  version: v1\n  metadata:\n  - {{name: queue, value: {}}}\n",
            self.queue
        );
        for setting in settings {
            let (name, value) = setting.split_once(": ").expect("name: value");
            writeln!(document, "  - {{name: {name}, value: '{value}'}}").expect("written");
        }
        std::fs::write(self.folder.path().join(format!("{name}.yaml")), document).expect("written");
    }

    fn client(&self) -> Client {
        open(self.folder.path())
    }
}

fn open(folder: &Path) -> Client {
    let resources = Some(vec![folder.to_owned()]);
    Client::open(ClientOptions { resources, ..ClientOptions::default() }).expect("opened")
}

async fn call(client: &Client, operation: &str, request: Request) -> Result<Reply> {
    client.invoke_binding("orders", operation, request, Some(PATIENCE)).await
}

async fn send(client: &Client, text: &str) -> Result<Reply> {
    call(client, "create", Request::new(text.to_owned())).await
}

async fn send_keyed(client: &Client, text: &str, key: &str) -> Reply {
    call(client, "create", Request::new(text.to_owned()).with("partitionKey", key)).await.expect("sent")
}

async fn number(client: &Client, operation: &str) -> usize {
    let reply = call(client, operation, Request::default()).await.expect("answered");
    String::from_utf8_lossy(reply.body.as_bytes().expect("a number")).parse().expect("a number")
}

async fn subscribe(client: &Client, hand_out: HandOut) -> Subscription {
    client.subscribe("orders", hand_out).await.expect("subscribed")
}

async fn next(subscription: &Subscription) -> Event {
    let batch = subscription.next_batch(1, Some(PATIENCE)).await.expect("not ended");
    batch.into_iter().next().expect("an event came")
}

/// The next event, acked.
async fn receive(subscription: &Subscription) -> String {
    let event = next(subscription).await;
    assert_eq!(settle(subscription, &event, Outcome::Ack), 1);
    text(&event)
}

fn settle(subscription: &Subscription, event: &Event, outcome: Outcome) -> usize {
    subscription.settle(&[(event.token(), outcome)])
}

fn text(event: &Event) -> String {
    String::from_utf8_lossy(event.body().as_bytes().expect("a body")).into_owned()
}

/// Whether nothing comes, as far as one can tell within a moment.
async fn is_quiet(subscription: &Subscription) -> bool {
    let batch = subscription.next_batch(1, Some(Duration::from_millis(50))).await;
    batch.is_none_or(|batch| batch.is_empty())
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.expect_err("it fails").code()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
