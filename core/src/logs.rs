//! Core's log lines for programs whose language has a logging of its own.
//!
//! A package calls [`install`] once and passes on what [`wait`] returns. Rust programs set a `tracing` subscriber of
//! their own instead, and need nothing of this.
//!
//! Taken are events of the targets `bindwright` and `bindwright::…`; spans stay disabled, so that a call costs what it
//! costs without a subscriber. Whoever logs never waits: what finds [`CAPACITY`] records waiting is dropped and
//! counted. Tests: `core/tests/logs.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber, set_global_default};
use tracing::{Event, Metadata};
pub use tracing::{Level, level_filters::LevelFilter};

use crate::process;
use crate::runtime::moment_in;

/// How many records wait at most.
pub const CAPACITY: usize = 1024;

const TARGET: &str = "bindwright";

const FILTERS: [LevelFilter; 6] = [
    LevelFilter::OFF,
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
];

/// The place of the level in `FILTERS`; warnings until somebody says otherwise.
static LEVEL: AtomicUsize = AtomicUsize::new(2);

static INSTALLED: OnceLock<bool> = OnceLock::new();

/// The queue of this process; a child of a fork makes its own.
static QUEUE: ArcSwapOption<Queue> = ArcSwapOption::const_empty();

/// One line of core's log. Displayed it is the message followed by its fields as `name=value`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogRecord {
    /// How serious it is.
    pub level: Level,
    /// Whose it is: `bindwright`, or `bindwright::` and the name of a component's type, such as `bindwright::kafka`.
    pub target: &'static str,
    /// The text.
    pub message: String,
    /// Names and values beside the text.
    pub fields: Vec<(&'static str, String)>,
    /// When it was logged.
    pub time: SystemTime,
    /// The name of the thread that logged it, where Rust knows one.
    pub thread: Option<String>,
    /// Where in core's sources.
    pub file: Option<&'static str>,
    /// The line in that file.
    pub line: Option<u32>,
}

impl LogRecord {
    fn new(level: Level, target: &'static str) -> Self {
        Self {
            level,
            target,
            message: String::new(),
            fields: Vec::new(),
            time: SystemTime::now(),
            thread: std::thread::current().name().map(str::to_owned),
            file: None,
            line: None,
        }
    }
}

impl fmt::Display for LogRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        self.fields.iter().try_for_each(|(name, value)| write!(formatter, " {name}={value}"))
    }
}

impl Visit for LogRecord {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Takes core's log lines, unless the program has set a `tracing` subscriber of its own. Doing so again is fine.
///
/// Returns whether they are taken.
pub fn install() -> bool {
    *INSTALLED.get_or_init(|| set_global_default(Collector).is_ok())
}

/// Which lines are worth a record; warnings and errors before this is called.
pub fn set_level(level: LevelFilter) {
    let place = FILTERS.iter().position(|known| *known == level).unwrap_or_default();
    if LEVEL.swap(place, Ordering::Relaxed) != place {
        // `tracing` keeps the level itself, so that a line that nobody wants costs one comparison.
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Which lines are worth a record.
pub fn level() -> LevelFilter {
    FILTERS[LEVEL.load(Ordering::Relaxed)]
}

/// Waits until there are records, for up to `timeout`, and takes all of them in the order in which they were logged.
///
/// With no time at all it takes what is there. It returns nothing when the time is over or [`wake`] was called. Where
/// records were dropped, the last one says how many. A child of a fork finds only what it logged itself.
pub fn wait(timeout: Duration) -> Vec<LogRecord> {
    queue().wait(moment_in(timeout))
}

/// Ends the present or the next [`wait`].
pub fn wake() {
    let queue = queue();
    queue.lock().woken = true;
    queue.ready.notify_one();
}

/// Std's lock and condition: unlike `parking_lot`'s they share no table with threads that a fork left behind.
struct Queue {
    process: u32,
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<LogRecord>,
    dropped: u64,
    woken: bool,
}

fn queue() -> Arc<Queue> {
    let process = process::id();
    loop {
        let current = QUEUE.load_full();
        if let Some(queue) = &current
            && queue.process == process
        {
            return queue.clone();
        }
        let fresh = Queue { process, waiting: Mutex::default(), ready: Condvar::new() };
        QUEUE.compare_and_swap(&current, Some(Arc::new(fresh)));
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, record: LogRecord) {
        let mut waiting = self.lock();
        if waiting.records.len() < CAPACITY {
            waiting.records.push_back(record);
            drop(waiting);
            self.ready.notify_one();
        } else {
            waiting.dropped += 1;
        }
    }

    fn wait(&self, deadline: Instant) -> Vec<LogRecord> {
        let mut waiting = self.lock();
        while waiting.records.is_empty() && !waiting.woken {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let (lock, _) = self.ready.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
            waiting = lock;
        }
        let Waiting { records, dropped, .. } = std::mem::take(&mut *waiting);
        drop(waiting);
        let mut records = Vec::from(records);
        if dropped > 0 {
            let mut record = LogRecord::new(Level::WARN, TARGET);
            record.message =
                format!("{dropped} log records were dropped, because {CAPACITY} others were waiting");
            records.push(record);
        }
        records
    }
}

/// The subscriber.
struct Collector;

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let rest = metadata.target().strip_prefix(TARGET);
    metadata.is_event() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl Subscriber for Collector {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_ours(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level())
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= level() && is_ours(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut record = LogRecord::new(*metadata.level(), metadata.target());
        (record.file, record.line) = (metadata.file(), metadata.line());
        event.record(&mut record);
        queue().push(record);
    }

    // Spans are never enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
