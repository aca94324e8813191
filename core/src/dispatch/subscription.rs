//! A handler's side: pull a batch, report outcomes, stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::attachment::{Attachment, ReadFrom};
use super::settling::{self, Job, Outputs};
use super::{Rules, SubscriptionState};
use crate::binding::InputBinding;
use crate::error::{Error, ErrorCode, Result};
use crate::event::{Event, Outcome, SettleToken};
use crate::health::{Health, State};
use crate::runtime;

/// How events leave their lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOut {
    /// One lane a batch, and nothing more of it until the batch is settled. For handlers of single events.
    LaneAtATime,
    /// As many as there are, from every lane, and nothing more of these lanes until the batch is settled. For handlers
    /// of many events at once.
    Batches,
    /// As many as there are, from every lane. For programs that pull, collect and settle in their own time; order
    /// is what they make of it.
    Freely,
}

/// Attached to an input binding: the events it receives, to be pulled and settled.
///
/// Shared between threads; a clone is the same subscription.
#[derive(Clone)]
pub struct Subscription(Arc<Attached>);

/// A subscription that does not live for it.
pub(crate) struct WeakSubscription(Weak<Attached>);

impl WeakSubscription {
    /// The subscription, unless it was dropped; it may have ended.
    pub(crate) fn upgrade(&self) -> Option<Subscription> {
        self.0.upgrade().map(Subscription)
    }

    /// The subscription, unless it was dropped or has ended.
    pub(crate) fn live(&self) -> Option<Subscription> {
        self.upgrade().filter(|subscription| !subscription.0.has_ended())
    }
}

struct Attached {
    state: Arc<SubscriptionState>,
    attachment: Attachment,
    /// For dead letters and what handlers emit.
    outputs: Arc<dyn Outputs>,
    /// Somebody keeps the time of handlers.
    expires: AtomicBool,
    /// Keeps the time for whoever polls: a package's futures need not be polled inside a runtime.
    runtime: Handle,
}

/// Somebody who waits with a time at which something has to be woken. Whoever leaves passes that on.
struct Timekeeper<'a> {
    state: &'a SubscriptionState,
    has_time: bool,
}

impl Drop for Timekeeper<'_> {
    fn drop(&mut self) {
        if self.has_time {
            self.state.signal.notify_one();
        }
    }
}

impl Attached {
    fn settle(&self, outcomes: &[(SettleToken, Outcome)]) -> usize {
        let (counted, jobs) = self.state.settle(outcomes);
        for job in jobs {
            self.begin(job);
        }
        counted
    }

    /// Takes up to `max` events, and says when a resting lane will be ready. What its component could not read is given
    /// up here, and no handler sees it.
    fn take(&self, max: usize) -> (Vec<Event>, Option<Instant>) {
        let (batch, next) = self.state.take(max);
        if batch.iter().all(|event| event.stored.unreadable.is_none()) {
            return (batch, next);
        }
        let given_up = batch.iter().filter_map(|event| {
            let cause = event.stored.unreadable.clone()?;
            Some((event.token, Outcome::DeadLetter { cause: Some(cause) }))
        });
        self.settle(&given_up.collect::<Vec<_>>());
        // What comes after it may have been taken back.
        let (batch, stale): (Vec<_>, Vec<_>) =
            batch.into_iter().filter(|event| event.stored.unreadable.is_none()).partition(Event::is_current);
        self.state.release(&stale.iter().map(Event::token).collect::<Vec<_>>());
        (batch, next)
    }

    fn begin(&self, job: Job) {
        self.runtime.spawn(settling::run(job, self.state.clone(), self.outputs.clone()));
    }

    /// Sees to it that handlers do not take longer than they may.
    fn keep_time(self: &Arc<Self>) {
        if self.state.timeout().is_some() && !self.expires.swap(true, Ordering::AcqRel) {
            self.runtime.spawn(expire(Arc::downgrade(self)));
        }
    }

    /// Also in a child of a fork, where everything belongs to the parent.
    fn has_ended(&self) -> bool {
        self.attachment.is_inherited() || self.state.has_ended()
    }
}

