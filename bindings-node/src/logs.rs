//! Core's log lines for JavaScript; `ts/logs.ts` hands them on.
//!
//! Core has one queue for the process, Node one loop for each thread. A thread of our own takes what is logged, and gives
//! every loop that follows a copy of what it wants; each takes its lines when its bell rang.

use std::sync::{Arc, Once};
use std::time::{Duration, UNIX_EPOCH};

use bindwright::logs::{self, CAPACITY, Level, LevelFilter, LogRecord};
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;
use parking_lot::Mutex;

/// How long the thread waits for lines; it looks again afterwards.
const LONG: Duration = Duration::from_hours(1);

type Bell = ThreadsafeFunction<(), (), (), Status, false, true>;

/// A loop that follows.
struct Follower {
    environment: usize,
    level: LevelFilter,
    bell: Option<Arc<Bell>>,
    lines: Vec<LogRecord>,
}

static FOLLOWERS: Mutex<Vec<Follower>> = Mutex::new(Vec::new());
static THREAD: Once = Once::new();

/// Has `ring` called on this thread's loop when there are lines to take. To be called once on each.
#[napi(catch_unwind)]
pub fn follow_logs(env: Env, ring: Function<'_, (), ()>) -> napi::Result<()> {
    let bell = ring.build_threadsafe_function::<()>().callee_handled::<false>().weak::<true>().build()?;
    let environment = key(env);
    with(environment, |follower| follower.bell = Some(Arc::new(bell)));
    env.add_env_cleanup_hook((), move |()| {
        let mut followers = FOLLOWERS.lock();
        followers.retain(|follower| follower.environment != environment);
        heed(&followers);
    })?;
    THREAD.call_once(|| {
        // Without a thread there are no lines until somebody asks for them.
        let _ = std::thread::Builder::new().name("bindwright-log".to_owned()).spawn(hand_on);
    });
    Ok(())
}

/// Says which lines this thread's loop wants; returns whether core's lines are taken at all.
#[napi(catch_unwind)]
pub fn want_logs(env: Env, level: String) -> bool {
    with(key(env), |follower| {
        follower.level = match level.as_str() {
            "trace" => LevelFilter::TRACE,
            "debug" => LevelFilter::DEBUG,
            "info" => LevelFilter::INFO,
            "warn" => LevelFilter::WARN,
            "error" => LevelFilter::ERROR,
            _ => LevelFilter::OFF,
        }
    });
    logs::install()
}

/// Takes the lines that wait for this thread's loop, also those that were logged just now.
#[napi(catch_unwind)]
pub fn take_logs(env: Env) -> Vec<LogLine> {
    distribute(logs::wait(Duration::ZERO));
    let lines = with(key(env), |follower| std::mem::take(&mut follower.lines));
    lines.iter().map(LogLine::from).collect()
}

fn key(env: Env) -> usize {
    env.raw().addr()
}

fn with<T>(environment: usize, change: impl FnOnce(&mut Follower) -> T) -> T {
    let mut followers = FOLLOWERS.lock();
    let place = followers.iter().position(|follower| follower.environment == environment);
    let place = place.unwrap_or_else(|| {
        followers.push(Follower { environment, level: LevelFilter::OFF, bell: None, lines: Vec::new() });
        followers.len() - 1
    });
    let answer = change(&mut followers[place]);
    heed(&followers);
    answer
}

/// Core logs what anybody wants.
fn heed(followers: &[Follower]) {
    logs::set_level(followers.iter().map(|follower| follower.level).max().unwrap_or(LevelFilter::OFF));
}

fn hand_on() {
    loop {
        distribute(logs::wait(LONG));
    }
}

fn distribute(records: Vec<LogRecord>) {
    if records.is_empty() {
        return;
    }
    let mut bells = Vec::new();
    let mut followers = FOLLOWERS.lock();
    for follower in followers.iter_mut() {
        let was_empty = follower.lines.is_empty();
        let wanted = records.iter().filter(|record| record.level <= follower.level);
        // A loop that stands still must not fill the memory; it missed lines, as core's own queue would.
        let room = CAPACITY.saturating_sub(follower.lines.len());
        follower.lines.extend(wanted.take(room).cloned());
        if was_empty && !follower.lines.is_empty() {
            bells.extend(follower.bell.clone());
        }
    }
    drop(followers);
    for bell in bells {
        // Fails only when the environment is going away.
        bell.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

/// One line.
#[napi(object, object_from_js = false)]
pub struct LogLine {
    /// How serious it is.
    pub level: &'static str,
    /// Whose it is.
    pub target: String,
    /// The text.
    pub message: String,
    /// Names and values beside the text, in turn.
    pub fields: Vec<String>,
    /// Milliseconds since 1970.
    pub time: f64,
}

impl From<&LogRecord> for LogLine {
    fn from(record: &LogRecord) -> Self {
        let fields = record.fields.iter().flat_map(|(name, value)| [(*name).to_owned(), value.clone()]);
        Self {
            level: match record.level {
                Level::ERROR => "error",
                Level::WARN => "warn",
                Level::INFO => "info",
                Level::DEBUG => "debug",
                Level::TRACE => "trace",
            },
            target: record.target.replace("::", "."),
            message: record.message.clone(),
            fields: fields.collect(),
            time: record.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0,
        }
    }
}
