//! Processes that are killed. The child is this test program again, with a role in its environment; it writes what it
//! does to a file, which outlives it.

use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bindwright::{Event, Outcome, Request};

use crate::counting::{Handled, figures, numbers};
use crate::fixture::{Fixture, number, open, send, text, until};
use crate::server;

const ROLE: &str = "BINDWRIGHT_TEST_ROLE";
const FOLDER: &str = "BINDWRIGHT_TEST_FOLDER";
const LOG: &str = "BINDWRIGHT_TEST_LOG";

/// A child process; killed when dropped.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(role: &str, fixture: &Fixture, log: &str) -> Self {
        let log = fixture.folder().join(log);
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "crashes::child", "--nocapture"])
            .env(ROLE, role)
            .env(FOLDER, fixture.folder())
            .env(LOG, &log)
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        Self { child, log }
    }

    /// What the child has written so far, without a last line that is not complete.
    fn lines(&self) -> Vec<String> {
        let written = std::fs::read_to_string(&self.log).unwrap_or_default();
        let complete = written.rfind('\n').map_or(0, |end| end + 1);
        written[..complete].lines().map(str::to_owned).collect()
    }

    fn handled(&self) -> Vec<Handled> {
        let parse = |line: &String| {
            let mut words = line.splitn(3, ' ');
            let mut number = || words.next().expect("a word").parse().expect("a number");
            let (partition, offset) = (number(), number());
            Handled { partition, offset, text: words.next().expect("text").to_owned(), by: "child" }
        };
        self.lines().iter().map(parse).collect()
    }

    /// SIGKILL.
    fn kill(mut self) -> Vec<Handled> {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        self.handled()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test by itself: what a child process does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("a folder"));
    let log = PathBuf::from(std::env::var_os(LOG).expect("a log"));
    match role.as_str() {
        "handle" => consume(&folder, log, true).await,
        "never settle" => consume(&folder, log, false).await,
        "subscriber panics" => work_while_the_subscriber_panics(&folder, &log).await,
        "client per message" => open_a_client_per_message(&folder, &log).await,
        other => panic!("no role {other:?}"),
    }
}

fn append(log: &Path, line: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("opened");
    // One write: a killed process leaves whole lines.
    file.write_all(format!("{line}\n").as_bytes()).expect("written");
}

async fn consume(folder: &Path, log: PathBuf, settles: bool) {
    let client = open(folder);
    let handler = move |event: Event| {
        let log = log.clone();
        async move {
            let line =
                format!("{} {} {}", number(&event, "__partition"), number(&event, "__offset"), text(&event));
            append(&log, &line);
            if !settles {
                std::future::pending::<()>().await;
            }
            Outcome::Ack
        }
    };
    client.on("orders", handler).await.expect("attached");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_consumer_killed_in_the_middle_repeats_little_and_loses_nothing() {
    const RECORDS: usize = 6_000;
    const BOUND: usize = 100;
    let Some(fixture) = Fixture::with_topic(3).await else { return };
    fixture.write(&format!("maxUncommitted: {BOUND}\nsessionTimeout: 1s\nheartbeatInterval: 200ms"));
    fixture.produce_numbers(0..RECORDS, 3).await;
    let mut handled = Vec::new();
    let mut lives = Vec::new();
    for life in 0.. {
        let process = Process::start("handle", &fixture, &format!("life-{life}"));
        let last = life == 3;
        let mut distinct: HashSet<String> = handled.iter().map(|one: &Handled| one.text.clone()).collect();
        until("the child handled its share", async || {
            let now = process.handled();
            distinct.extend(now.iter().map(|one| one.text.clone()));
            if last { distinct.len() == RECORDS } else { now.len() > 500 }
        })
        .await;
        let this_life = process.kill();
        lives.push(this_life.len());
        handled.extend(this_life);
        if last || distinct.len() == RECORDS {
            break;
        }
    }
    let figures = figures(&format!("consumer killed, lives of {lives:?}"), &numbers(0..RECORDS), &handled);
    assert!(lives.len() > 1, "it was killed in the middle");
    assert_eq!((figures.lost, figures.out_of_order), (0, 0));
    let kills = lives.len() - 1;
    for (partition, repeated) in &figures.repeated {
        assert!(*repeated <= BOUND * kills, "partition {partition} repeats {repeated} after {kills} kills");
    }
}

#[tokio::test]
async fn a_consumer_killed_before_it_settled_anything_skips_nothing_with_newest() {
    let Some(fixture) = Fixture::with_topic(2).await else { return };
    fixture.write("initialOffset: newest\nsessionTimeout: 1s\nheartbeatInterval: 200ms");
    fixture.produce_numbers(0..10, 2).await;
    let process = Process::start("never settle", &fixture, "first life");
    // Sent again and again: the first one that arrives after the group's start is the first one that is received.
    let mut probes = 0;
    until("the child received something", async || {
        fixture.produce(vec![(0, format!("probe {probes}"))]).await;
        probes += 1;
        !process.lines().is_empty()
    })
    .await;
    let received = process.kill();
    let first_probe: usize =
        received[0].text.strip_prefix("probe ").expect("a probe").parse().expect("a number");

    fixture.produce(vec![(0, "meanwhile 0".to_owned()), (1, "meanwhile 1".to_owned())]).await;
    let again = Process::start("handle", &fixture, "second life");
    let mut expected: BTreeSet<String> =
        (first_probe..probes).map(|probe| format!("probe {probe}")).collect();
    expected.extend(["meanwhile 0".to_owned(), "meanwhile 1".to_owned()]);
    until("everything since the start is there", async || again.lines().len() >= expected.len()).await;
    let handled = again.kill();
    let texts: BTreeSet<String> = handled.iter().map(|one| one.text.clone()).collect();
    let sent: Vec<String> = expected.iter().cloned().collect();
    let figures = figures("killed before its first commit, with newest", &sent, &handled);
    assert_eq!(texts, expected);
    assert_eq!((figures.lost, figures.duplicated), (0, 0));
}

#[tokio::test]
async fn an_idle_member_takes_over_from_one_that_was_killed() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    let settings = "sessionTimeout: 1s\nheartbeatInterval: 200ms";
    // Members are sorted by their ids, which begin with the client's: the first one gets the only partition.
    fixture.write(&format!("{settings}\nclientID: a"));
    let process = Process::start("handle", &fixture, "the owner");
    until("the child is in", async || fixture.members().await == 1).await;
    fixture.write(&format!("{settings}\nclientID: b"));
    let client = fixture.client();
    let idle = crate::fixture::subscribe(&client).await;
    until("the second is in, and has nothing", async || {
        fixture.members().await == 2 && idle.health().state == bindwright::State::Ready
    })
    .await;
    let mut sent = 0;
    until("the child has the partition", async || {
        fixture.produce(vec![(0, sent.to_string())]).await;
        sent += 1;
        !process.lines().is_empty()
    })
    .await;
    until("the child handled all", async || process.lines().len() == sent).await;
    fixture.until_committed(&[sent as i64]).await;
    process.kill();
    fixture.produce(vec![(0, "after".to_owned())]).await;
    assert_eq!(crate::fixture::texts(&crate::fixture::receive(&idle, 1).await), ["after"]);
    crate::fixture::close(&client).await;
}

