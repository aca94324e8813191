//! What the sending side knows of its topic and its cluster: asked for as soon as it is opened, looked after ever
//! since, by one task. Calls that need it wait for what that task finds.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::watch;

use super::cluster::ClusterHealth;
use super::failure;
use super::guard::log;
use super::partition::Partition;
use super::refusal;
use super::sender::Sender;
use super::settings::KafkaSettings;
use crate::error::{Error, ErrorCode, Result};

/// How long a topic may be unknown before it counts as missing: a broker that makes topics on first use first says
/// that there is none.
const TOPIC_PATIENCE: Duration = Duration::from_secs(1);
/// How long one look may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);
/// How often a cluster that works is looked at. A broker that died closes its connection, which is noticed at
/// once; one that has frozen, or a topic that was deleted, is noticed by this only.
const PAUSE: Duration = Duration::from_secs(3);
const PAUSE_WHEN_AWAY: Duration = Duration::from_millis(200);
const PAUSE_WHEN_MISSING: Duration = Duration::from_secs(1);
const PAUSE_WHEN_UNKNOWN: Duration = Duration::from_millis(50);
/// So many looks without an answer, one after the other, mean that the cluster is away.
const UNANSWERED: u32 = 2;

pub(super) struct Topology {
    sender: Arc<Sender>,
    failures: watch::Receiver<Option<Failure>>,
    task: tokio::task::JoinHandle<()>,
}

/// A look that found why the topic cannot be used, and when it began: calls that came later do not care.
#[derive(Debug, Clone)]
struct Failure {
    began: Instant,
    error: Error,
}

impl Topology {
    /// Starts to look.
    pub(super) fn new(
        sender: Arc<Sender>,
        settings: Arc<KafkaSettings>,
        runtime: &tokio::runtime::Handle,
    ) -> Self {
        let (tell, failures) = watch::channel(None);
        let weak = Arc::downgrade(&sender);
        let watch = Watch { tell, settings, unknown_since: None, unanswered: 0, judged: None };
        let task = runtime.spawn(look_after(weak, watch));
        Self { sender, failures, task }
    }

    /// The topic's partitions; waits for them the first time, until the deadline.
    pub(super) async fn partitions(&self, deadline: Instant) -> Result<Arc<Vec<Arc<Partition>>>> {
        if let Some(partitions) = self.sender.partitions.load_full() {
            return Ok(partitions);
        }
        match tokio::time::timeout_at(deadline.into(), self.discovered()).await {
            Ok(found) => found,
            Err(_) => Err(self.unreachable("the topic's partitions could not be asked for")),
        }
    }

    async fn discovered(&self) -> Result<Arc<Vec<Arc<Partition>>>> {
        let arrived = Instant::now();
        let mut failures = self.failures.clone();
        let mut no_token = pin!(self.sender.health.no_token.notified());
        // From here on no failure is missed.
        no_token.as_mut().enable();
        // Do not wait for the next look's time.
        self.sender.health.changed.notify_one();
        loop {
            if let Some(partitions) = self.sender.partitions.load_full() {
                return Ok(partitions);
            }
            if let Some(error) = self.sender.health.refusal().or_else(|| self.sender.health.without_token()) {
                return Err(error);
            }
            tokio::select! {
                changed = failures.changed() => if changed.is_err() {
                    return Err(Error::new(ErrorCode::Closed, "the component is closed"));
                },
                () = no_token.as_mut() => {
                    no_token.set(self.sender.health.no_token.notified());
                    continue;
                }
            }
            if let Some(failure) = &*failures.borrow_and_update()
                && failure.began >= arrived
            {
                return Err(failure.error.clone());
            }
        }
    }

