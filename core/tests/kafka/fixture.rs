//! A component of a test's own: a topic and a group that nobody else uses.

use std::time::Duration;

use bindwright::{Client, ClientOptions, Event, HandOut, Outcome, Subscription};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::server;

/// Long enough for a rebalance on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

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

    pub fn on(bootstrap: &str) -> Self {
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

    /// Writes the component `orders` with further settings, one `name: value` a line.
    pub fn write(&self, settings: &str) {
        let Self { bootstrap, topic, group, .. } = self;
        let mut document = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: orders}}\nspec:\n  \
             type: bindings.kafka\n  version: v1\n  metadata:\n"
        );
        let own = format!(
            "brokers: {bootstrap}\ntopics: {topic}\npublishTopic: {topic}\nconsumerGroup: {group}\nauthType: none\n\
             initialOffset: oldest\n"
        );
        for line in settings.lines().chain(own.lines()) {
            let (name, value) = line.split_once(": ").expect("name: value");
            // A setting of the test stands for the fixture's own.
            if !document.contains(&format!("{{name: {name},")) {
                document += &format!("  - {{name: {name}, value: '{value}'}}\n");
            }
        }
        std::fs::write(self.folder.path().join("orders.yaml"), document).expect("written");
    }

    pub fn client(&self) -> Client {
        let resources = Some(vec![self.folder.path().to_owned()]);
        Client::open(ClientOptions { resources, ..ClientOptions::default() }).expect("opened")
    }

    pub async fn create_topic(&self, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create().expect("admin client");
        let topic = NewTopic::new(&self.topic, partitions, TopicReplication::Fixed(1));
        let made = admin.create_topics(&[topic], &AdminOptions::new()).await.expect("answered");
        assert!(made[0].is_ok(), "{made:?}");
    }
}

/// Pulls events until there are `count`; each is acked.
pub async fn receive(subscription: &Subscription, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        let batch = subscription.next_batch(count - events.len(), Some(PATIENCE)).await.expect("not ended");
        assert!(!batch.is_empty(), "only {} of {count} events came", events.len());
        for event in batch {
            subscription.settle(&[(event.token(), Outcome::Ack)]);
            events.push(event);
        }
    }
    events
}

pub async fn subscribe(client: &Client) -> Subscription {
    client.subscribe("orders", HandOut::LaneAtATime).await.expect("subscribed")
}

pub fn text(event: &Event) -> String {
    String::from_utf8_lossy(event.body().as_bytes().expect("a body")).into_owned()
}
