//! What a sandbox and its fakes share: what was sent, what is answered, what was pushed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::pushed::{Pushed, PushedEvent};
use super::script::{Answer, Script};
use super::{Invocation, SandboxOptions};
use crate::binding::Request;
use crate::body::Body;
use crate::error::{Error, ErrorCode, Result};
use crate::event::hash_key;
use crate::metadata::Metadata;
use crate::process;
use crate::queue::{Draft, Queue};
use crate::runtime;

/// No lock: a child of a fork might find it held for ever.
static CURRENT: ArcSwapOption<Stage> = ArcSwapOption::const_empty();

pub(crate) struct Stage {
    number: u64,
    process: u32,
    options: SandboxOptions,
    ended: AtomicBool,
    /// Wakers are called, and what code of a package may have made is dropped, outside of it.
    state: Mutex<State>,
    /// Something changed that somebody may wait for.
    changed: Notify,
}

#[derive(Default)]
pub(super) struct State {
    next_call: u64,
    /// By number, in the order in which they began.
    calls: BTreeMap<u64, Call>,
    script: Script,
    queues: HashMap<Arc<str>, Arc<Queue>>,
    /// By binding and position.
    pub(super) pushed: HashMap<(Arc<str>, i64), Pushed>,
    /// Every component for which there was a fake.
    pub(super) components: BTreeSet<Arc<str>>,
    /// Those that somebody subscribed to.
    pub(super) subscribed: BTreeSet<Arc<str>>,
}

struct Call {
    invocation: Invocation,
    answered: bool,
}

/// The stage that clients are opened on now.
pub(crate) fn current() -> Option<Arc<Stage>> {
    let stage = CURRENT.load_full()?;
    if !stage.is_inherited() {
        return Some(stage);
    }
    // Whoever held the parent's lock does not exist here.
    let own = Stage::new(stage.options.clone());
    let previous = CURRENT.compare_and_swap(&stage, Some(own.clone()));
    let swapped = previous.as_ref().is_some_and(|previous| Arc::ptr_eq(previous, &stage));
    if swapped { Some(own) } else { previous.clone() }
}

/// Puts up a stage of its own for the clients that are opened from now on.
pub(super) fn enter(options: SandboxOptions) -> Result<Arc<Stage>> {
    let stage = Stage::new(options);
    let before = CURRENT.load_full().filter(|stage| stage.is_inherited());
    let previous = CURRENT.compare_and_swap(&before, Some(stage.clone()));
    let swapped = match (&*previous, &before) {
        (None, None) => true,
        (Some(previous), Some(before)) => Arc::ptr_eq(previous, before),
        _ => false,
    };
    if swapped {
        return Ok(stage);
    }
    Err(Error::new(ErrorCode::InvalidOptions, "there is a sandbox in this process already")
        .advice("End it first; tests with a sandbox run one after the other."))
}

/// Takes a stage down; what is on it answers `CLOSED`.
pub(super) fn leave(stage: &Arc<Stage>) {
    CURRENT.rcu(|current| current.clone().filter(|current| !Arc::ptr_eq(current, stage)));
    stage.ended.store(true, Ordering::Release);
    let (queues, script) =
        stage.with(false, |state| (std::mem::take(&mut state.queues), std::mem::take(&mut state.script)));
    drop(script);
    for queue in queues.values() {
        queue.purge();
    }
    stage.changed.notify_waiters();
}

impl Stage {
    fn new(options: SandboxOptions) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            process: process::id(),
            options,
            ended: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Tells one stage of a process from the next one.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn longest_pause(&self) -> Duration {
        self.options.longest_pause
    }

