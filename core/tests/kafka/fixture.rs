//! A component of a test's own: a topic and a group that nobody else uses.

use std::fmt::Write;
use std::time::{Duration, Instant};

use bindwright::{Client, ClientOptions, ErrorCode, Event, HandOut, Outcome, Reply, Request, Subscription};

use crate::server::{self, Cluster};

/// Long enough for a rebalance on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long closing may wait for handlers.
pub const DRAIN: Duration = Duration::from_secs(5);

pub struct Fixture {
    pub bootstrap: String,
    pub topic: String,
    pub group: String,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// On the shared broker; `None` where there is none.
    pub fn new() -> Option<Self> {
        server::shared().map(Self::on)
    }

    /// On the shared broker, with a topic of so many partitions.
    pub async fn with_topic(partitions: i32) -> Option<Self> {
        let fixture = Self::new()?;
        fixture.create_topic(partitions).await;
        Some(fixture)
    }

    /// On a cluster that the test may harm.
    pub async fn harming(cluster: &Cluster, partitions: i32) -> Self {
        let fixture = Self::on(cluster.bootstrap());
        fixture.create_topic(partitions).await;
        fixture
    }

    pub fn on(bootstrap: &str) -> Self {
        trace_if_asked();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fixture = Self {
            bootstrap: bootstrap.to_owned(),
            topic: server::unique("topic"),
            group: server::unique("group"),
            folder,
        };
        fixture.write("");
        fixture
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Writes the component `orders` with further settings, one `name: value` a line.
    pub fn write(&self, settings: &str) {
        let Self { bootstrap, topic, group, .. } = self;
        let mut document = String::new();
        let own = format!(
            "brokers: {bootstrap}\ntopics: {topic}\npublishTopic: {topic}\nconsumerGroup: {group}\nauthType: none\n\
             initialOffset: oldest\n"
        );
        for line in settings.lines().chain(own.lines()) {
            let (name, value) = line.split_once(": ").expect("name: value");
            // A setting of the test stands for the fixture's own.
            if !document.contains(&format!("{{name: {name},")) {
                writeln!(document, "  - {{name: {name}, value: '{value}'}}").expect("written");
            }
        }
        self.write_metadata(&document);
    }

    /// Writes the component `orders` with nothing but this list of settings.
    pub fn write_metadata(&self, metadata: &str) {
        let document = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: orders}}\nspec:\n  \
             type: bindings.kafka\n  version: v1\n  metadata:\n{metadata}"
        );
        std::fs::write(self.folder().join("orders.yaml"), document).expect("written");
    }

    pub fn client(&self) -> Client {
        open(self.folder())
    }
}

/// With `BINDWRIGHT_TEST_TRACE=1` tests tell what the client library and the readers do.
fn trace_if_asked() {
    static ASKED: std::sync::Once = std::sync::Once::new();
    ASKED.call_once(|| {
        if std::env::var_os("BINDWRIGHT_TEST_TRACE").is_some() {
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::DEBUG)
                .with_writer(std::io::stderr)
                .init();
        }
    });
}

pub fn open(folder: &std::path::Path) -> Client {
    let resources = Some(vec![folder.to_owned()]);
    Client::open(ClientOptions { resources, ..ClientOptions::default() }).expect("opened")
}

/// `create` on `orders` with the client's own time-out.
pub async fn send(client: &Client, request: Request) -> bindwright::Result<Reply> {
    client.invoke_binding("orders", "create", request, None).await
}

/// `create` on `orders`, to be answered within so many milliseconds.
pub async fn send_within(client: &Client, millis: u64, request: Request) -> bindwright::Result<Reply> {
    client.invoke_binding("orders", "create", request, Some(Duration::from_millis(millis))).await
}

/// The code with which a call failed.
pub fn code<T: std::fmt::Debug>(result: bindwright::Result<T>) -> ErrorCode {
    result.expect_err("it fails").code()
}

pub async fn subscribe(client: &Client) -> Subscription {
    client.subscribe("orders", HandOut::LaneAtATime).await.expect("subscribed")
}

pub async fn close(client: &Client) {
    client.close(DRAIN).await.expect("closed");
}

/// Pulls events until there are `count`; each is acked.
pub async fn receive(subscription: &Subscription, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        let batch = pull(subscription, count - events.len()).await;
        settle(subscription, &batch, &Outcome::Ack);
        events.extend(batch);
    }
    events
}

/// Waits for at least one event.
pub async fn pull(subscription: &Subscription, most: usize) -> Vec<Event> {
    let batch = subscription.next_batch(most, Some(PATIENCE)).await.expect("not ended");
    assert!(!batch.is_empty(), "no event came; last error: {:?}", subscription.last_error());
    batch
}

/// Pulls until there are `count` events, and settles none.
pub async fn hold(subscription: &Subscription, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        events.extend(pull(subscription, count - events.len()).await);
    }
    events
}

pub fn settle(subscription: &Subscription, events: &[Event], outcome: &Outcome) -> usize {
    let outcomes: Vec<_> = events.iter().map(|event| (event.token(), outcome.clone())).collect();
    subscription.settle(&outcomes)
}

/// Whether nothing more comes, as far as one can tell within a second.
pub async fn is_quiet(subscription: &Subscription) -> bool {
    let batch = subscription.next_batch(1, Some(Duration::from_secs(1))).await;
    batch.is_none_or(|batch| batch.is_empty())
}

pub fn text(event: &Event) -> String {
    String::from_utf8_lossy(event.body().as_bytes().expect("a body")).into_owned()
}

pub fn texts(events: &[Event]) -> Vec<String> {
    events.iter().map(text).collect()
}

/// A number in an event's metadata, such as `__offset`.
pub fn number(event: &Event, name: &str) -> i64 {
    event.metadata().get(name).expect(name).parse().expect("a number")
}

/// Waits until something is so.
pub async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, condition).await;
}

pub async fn until_within(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < deadline, "still not so after {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