impl Subscription {
    pub(crate) async fn attach(
        binding: Arc<str>,
        input: Arc<dyn InputBinding>,
        hand_out: HandOut,
        rules: Rules,
        outputs: Arc<dyn Outputs>,
    ) -> Result<Self> {
        let state = SubscriptionState::new(binding, hand_out, rules.clone());
        let runtime = runtime::handle()?;
        let attachment = Attachment::start(&state, input, rules).await?;
        let expires = AtomicBool::new(false);
        let attached = Arc::new(Attached { state, attachment, outputs, expires, runtime });
        attached.keep_time();
        Ok(Self(attached))
    }

    pub(crate) fn downgrade(&self) -> WeakSubscription {
        WeakSubscription(Arc::downgrade(&self.0))
    }

    /// Reads from `source` from now on: stops what it reads from, then starts. Goes on in the background; of several
    /// that follow each other soon, the last one counts.
    pub(crate) fn follow(&self, source: ReadFrom) {
        let attached = self.0.clone();
        attached.attachment.want(source);
        self.0.runtime.spawn(async move {
            attached.attachment.follow(&attached.state).await;
            attached.keep_time();
        });
    }

    /// Since when it has been reading from where it reads now; `None` while it goes from one to the other.
    pub(crate) fn reading_since(&self) -> Option<Instant> {
        self.0.attachment.since()
    }

    /// The component's name.
    pub fn binding(&self) -> &str {
        &self.0.state.binding
    }

    /// Waits for events: up to `max` of them as soon as there is one, none when `wait` is over, `None` when the
    /// subscription has ended.
    ///
    /// Any executor can poll it. Cancel safe: events are taken only when they are returned. For a caller who can
    /// lose what was returned, there are [`ready`](Self::ready) and [`take_batch`](Self::take_batch).
    pub async fn next_batch(&self, max: usize, wait: Option<Duration>) -> Option<Vec<Event>> {
        if self.0.has_ended() {
            return None;
        }
        let taken = self.attempt(wait, |state| {
            if state.has_ended() {
                return Ok(None);
            }
            let (batch, next) = self.0.take(max.max(1));
            if batch.is_empty() { Err(next) } else { Ok(Some(batch)) }
        });
        taken.await.unwrap_or_else(|| Some(Vec::new()))
    }

    /// Waits until a batch can be taken or the subscription has ended; `false` when `wait` is over first.
    ///
    /// Packages wait with this and then call [`take_batch`](Self::take_batch) on the language's own side: a result
    /// on its way from Rust to a language can get lost, for example with a cancelled future, and then it must not
    /// hold events. Any executor can poll it. Cancel safe.
    pub async fn ready(&self, wait: Option<Duration>) -> bool {
        self.0.attachment.is_inherited() || self.attempt(wait, SubscriptionState::look).await.is_some()
    }

    /// Takes up to `max` events without waiting: none when there are none or somebody else was quicker, `None` when
    /// the subscription has ended.
    pub fn take_batch(&self, max: usize) -> Option<Vec<Event>> {
        (!self.0.has_ended()).then(|| self.0.take(max.max(1)).0)
    }