    pub(super) fn is_inherited(&self) -> bool {
        self.process != process::id()
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.ended.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, "the sandbox has ended"));
        }
        Ok(())
    }

    /// Looks at the state or changes it; whoever waits looks again if `changes`.
    pub(super) fn with<T>(&self, changes: bool, with: impl FnOnce(&mut State) -> T) -> T {
        let result = with(&mut self.state.lock());
        if changes {
            self.changed.notify_waiters();
        }
        result
    }

    pub(super) fn answer(&self, binding: &str, answer: Answer) {
        let replaced = self.with(false, |state| state.script.add(binding, answer));
        drop(replaced);
    }

    /// Notes that an attempt begins; gives its number, and the answer where it is not the usual one.
    pub(super) fn begin(&self, invocation: Invocation) -> (u64, Option<Answer>) {
        self.with(false, |state| {
            let answer = state.script.next(&invocation.binding, &invocation.operation);
            let number = state.next_call;
            state.next_call += 1;
            state.calls.insert(number, Call { invocation, answered: false });
            (number, answer)
        })
    }

    /// Notes how an attempt was answered.
    pub(super) fn done(&self, number: u64, error: Option<ErrorCode>) {
        self.with(true, |state| {
            if let Some(call) = state.calls.get_mut(&number) {
                call.invocation.error = error;
                call.answered = true;
            }
        });
    }

    pub(super) fn forget(&self) {
        let calls = self.with(false, |state| std::mem::take(&mut state.calls));
        drop(calls);
    }

    pub(super) fn invocations(&self, binding: Option<&str>, operation: Option<&str>) -> Vec<Invocation> {
        self.with(false, |state| state.invocations(binding, operation))
    }

    pub(super) async fn wait_for(
        &self,
        binding: &str,
        operation: Option<&str>,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Invocation>> {
        let enough = |state: &State| {
            let found = state.invocations(Some(binding), operation);
            (found.len() >= count).then_some(found)
        };
        let found = self.wait(timeout, enough).await?;
        found.ok_or_else(|| {
            let text = self.with(false, |state| state.missing(binding, operation, count));
            let advice =
                "Check what the code under test calls, and that nothing keeps it from doing so in time.";
            Error::new(ErrorCode::Timeout, text).component(binding).advice(advice)
        })
    }

    /// Waits until `look` finds something; `None` when `timeout` is over first.
    pub(super) async fn wait<T>(
        &self,
        timeout: Duration,
        mut look: impl FnMut(&State) -> Option<T>,
    ) -> Result<Option<T>> {
        let deadline = runtime::moment_in(timeout);
        let only_looks = timeout.is_zero();
        let runtime = runtime::handle()?;
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(found) = self.with(false, |state| look(state)) {
                return Ok(Some(found));
            }
            self.check_open()?;
            if only_looks {
                return Ok(None);
            }
            let waiting = {
                let _entered = runtime.enter();
                tokio::time::timeout_at(deadline.into(), changed)
            };
            if waiting.await.is_err() {
                return Ok(None);
            }
        }
    }

    /// The queue that a binding receives from.
    pub(super) fn queue(&self, binding: &str) -> Arc<Queue> {
        self.with(false, |state| {
            if let Some(queue) = state.queues.get(binding) {
                return queue.clone();
            }
            let queue = Arc::new(Queue::default());
            queue.grow(1);
            state.queues.insert(binding.into(), queue.clone());
            queue
        })
    }

    pub(super) fn push(
        self: Arc<Self>,
        binding: &str,
        body: Body,
        metadata: Metadata,
        key: Option<&str>,
    ) -> Result<PushedEvent> {
        self.check_open()?;
        let draft = Draft { key_hash: key.map(|key| hash_key(key.as_bytes())), body, metadata };
        let placed = self.queue(binding).try_put(draft, usize::MAX);
        let placed = placed.map_err(|_| Error::new(ErrorCode::QueueFull, "the queue is full"))?;
        Ok(PushedEvent::new(self, binding.into(), placed.position))
    }
}

impl State {
    fn invocations(&self, binding: Option<&str>, operation: Option<&str>) -> Vec<Invocation> {
        let is_meant = |one: &&Invocation| {
            binding.is_none_or(|binding| *one.binding == *binding)
                && operation.is_none_or(|operation| *one.operation == *operation)
        };
        let answered = self.calls.values().filter(|call| call.answered).map(|call| &call.invocation);
        answered.filter(is_meant).cloned().collect()
    }

    /// Why somebody waits for invocations in vain.
    fn missing(&self, binding: &str, operation: Option<&str>, count: usize) -> String {
        let found = self.invocations(Some(binding), operation).len();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for one in self.invocations(None, None) {
            *counts.entry(format!("{}.{}", one.binding, one.operation)).or_default() += 1;
        }
        let all: Vec<String> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
        let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        let under_way = self.calls.values().filter(|call| !call.answered).count();
        let meant =
            operation.map_or_else(|| binding.to_owned(), |operation| format!("{binding}.{operation}"));
        format!(
            "{found} of {count} invocations of {meant} came in time; all that came: {all}; under way: {under_way}{}",
            self.unknown(binding)
        )
    }

    /// A remark on a name that no client has heard of.
    pub(super) fn unknown(&self, binding: &str) -> String {
        if self.components.contains(binding) {
            return String::new();
        }
        let known: Vec<&str> = self.components.iter().map(|name| &**name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        format!("; no client of the sandbox has a component {binding:?}, components: {known}")
    }
}

impl Invocation {
    pub(super) fn new(binding: Arc<str>, operation: Arc<str>, request: Request) -> Self {
        Self { binding, operation, request, error: None }
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stage").field("number", &self.number).finish_non_exhaustive()
    }
}