#[tokio::test]
async fn a_subscriber_that_panics_stops_neither_sending_nor_receiving() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    let mut process = Process::start("subscriber panics", &fixture, "figures");
    let status = process.child.wait().expect("ended");
    let lines = process.lines();
    assert!(status.success() && lines.len() == 1, "{status}: {lines:?}");
    let panics: usize = lines[0].parse().expect("a number");
    assert!(panics > 0, "the subscriber was used");
}

/// Panics at every event of ours. librdkafka's own log comes here as well.
struct Panicking;

static PANICS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

impl tracing::Subscriber for Panicking {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "bindwright::kafka"
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, _event: &tracing::Event<'_>) {
        PANICS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // As a panic, but without its message on the terminal.
        std::panic::resume_unwind(Box::new("the subscriber panics"));
    }

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}

async fn work_while_the_subscriber_panics(folder: &Path, log: &Path) {
    tracing::subscriber::set_global_default(Panicking).expect("the first");
    let client = open(folder);
    let subscription = crate::fixture::subscribe(&client).await;
    for number in 0..20 {
        send(&client, Request::new(number.to_string())).await.expect("sent");
        assert_eq!(
            crate::fixture::texts(&crate::fixture::receive(&subscription, 1).await),
            [number.to_string()]
        );
    }
    crate::fixture::close(&client).await;
    append(log, &PANICS.load(std::sync::atomic::Ordering::Relaxed).to_string());
}

#[tokio::test]
async fn a_client_per_message_neither_leaks_nor_reconnects() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    let mut process = Process::start("client per message", &fixture, "figures");
    let status = process.child.wait().expect("ended");
    let lines = process.lines();
    assert!(status.success() && lines.len() == 2, "{status}: {lines:?}");
    server::say(&format!("after 1 client: {}; after 200 more: {}", lines[0], lines[1]));
    assert_eq!(lines[0], lines[1]);
    assert_eq!(fixture.records().await.len(), 201);
}

async fn open_a_client_per_message(folder: &Path, log: &Path) {
    let send_one = async || {
        let client = open(folder);
        send(&client, Request::new("x")).await.expect("sent");
        client.close(Duration::from_secs(1)).await.expect("closed");
    };
    send_one().await;
    append(log, &belongings());
    for _ in 0..200 {
        send_one().await;
    }
    append(log, &belongings());
}

/// The threads and sockets of this process. A socket that was opened anew has another number.
fn belongings() -> String {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").count();
    let sockets: BTreeSet<String> = std::fs::read_dir("/proc/self/fd")
        .expect("Linux")
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| target.starts_with("socket:"))
        .collect();
    format!("{threads} threads, sockets {sockets:?}")
}
