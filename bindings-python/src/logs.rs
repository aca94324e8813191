//! Core's log lines for Python's `logging`; `python/bindwright/_logs.py` hands them on. Tests: `tests/test_logs.py`.

use std::time::{Duration, UNIX_EPOCH};

use bindwright::logs::{self, Level, LevelFilter, LogRecord};
use pyo3::prelude::*;

/// What Python has no level for; as some other packages do.
const TRACE: i32 = 5;

/// Level, logger, text, seconds since 1970, thread, file, line.
type Line = (i32, String, String, f64, Option<String>, Option<&'static str>, Option<u32>);

/// Take core's log lines of this level and above, as `logging` counts levels; returns whether they are taken.
#[pyfunction]
#[pyo3(signature = (level, /))]
pub(crate) fn take_logs(py: Python<'_>, level: i32) -> bool {
    py.detach(|| {
        logs::set_level(match level {
            ..=TRACE => LevelFilter::TRACE,
            6..=10 => LevelFilter::DEBUG,
            11..=20 => LevelFilter::INFO,
            21..=30 => LevelFilter::WARN,
            31..=40 => LevelFilter::ERROR,
            _ => LevelFilter::OFF,
        });
        logs::install()
    })
}

/// Wait for log lines, for up to so many seconds; nothing also after `wake_logs`.
#[pyfunction]
#[pyo3(signature = (timeout, /))]
pub(crate) fn wait_for_logs(py: Python<'_>, timeout: f64) -> Vec<Line> {
    let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
    py.detach(|| logs::wait(timeout)).iter().map(line).collect()
}

/// End the present or the next `wait_for_logs`.
#[pyfunction]
pub(crate) fn wake_logs(py: Python<'_>) {
    py.detach(logs::wake);
}

fn line(record: &LogRecord) -> Line {
    let level = match record.level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => TRACE,
    };
    let time = record.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let logger = record.target.replace("::", ".");
    (level, logger, record.to_string(), time, record.thread.clone(), record.file, record.line)
}
