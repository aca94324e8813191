//! The latest schema of one subject: fetched once for all who wait for it, and kept for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::registry::Registry;
use super::schema::Schema;
use crate::components::kafka::guard::log;
use crate::error::{Error, ErrorCode, Result};
use crate::runtime;

/// How long an old schema stands in when the registry does not answer, before it is asked again.
const STAND_IN: Duration = Duration::from_secs(10);

/// What values are written with.
pub(in crate::components::kafka) struct Writer {
    pub(super) id: u32,
    pub(super) schema: Schema,
}

type Answer = Option<Result<Arc<Writer>>>;

pub(super) struct Latest(Arc<Shared>);

struct Shared {
    registry: Registry,
    subject: String,
    /// Zero keeps nothing.
    ttl: Duration,
    kept: ArcSwapOption<Kept>,
    /// The question that is under way.
    asking: Mutex<Option<watch::Receiver<Answer>>>,
}

struct Kept {
    writer: Arc<Writer>,
    until: Instant,
}

impl Latest {
    pub(super) fn new(registry: Registry, subject: String, ttl: Duration) -> Self {
        let (kept, asking) = (ArcSwapOption::empty(), Mutex::new(None));
        Self(Arc::new(Shared { registry, subject, ttl, kept, asking }))
    }

    /// The schema, from memory or from the registry. Who gives up waiting does not disturb the others.
    pub(super) async fn get(&self, deadline: Instant) -> Result<Arc<Writer>> {
        if let Some(writer) = self.0.kept() {
            return Ok(writer);
        }
        let mut answer = self.ask()?;
        let answered = tokio::time::timeout_at(deadline.into(), answer.wait_for(Option::is_some)).await;
        let subject = &self.0.subject;
        match answered {
            Ok(Ok(answer)) => answer.clone().unwrap_or_else(|| Err(lost(subject))),
            Ok(Err(_)) => Err(lost(subject)),
            Err(_) => {
                let message =
                    format!("the schema registry did not tell of subject {subject:?} before the deadline");
                Err(Error::new(ErrorCode::Timeout, message))
            }
        }
    }

    /// Joins the question that is under way, or asks.
    fn ask(&self) -> Result<watch::Receiver<Answer>> {
        let runtime = runtime::handle()?;
        let mut asking = self.0.asking.lock();
        if let Some(answer) = &*asking {
            return Ok(answer.clone());
        }
        let (tell, answer) = watch::channel(None);
        // Somebody else may have had the answer a moment ago.
        if let Some(writer) = self.0.kept() {
            tell.send_replace(Some(Ok(writer)));
            return Ok(answer);
        }
        *asking = Some(answer.clone());
        let shared = self.0.clone();
        runtime.spawn(async move {
            // Also when it panics, nobody may join a question that is not under way.
            let done = Done(&shared);
            let result = shared.fetch().await;
            drop(done);
            tell.send_replace(Some(result));
        });
        Ok(answer)
    }
}

impl Shared {
    fn kept(&self) -> Option<Arc<Writer>> {
        let kept = self.kept.load();
        kept.as_ref().filter(|kept| Instant::now() < kept.until).map(|kept| kept.writer.clone())
    }

    async fn fetch(&self) -> Result<Arc<Writer>> {
        match self.registry.latest(&self.subject).await {
            Ok((id, schema)) => {
                let writer = Arc::new(Writer { id, schema });
                if !self.ttl.is_zero() {
                    self.keep(&writer, self.ttl);
                }
                Ok(writer)
            }
            // A schema that was the latest a while ago is still one of the subject's.
            Err(error) if error.code() == ErrorCode::Unavailable => match self.kept.load_full() {
                Some(old) => {
                    let subject = &self.subject;
                    log!(warn, subject, "values are written with the schema known so far: {error}");
                    self.keep(&old.writer, self.ttl.min(STAND_IN));
                    Ok(old.writer.clone())
                }
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn keep(&self, writer: &Arc<Writer>, time: Duration) {
        let until = runtime::moment_in(time);
        self.kept.store(Some(Arc::new(Kept { writer: writer.clone(), until })));
    }
}

struct Done<'a>(&'a Shared);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.asking.lock().take();
    }
}

fn lost(subject: &str) -> Error {
    Error::new(ErrorCode::Internal, format!("the question for subject {subject:?} got lost"))
}
