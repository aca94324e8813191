//! Log lines of a command that runs until it is told to stop, on the standard error.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bindwright::logs::{self, LevelFilter, LogRecord};
use bindwright_server::ACCESS_LOG;
use serde_json::{Map, Value, json};

use crate::shown;

/// How long a line waits at most when nobody rings.
const SLICE: Duration = Duration::from_millis(500);

/// Prints lines from its making until it is dropped.
pub(crate) struct LogLines {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LogLines {
    pub(crate) fn begin(level: &str, as_json: bool, app_id: Option<&str>) -> Self {
        logs::install();
        logs::set_level(match level.to_ascii_lowercase().as_str() {
            "debug" => LevelFilter::DEBUG,
            "warn" | "warning" => LevelFilter::WARN,
            "error" | "fatal" => LevelFilter::ERROR,
            _ => LevelFilter::INFO,
        });
        let ended = Arc::new(AtomicBool::new(false));
        let (seen, app_id) = (ended.clone(), app_id.map(str::to_owned));
        let thread = std::thread::spawn(move || {
            loop {
                // Asked first: what was logged before the end is printed.
                let is_last = seen.load(Ordering::Acquire);
                print(&logs::wait(if is_last { Duration::ZERO } else { SLICE }), as_json, app_id.as_deref());
                if is_last {
                    return;
                }
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for LogLines {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        logs::wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn print(records: &[LogRecord], as_json: bool, app_id: Option<&str>) {
    if records.is_empty() {
        return;
    }
    let mut text = String::new();
    for record in records {
        // The access log is JSON in any case.
        if record.target == ACCESS_LOG && !as_json {
            text.push_str(&record.message);
        } else if as_json {
            text.push_str(&for_programs(record, app_id).to_string());
        } else {
            let line = format!("{} {:5} {record}", shown::moment(millis(record.time)), record.level);
            text.push_str(&shown::text(&line));
        }
        text.push('\n');
    }
    // Where nobody reads, there is nobody to tell.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn for_programs(record: &LogRecord, app_id: Option<&str>) -> Value {
    let mut line = Map::new();
    line.insert("time".to_owned(), json!(shown::moment(millis(record.time))));
    line.insert("level".to_owned(), json!(record.level.to_string().to_ascii_lowercase()));
    line.insert("scope".to_owned(), json!(record.target));
    line.insert("app_id".to_owned(), json!(app_id));
    let access =
        (record.target == ACCESS_LOG).then(|| serde_json::from_str::<Value>(&record.message).ok()).flatten();
    match access {
        Some(access) => drop(line.insert("call".to_owned(), access)),
        None => drop(line.insert("msg".to_owned(), json!(record.message))),
    }
    for (name, value) in &record.fields {
        line.entry((*name).to_owned()).or_insert_with(|| json!(value));
    }
    line.into()
}

fn millis(time: SystemTime) -> Option<i64> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}
