//! A folder of documents, and the component type `bindings.scripted` that does what a test says.

use futures_util::FutureExt as _;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Once};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bindwright::component::{
    Call, Component, ComponentType, InputBinding, Intake, NewEvent, OutputBinding, Reading, Settler, Source,
    register,
};
use bindwright::{
    Body, Client, ClientOptions, Error, ErrorCode, Event, HandOut, Health, Metadata, Outcome, Reply, Request,
    Result, State, Subscription,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

static WORLDS: LazyLock<Mutex<HashMap<String, Arc<World>>>> = LazyLock::new(Mutex::default);

/// What the components of one test do and did. A component is told apart by its name and its setting `say`.
pub(crate) struct World {
    log: Mutex<Vec<String>>,
    health: Mutex<HashMap<String, Health>>,
    streams: Mutex<HashMap<String, Arc<Stream>>>,
    /// Permits for the operation `wait`.
    pub(crate) gate: Semaphore,
}

/// A folder with documents, removed when dropped.
pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) world: Arc<World>,
    id: String,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static REGISTER: Once = Once::new();
        REGISTER.call_once(|| register(scripted()));
        let id = format!("world-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let world = Arc::new(World {
            log: Mutex::default(),
            health: Mutex::default(),
            streams: Mutex::default(),
            gate: Semaphore::new(0),
        });
        WORLDS.lock().insert(id.clone(), world.clone());
        Self { folder: tempfile::tempdir().expect("a folder"), world, id }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A document with these settings (`name: value` each) beside the needed ones.
    pub(crate) fn document(&self, name: &str, say: &str, settings: &[&str]) -> String {
        self.document_with(name, say, settings, "")
    }

    /// Also with lines for `spec`.
    pub(crate) fn document_with(&self, name: &str, say: &str, settings: &[&str], spec: &str) -> String {
        let mut text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\nspec:\n  \
             type: bindings.scripted\n  version: v1\n{spec}  metadata:\n  - name: world\n    value: {}\n  \
             - name: say\n    value: {say}\n",
            self.id
        );
        for setting in settings {
            let (name, value) = setting.split_once(": ").expect("name: value");
            writeln!(text, "  - name: {name}\n    value: {value:?}").expect("a string");
        }
        text
    }

    pub(crate) fn write(&self, name: &str, say: &str) {
        self.write_text(&format!("{name}.yaml"), &self.document(name, say, &[]));
    }

    pub(crate) fn write_text(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).expect("written");
    }

    pub(crate) fn options(&self) -> ClientOptions {
        options(self.folder.path())
    }

    pub(crate) fn client(&self) -> Client {
        Client::open(self.options()).expect("opened")
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        WORLDS.lock().remove(&self.id);
    }
}

pub(crate) fn options(folder: &Path) -> ClientOptions {
    let resources = Some(vec![folder.to_owned()]);
    ClientOptions { resources, hot_reload: Some(true), ..ClientOptions::default() }
}

impl World {
    fn note(&self, what: &str, component: &Scripted) {
        self.log.lock().push(format!("{what} {}", component.title()));
    }

    pub(crate) fn count(&self, entry: &str) -> usize {
        self.log.lock().iter().filter(|one| *one == entry).count()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    /// How `NAME SAY` is from now on; ready when nothing was said.
    pub(crate) fn set_health(&self, title: &str, state: State, error: Option<&str>) {
        let error = error.map(|text| Error::new(ErrorCode::Unavailable, text.to_owned()));
        self.health.lock().insert(title.to_owned(), Health { state, error });
    }

    fn health(&self, title: &str) -> Health {
        self.health.lock().get(title).cloned().unwrap_or(Health::READY)
    }

    /// Lets the input `NAME SAY` receive an event.
    pub(crate) fn receive(&self, title: &str, position: i64) {
        let stream = self.streams.lock().get(title).expect("it reads").clone();
        let body = Body::from(format!("{title} {position}"));
        stream.source.lock().as_ref().expect("it reads").push(vec![NewEvent::new(
            position,
            body,
            Metadata::new(),
        )]);
    }

    /// What the input `NAME SAY` was told is settled.
    pub(crate) fn settled(&self, title: &str) -> Vec<i64> {
        self.streams.lock().get(title).map(|stream| stream.settled.0.lock().clone()).unwrap_or_default()
    }
}

#[derive(Clone)]
struct Scripted {
    world: Arc<World>,
    name: Arc<str>,
    say: String,
    refuse: String,
}

impl Scripted {
    fn of(component: &Component) -> Self {
        let value = |name: &str| {
            let found = component.properties.iter().find(|property| property.name == name);
            found.map(|property| property.value.clone()).unwrap_or_default()
        };
        let world = WORLDS.lock().get(&value("world")).expect("the test's world").clone();
        Self { world, name: component.name.clone(), say: value("say"), refuse: value("refuse") }
    }