    /// Attempts again whenever something changed, and when the attempt said it should; `None` when `wait` is over.
    async fn attempt<T>(
        &self,
        wait: Option<Duration>,
        mut attempt: impl FnMut(&SubscriptionState) -> Result<T, Option<Instant>>,
    ) -> Option<T> {
        let deadline = wait.map(runtime::moment_in);
        let state = &self.0.state;
        let mut timekeeper = Timekeeper { state, has_time: false };
        loop {
            let mut signal = std::pin::pin!(state.signal.notified());
            signal.as_mut().enable();
            let next = match attempt(state) {
                Ok(done) => return Some(done),
                Err(next) => next,
            };
            timekeeper.has_time = next.is_some();
            match [deadline, next].into_iter().flatten().min() {
                None => signal.await,
                Some(until) => {
                    let waiting = {
                        let _entered = self.0.runtime.enter();
                        tokio::time::timeout_at(until.into(), signal)
                    };
                    let waited = waiting.await;
                    if waited.is_err() && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits for one event; `None` when the subscription has ended. Cancel safe.
    pub async fn next(&self) -> Option<Event> {
        loop {
            if let Some(event) = self.next_batch(1, None).await?.pop() {
                return Some(event);
            }
        }
    }

    /// To be asked right before a handler is called: whether this delivery still counts. One that does not, because an
    /// earlier event of its lane was sent back or the partition is being handed over, is given back here, so that a
    /// hand-over does not wait for it.
    pub fn begin(&self, event: &Event) -> bool {
        let current = event.is_current();
        if current {
            self.0.state.begin(event);
        } else {
            self.release(&[event.token()]);
        }
        current
    }

    /// Settles deliveries; returns how many of the tokens still counted. Dead letters and emissions leave in the
    /// background, and their events are settled once they were confirmed.
    ///
    /// Outcomes of a batch are best told together: an event that failed takes those after it back that are not told
    /// along with it.
    pub fn settle(&self, outcomes: &[(SettleToken, Outcome)]) -> usize {
        if self.0.attachment.is_inherited() { 0 } else { self.0.settle(outcomes) }
    }

    /// How long a handler may take before its delivery counts as failed, where a policy says so.
    pub fn handler_timeout(&self) -> Option<Duration> {
        self.0.state.timeout()
    }

    /// Gives back events that were handed out and not touched; they will be delivered again, as if for the first
    /// time. Tokens of one lane stand in the order of their events.
    pub fn release(&self, tokens: &[SettleToken]) {
        if !self.0.attachment.is_inherited() {
            self.0.state.release(tokens);
        }
    }

    /// When the first lane that rests will be ready.
    #[cfg(test)]
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.0.state.look().err().flatten()
    }

    /// Lanes that could be handed out now: work for one more handler each.
    pub fn lanes_waiting(&self) -> usize {
        if self.0.attachment.is_inherited() { 0 } else { self.0.state.lanes_waiting() }
    }

    /// How it is. Degraded while its connection is lost, its component is not in the resources, an event holds its
    /// lane, a dead letter cannot leave, or a breaker keeps events back.
    pub fn health(&self) -> Health {
        let health = self.0.attachment.health();
        if self.0.attachment.is_inherited() {
            // Whoever held the lock when the process was forked will not give it back here.
            return health;
        }
        match self.0.state.trouble() {
            Some(error) => health.or_worse(Health { state: State::Degraded, error: Some(error) }),
            None => health,
        }
    }

    /// The last error of the connection, until it works again.
    pub fn last_error(&self) -> Option<Error> {
        self.health().error
    }

    /// Hands out nothing more, waits until `deadline` for what is with handlers, records what was settled and
    /// leaves. What is not settled by then will be delivered again.
    ///
    /// Any executor can poll it, and once polled it goes on by itself when it is dropped. A second call waits for
    /// the first. In a child of a fork it does nothing.
    ///
    /// # Errors
    /// When something settled could not be recorded; `TIMEOUT` when the input was just being exchanged, because its
    /// document changed, and that lasts past `deadline`.
    pub async fn stop(&self, deadline: Instant) -> Result<()> {
        if self.0.attachment.is_inherited() {
            return Ok(());
        }
        self.0.state.end();
        let attached = self.0.clone();
        let stopping = self.0.runtime.spawn(async move { attached.attachment.stop(deadline).await });
        stopping.await.unwrap_or_else(|error| {
            Err(Error::new(ErrorCode::Internal, format!("stopping an input panicked: {error}")))
        })
    }
}

impl Subscription {
    /// [`stop`](Self::stop) with a time to wait instead of a moment; centuries mean for ever.
    ///
    /// # Errors
    /// As `stop`.
    pub async fn close(&self, drain: Duration) -> Result<()> {
        self.stop(runtime::moment_in(drain)).await
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Subscription").field("binding", &self.binding()).finish_non_exhaustive()
    }
}

/// Fails deliveries whose handlers have had their time, for as long as there is somebody to deliver to.
async fn expire(attached: Weak<Attached>) {
    loop {
        let Some(subscription) = attached.upgrade().filter(|attached| !attached.has_ended()) else { return };
        let Some(timeout) = subscription.state.timeout() else {
            subscription.expires.store(false, Ordering::Release);
            return;
        };
        let expired = subscription.state.expired(timeout);
        if !expired.is_empty() {
            subscription.settle(&expired);
        }
        drop(subscription);
        tokio::time::sleep((timeout / 10).clamp(EXPIRY_LOOK.0, EXPIRY_LOOK.1)).await;
    }
}

/// The shortest and the longest time between two looks at handlers that take too long.
const EXPIRY_LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));
