//! Core's log lines as packages take them. One process has one queue, so the tests take turns.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bindwright::logs::{self, CAPACITY, Level, LevelFilter, LogRecord};
use tracing::{debug, error, info, info_span, warn};

static TURN: Mutex<()> = Mutex::new(());

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(20);

/// Takes the lines of a level; what earlier tests left is gone.
fn taking(level: LevelFilter) -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(logs::install());
    logs::set_level(level);
    logs::wait(NOW);
    turn
}

fn texts(records: &[LogRecord]) -> Vec<String> {
    records.iter().map(|record| format!("{} {} {record}", record.level, record.target)).collect()
}

#[test]
fn lines_come_in_order_with_their_level_target_text_and_fields() {
    let _turn = taking(LevelFilter::INFO);
    let before = SystemTime::now();
    let named = thread::Builder::new().name("somebody".to_owned());
    let logging = named.spawn(|| {
        warn!(target: "bindwright", component = "orders", attempt = 2, pause = ?NOW, "text {}", 1);
        error!(target: "bindwright::kafka", "more");
    });
    logging.expect("it starts").join().expect("it ends");
    let records = logs::wait(LONG);
    assert_eq!(
        texts(&records),
        ["WARN bindwright text 1 component=orders attempt=2 pause=0ns", "ERROR bindwright::kafka more"]
    );
    assert_eq!(records[0].fields[0], ("component", "orders".to_owned()));
    assert_eq!(records[0].thread.as_deref(), Some("somebody"));
    assert_eq!(records[0].file, Some(file!()));
    assert!(records[0].line.is_some());
    assert!(before <= records[0].time && records[0].time <= SystemTime::now());
}

#[test]
fn the_level_can_change_at_any_time() {
    let _turn = taking(LevelFilter::WARN);
    for level in [LevelFilter::WARN, LevelFilter::DEBUG, LevelFilter::OFF, LevelFilter::INFO] {
        logs::set_level(level);
        assert_eq!(logs::level(), level);
        error!(target: "bindwright", "error");
        info!(target: "bindwright", "info");
        debug!(target: "bindwright", "debug");
    }
    let lines: Vec<_> = logs::wait(NOW).iter().map(|record| record.message.clone()).collect();
    assert_eq!(lines, ["error", "error", "info", "debug", "error", "info"]);
}

#[test]
fn spans_and_lines_of_others_are_left_alone() {
    let _turn = taking(LevelFilter::TRACE);
    error!("of this test");
    error!(target: "bindwrighter", "of somebody else");
    assert!(info_span!(target: "bindwright", "invoke").is_disabled());
    assert_eq!(texts(&logs::wait(NOW)), [""; 0]);
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let _turn = taking(LevelFilter::WARN);
    for number in 0..CAPACITY + 3 {
        warn!(target: "bindwright", "{number}");
    }
    let records = logs::wait(NOW);
    assert_eq!(records.len(), CAPACITY + 1);
    assert_eq!(records[CAPACITY - 1].message, (CAPACITY - 1).to_string());
    let last = &records[CAPACITY];
    assert_eq!((last.level, last.target), (Level::WARN, "bindwright"));
    assert_eq!(last.message, "3 log records were dropped, because 1024 others were waiting");
    warn!(target: "bindwright", "fits again");
    assert_eq!(texts(&logs::wait(NOW)), ["WARN bindwright fits again"]);
}

#[test]
fn whoever_waits_is_woken_by_a_line_or_on_request() {
    let _turn = taking(LevelFilter::WARN);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| (logs::wait(LONG), logs::wait(LONG)));
        warn!(target: "bindwright", "line");
        // The first wait takes the line, and the second one ends with this; or it was there before both began.
        while !waiting.is_finished() {
            logs::wake();
            thread::yield_now();
        }
        let (first, second) = waiting.join().expect("it ends");
        assert_eq!(first.len() + second.len(), 1);
    });
    let began = Instant::now();
    logs::wait(NOW);
    assert!(logs::wait(Duration::from_millis(20)).is_empty());
    assert!(began.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_client_logs_what_is_wrong_with_its_documents() {
    let _turn = taking(LevelFilter::WARN);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("broken.yaml"), "spec: [").expect("written");
    let options = bindwright::ClientOptions {
        resources: Some(vec![folder.path().to_path_buf()]),
        ..bindwright::ClientOptions::default()
    };
    bindwright::Client::open(options).expect("a fault in one document is no error");
    let records = logs::wait(LONG);
    assert!(records[0].message.contains("broken.yaml"), "{records:?}");
}
