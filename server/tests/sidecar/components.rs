//! A component that fails as it is told, takes its time, and notes what it did.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Once};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bindwright::component::{
    Call, ComponentType, InputBinding, Intake, NewEvent, OutputBinding, Reading, Settler, Source, register,
};
use bindwright::{Body, Error, ErrorCode, Health, Metadata, Reply, Request, Result};
use parking_lot::Mutex;

use super::fixture::Fixture;

/// What was done for each note that a request names; tests name notes of their own.
static NOTES: LazyLock<Mutex<HashMap<String, Arc<Note>>>> = LazyLock::new(Mutex::default);

/// Of one test.
#[derive(Default)]
pub struct Note {
    /// The data of the calls that came, in their order.
    pub data: Mutex<Vec<Vec<u8>>>,
    /// The metadata of the last one.
    pub metadata: Mutex<Metadata>,
    /// Calls that wait now.
    pub waiting: AtomicUsize,
}

impl Note {
    pub fn of(name: &str) -> Arc<Self> {
        NOTES.lock().entry(name.to_owned()).or_default().clone()
    }
}

/// A server with the component `odd` beside `echo`.
pub fn fixture() -> Fixture {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        register(ComponentType::new("bindings.test.odd").output(|_| Ok(Arc::new(Odd))));
        register(ComponentType::new("bindings.test.asker").input(|component| {
            let note = component.properties.iter().find(|one| one.name == "note").unwrap();
            Ok(Arc::new(Asker { note: note.value.clone() }))
        }));
    });
    let fixture = Fixture::new();
    fixture.component("odd", "bindings.test.odd", &[], "");
    fixture
}

/// `create` notes the data under the name in `note`, after `pause` milliseconds; `code` fails with the error code that
/// `code` names; `wait` ends when its caller gives up; `large` answers as many bytes as `size` says, `left` how
/// many seconds are left of its time.
struct Odd;

#[async_trait]
impl OutputBinding for Odd {
    fn operations(&self) -> &[&'static str] {
        &["create", "code", "wait", "large", "left"]
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        let text = |name: &str| request.metadata.get(name).unwrap_or_default().into_owned();
        let note = Note::of(&text("note"));
        match &*call.operation {
            "create" => {
                tokio::time::sleep(Duration::from_millis(text("pause").parse().unwrap_or(0))).await;
                let data = request.body.as_bytes().map(|data| data.to_vec()).unwrap_or_default();
                *note.metadata.lock() = request.metadata.clone();
                note.data.lock().push(data);
                Ok(Reply { body: request.body, metadata: request.metadata })
            }
            "code" => {
                let wanted = text("code");
                let code = ErrorCode::ALL.iter().find(|code| code.as_str() == wanted).unwrap();
                Err(Error::new(*code, "as it was told").backend("the backend's words"))
            }
            "left" => {
                let left = call.deadline.saturating_duration_since(Instant::now());
                Ok(Reply { body: Body::from(left.as_secs().to_string()), metadata: Metadata::new() })
            }
            "wait" => {
                let _waiting = Waiting::begin(&note.waiting);
                std::future::pending().await
            }
            _ => {
                let body = Body::from("x".repeat(text("size").parse().unwrap()));
                Ok(Reply { body, metadata: Metadata::new() })
            }
        }
    }

    async fn close(&self, _: Instant) -> Result<()> {
        Ok(())
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One event, whose answer is noted under the name in `note`.
struct Asker {
    note: String,
}

#[async_trait]
impl InputBinding for Asker {
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>> {
        let source = intake.open_source(Arc::new(Answered(Note::of(&self.note))));
        source.push(vec![NewEvent::new(0, Body::from("question"), Metadata::new())]);
        Ok(Box::new(Asking(source)))
    }
}

struct Answered(Arc<Note>);

impl Settler for Answered {
    fn settled(&self, _: &[i64]) {}

    fn replied(&self, _: i64, reply: Body) {
        self.0.data.lock().push(reply.as_bytes().map(|data| data.to_vec()).unwrap_or_default());
    }
}

struct Asking(Source);

#[async_trait]
impl Reading for Asking {
    async fn stop(&mut self, _: Instant) -> Result<()> {
        self.0.close();
        Ok(())
    }

    fn health(&self) -> Health {
        Health::READY
    }
}