    fn title(&self) -> String {
        format!("{} {}", self.name, self.say)
    }

    fn refuses(&self, what: &str) -> Result<()> {
        if self.refuse != what {
            return Ok(());
        }
        Err(Error::new(ErrorCode::InvalidSettings, format!("refuse: the test refuses {what}")))
    }
}

fn scripted() -> ComponentType {
    ComponentType::new("bindings.scripted")
        .check(|component| Scripted::of(component).refuses("settings").map(|()| Vec::new()))
        .output(|component| {
            let scripted = Scripted::of(component);
            scripted.refuses("output")?;
            scripted.world.note("open", &scripted);
            Ok(Arc::new(scripted))
        })
        .input(|component| {
            let scripted = Scripted::of(component);
            scripted.refuses("input")?;
            Ok(Arc::new(scripted))
        })
}

#[async_trait]
impl OutputBinding for Scripted {
    fn operations(&self) -> &[&'static str] {
        &["create", "wait"]
    }

    async fn invoke(&self, call: &Call, _request: Request) -> Result<Reply> {
        self.world.note("invoke", self);
        if &*call.operation == "wait" {
            self.world.gate.acquire().await.expect("a gate").forget();
        }
        let reply = Reply { body: Body::from(self.title()), metadata: Metadata::new() };
        assert_eq!(self.world.count(&format!("close {}", self.title())), 0, "closed under a call");
        Ok(reply)
    }

    fn health(&self) -> Health {
        self.world.health(&self.title())
    }

    async fn close(&self, _deadline: Instant) -> Result<()> {
        self.world.note("close", self);
        Ok(())
    }
}

#[derive(Default)]
struct Ledger(Mutex<Vec<i64>>);

impl Settler for Ledger {
    fn settled(&self, positions: &[i64]) {
        self.0.lock().extend(positions);
    }
}

struct Stream {
    source: Mutex<Option<Source>>,
    settled: Arc<Ledger>,
}

#[async_trait]
impl InputBinding for Scripted {
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>> {
        self.refuses("start")?;
        let settled = Arc::new(Ledger::default());
        let source = Mutex::new(Some(intake.open_source(settled.clone())));
        let stream = Arc::new(Stream { source, settled });
        self.world.streams.lock().insert(self.title(), stream.clone());
        // Whoever has read this may have it receive.
        self.world.note("start", self);
        Ok(Box::new(ScriptedReading { scripted: self.clone(), stream }))
    }
}

struct ScriptedReading {
    scripted: Scripted,
    stream: Arc<Stream>,
}

#[async_trait]
impl Reading for ScriptedReading {
    async fn stop(&mut self, deadline: Instant) -> Result<()> {
        self.scripted.world.note("stopping", &self.scripted);
        let outstanding = || self.stream.source.lock().as_ref().map_or(0, Source::outstanding);
        if let Some(source) = &*self.stream.source.lock() {
            source.close();
        }
        while outstanding() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        *self.stream.source.lock() = None;
        self.scripted.world.note("stop", &self.scripted);
        Ok(())
    }

    fn health(&self) -> Health {
        self.scripted.world.health(&format!("input {}", self.scripted.title()))
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the component of this name says: `NAME SAY`, or the code of the error.
pub(crate) async fn ask(client: &Client, name: &str) -> String {
    match client.invoke_binding(name, "create", Request::default(), None).await {
        Ok(reply) => text(&reply.body),
        Err(error) => error.code().to_string(),
    }
}

pub(crate) fn text(body: &Body) -> String {
    String::from_utf8(body.as_bytes().expect("data").to_vec()).expect("text")
}

pub(crate) async fn subscribe(client: &Client, name: &str) -> Subscription {
    client.subscribe(name, HandOut::LaneAtATime).await.expect("subscribed")
}

/// The next event, in time.
pub(crate) async fn next(subscription: &Subscription) -> Event {
    let batch = subscription.next_batch(1, Some(Duration::from_secs(20))).await.expect("not ended");
    batch.into_iter().next().expect("an event")
}

pub(crate) fn ack(subscription: &Subscription, event: &Event) -> bool {
    subscription.settle(&[(event.token(), Outcome::Ack)]) == 1
}

pub(crate) fn state(client: &Client, name: &str) -> State {
    let components = client.components().now_or_never().expect("known at once").expect("components");
    components.iter().find(|component| component.name == name).expect("a component").state
}