    /// Why every broker refuses us, or `UNAVAILABLE` with the client library's own words.
    pub(super) fn unreachable(&self, what: &'static str) -> Error {
        if let Some(refusal) = self.sender.health.refusal() {
            return refusal;
        }
        if self.sender.health.is_locked_out() {
            return Error::new(ErrorCode::Unavailable, what)
                .backend("the token to log in with has not come yet");
        }
        self.sender.health.explain(Error::new(ErrorCode::Unavailable, what))
    }

    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

struct Watch {
    /// Tells calls of every look that was not in vain: of none that found the cluster away.
    tell: watch::Sender<Option<Failure>>,
    settings: Arc<KafkaSettings>,
    unknown_since: Option<Instant>,
    unanswered: u32,
    /// When the last verdict was asked for.
    judged: Option<Instant>,
}

/// Looks after a sender: a cluster that went away, a producer that broke, a topic that grew or disappeared.
async fn look_after(sender: Weak<Sender>, mut watch: Watch) {
    let refresh = watch.settings.metadata_refresh;
    loop {
        let Some(looking) = sender.upgrade() else { return };
        let health = looking.health.clone();
        let began = Instant::now();
        let mut look = tokio::task::spawn_blocking(move || look(&looking));
        let looked = loop {
            tokio::select! {
                looked = &mut look => break looked,
                // Brokers that refuse us leave the look itself without an answer.
                () = health.suspected.notified() => {
                    let verdict = watch.verdict(&health).await;
                    let Some(sender) = sender.upgrade() else { return };
                    watch.judge(&sender, verdict);
                }
            }
        };
        let Some(looking) = sender.upgrade() else { return };
        let pause = match looked.unwrap_or(Err(RDKafkaErrorCode::Fail)) {
            Ok(()) => watch.found(),
            Err(code) => watch.failed(&looking, code, began),
        };
        drop(looking);
        let _ = tokio::time::timeout(pause.min(refresh), health.changed.notified()).await;
    }
}

/// Blocks for as long as a question to the cluster may take.
fn look(sender: &Sender) -> Result<(), RDKafkaErrorCode> {
    if sender.health.is_fatal()
        && let Err(error) = sender.replace_producers()
    {
        log!(error, "{error}");
    }
    let count = sender.connection().topic_partitions(sender.topic(), LOOK_PATIENCE)?;
    sender.set_partitions(usize::try_from(count).unwrap_or_default());
    sender.health.mark_reachable();
    sender.pump_all();
    Ok(())
}

impl Watch {
    fn found(&mut self) -> Duration {
        (self.unknown_since, self.unanswered) = (None, 0);
        self.tell.send_replace(None);
        PAUSE
    }

    async fn verdict(&mut self, health: &ClusterHealth) -> Option<Error> {
        self.judged = Some(Instant::now());
        refusal::verdict(health.failures(), &self.settings).await
    }

    /// Tells everybody who waits that every broker refuses us, or takes that back.
    fn judge(&self, sender: &Sender, verdict: Option<Error>) {
        // A look may have found the cluster well meanwhile.
        let verdict = verdict.filter(|_| sender.health.failures().are_all());
        let refused = verdict.clone();
        if !sender.health.refuse(verdict) {
            return;
        }
        if let Some(error) = refused {
            let error = sender.health.refusal().unwrap_or(error);
            log!(warn, topic = sender.topic(), "every broker refuses: {error}");
            sender.give_back(&error);
            self.tell.send_replace(Some(Failure { began: Instant::now(), error }));
        }
    }

    fn failed(&mut self, sender: &Sender, code: RDKafkaErrorCode, began: Instant) -> Duration {
        let unknown = [
            RDKafkaErrorCode::UnknownTopicOrPartition,
            RDKafkaErrorCode::UnknownTopic,
            RDKafkaErrorCode::LeaderNotAvailable,
        ];
        if unknown.contains(&code) {
            self.unanswered = 0;
            sender.health.mark_answered();
            let since = *self.unknown_since.get_or_insert(began);
            if code == RDKafkaErrorCode::LeaderNotAvailable || since.elapsed() <= TOPIC_PATIENCE {
                return PAUSE_WHEN_UNKNOWN;
            }
            self.refuse(
                sender,
                failure::from_code(code, &format!("topic {:?} does not exist", sender.topic())),
                began,
            );
            return PAUSE_WHEN_MISSING;
        }
        self.unknown_since = None;
        let topic = sender.topic();
        let error = match code {
            RDKafkaErrorCode::TopicAuthorizationFailed => failure::denied_to_write(topic, code),
            _ => failure::from_code(code, &format!("topic {topic:?} cannot be used")),
        };
        // Of a login or of encryption that failed, the verdict on all brokers tells.
        let away = [ErrorCode::Unavailable, ErrorCode::Unauthenticated, ErrorCode::TlsFailed];
        if !away.contains(&error.code()) {
            if code as i32 > 0 {
                sender.health.mark_answered();
            }
            self.refuse(sender, error, began);
            return PAUSE_WHEN_MISSING;
        }
        if self.judged.is_none_or(|judged| judged.elapsed() >= refusal::PAUSE) {
            sender.health.suspected.notify_one();
        }
        self.unanswered += 1;
        sender.give_back_without_token();
        if self.unanswered >= UNANSWERED {
            let error =
                Error::new(ErrorCode::Unavailable, "the cluster does not answer").backend(code.to_string());
            sender.health.trouble(error);
        }
        PAUSE_WHEN_AWAY
    }

    fn refuse(&self, sender: &Sender, error: Error, began: Instant) {
        sender.health.trouble(error.clone());
        self.tell.send_replace(Some(Failure { began, error }));
    }
}
