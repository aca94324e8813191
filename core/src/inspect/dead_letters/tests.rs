//! Settling dead letters, against a topic in memory that can break off.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::*;
use crate::binding::{Call, OutputBinding, Reply, Request};
use crate::body::Body;
use crate::inspect::{Bookmark, Examination, Inspector, Keeper};
use crate::manifest::Component;
use crate::metadata::Metadata;
use crate::registry::{self, ComponentType};

/// What a test and the component share: by the component's name.
#[derive(Default)]
struct Shared {
    /// Texts that were sent, in their order.
    sent: Vec<String>,
    /// The texts of a letter whose sending fails, and with which code.
    refuses: Option<(String, ErrorCode)>,
    bookmarks: Vec<Bookmark>,
    /// So many more writes succeed.
    writes: Option<usize>,
}

static SHARED: Mutex<BTreeMap<String, Arc<Mutex<Shared>>>> = Mutex::new(BTreeMap::new());

fn shared(name: &str) -> Arc<Mutex<Shared>> {
    SHARED.lock().entry(name.to_owned()).or_default().clone()
}

struct Sender(Arc<Mutex<Shared>>);

#[async_trait]
impl OutputBinding for Sender {
    fn operations(&self) -> &[&'static str] {
        &["create"]
    }

    async fn invoke(&self, _call: &Call, request: Request) -> Result<Reply> {
        let text = String::from_utf8(request.body.as_bytes().expect("data").to_vec()).expect("text");
        let mut shared = self.0.lock();
        if let Some((_, code)) = shared.refuses.as_ref().filter(|(refused, _)| *refused == text) {
            return Err(Error::new(*code, "as the test wants it"));
        }
        shared.sent.push(text);
        Ok(Reply::default())
    }

    async fn close(&self, _deadline: Instant) -> Result<()> {
        Ok(())
    }
}

struct Kind;

impl Inspector for Kind {
    fn examine(&self, _component: &Component, _examination: &mut Examination<'_>) {}

    fn output_to(&self, component: &Component, _topic: &str) -> Result<Arc<dyn OutputBinding>> {
        Ok(Arc::new(Sender(shared(&component.name))))
    }
}

struct Topic {
    shared: Arc<Mutex<Shared>>,
    records: Vec<Record>,
    queue: VecDeque<Record>,
    /// What somebody writes while the topic is being read.
    meanwhile: Option<Record>,
    ended: bool,
}

fn partition() -> Partition {
    Partition { topic: "failed".into(), number: 0 }
}

impl Journal for Topic {
    fn extents(&mut self) -> Result<Vec<Extent>> {
        let end = self.records.last().map_or(0, |record| record.offset + 1);
        Ok(vec![Extent { partition: partition(), oldest: 0, end }])
    }

    fn start(&mut self, from: &[(Partition, i64)]) -> Result<()> {
        self.records.extend(self.meanwhile.take());
        self.queue = self.records.iter().filter(|record| record.offset >= from[0].1).cloned().collect();
        self.ended = false;
        Ok(())
    }

    fn next(&mut self, _patience: Duration) -> Result<Next> {
        if let Some(record) = self.queue.pop_front() {
            return Ok(Next::Record(record));
        }
        let at_end = if self.ended { Next::Nothing } else { Next::AtEnd(partition()) };
        self.ended = true;
        Ok(at_end)
    }

    fn bookmarks(&mut self, name: &str) -> Result<Vec<Bookmark>> {
        assert_eq!(name, "failed.bindwright-dlq");
        Ok(self.shared.lock().bookmarks.clone())
    }

    fn keeper(&mut self, _name: &str, _interrupted: &dyn Fn() -> bool) -> Result<Box<dyn Keeper>> {
        Ok(Box::new(Writer(self.shared.clone())))
    }
}

struct Writer(Arc<Mutex<Shared>>);

impl Keeper for Writer {
    fn write(&mut self, bookmarks: &[Bookmark]) -> Result<()> {
        let mut shared = self.0.lock();
        if let Some(writes) = &mut shared.writes {
            if *writes == 0 {
                return Err(Error::new(ErrorCode::Unavailable, "killed"));
            }
            *writes -= 1;
        }
        assert!(bookmarks.iter().all(|one| one.note.len() <= 4096), "what brokers keep");
        shared.bookmarks = bookmarks.to_vec();
        Ok(())
    }

    fn tend(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Letter `offset` has the data `offset`, comes from `source` and has the code `even` or `odd`.
fn letter(offset: i64, source: Option<&str>) -> Record {
    let mut metadata = Metadata::new();
    if let Some(source) = source {
        metadata.add("deadLetterSource", source.to_owned());
        metadata.add("deadLetterTopic", "orders");
    }
    metadata.add("deadLetterCode", if offset % 2 == 0 { "even" } else { "odd" });
    Record::new(partition(), offset, Body::from(offset.to_string()), metadata)
}

/// Dead letters with these offsets, of a component of this name.
fn letters(name: &str, offsets: impl IntoIterator<Item = i64>) -> (DeadLetters, Arc<Mutex<Shared>>) {
    registry::register(ComponentType::new("bindings.of-dead-letters").inspect(&Kind));
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec: {{type: bindings.of-dead-letters}}"
    );
    let manifest = Manifest::parse(text.as_bytes(), "<text>", None).expect("a document");
    let shared = shared(name);
    let records = offsets.into_iter().map(|offset| letter(offset, Some(name))).collect();
    let mut topic =
        Topic { shared: shared.clone(), records, queue: VecDeque::new(), meanwhile: None, ended: false };
    let extents = topic.extents().expect("extents");
    let letters = DeadLetters {
        manifest,
        component: name.to_owned(),
        journal: Box::new(topic),
        extents,
        group: "failed.bindwright-dlq".to_owned(),
        patience: Duration::from_secs(5),
    };
    (letters, shared)
}

const ALL: Settling = Settling { action: Action::Replay, limit: None, rate: None };

fn run(letters: &mut DeadLetters, filter: &DeadLetterFilter, settling: &Settling) -> Settled {
    letters.settle(filter, settling, &mut |_| {}, &|| false).expect("it began")
}

fn of_code(code: &str) -> DeadLetterFilter {
    DeadLetterFilter { codes: vec![code.to_owned()], ..DeadLetterFilter::default() }
}

fn texts(offsets: impl IntoIterator<Item = i64>) -> Vec<String> {
    offsets.into_iter().map(|offset| offset.to_string()).collect()
}

#[test]
fn what_was_replayed_is_not_replayed_again() {
    let (mut letters, shared) = letters("replays-once", 0..250);
    let settled = run(&mut letters, &DeadLetterFilter::default(), &ALL);
    assert_eq!((settled.settled, settled.ended.is_none()), (250, true));
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &ALL).settled, 0);
    assert_eq!(shared.lock().sent, texts(0..250));
    let bookmark = shared.lock().bookmarks[0].clone();
    assert_eq!((bookmark.offset, bookmark.note.as_str()), (250, "1:"));
}

#[test]
fn what_is_done_between_others_is_remembered_too() {
    // Some offsets do not exist: they are the ends of transactions, or were compacted away.
    let (mut letters, shared) = letters("done-between", (0..300).filter(|offset| offset % 7 != 6));
    let count = |code: i64| (0..300).filter(|offset| offset % 7 != 6 && offset % 2 == code).count() as u64;
    assert_eq!(run(&mut letters, &of_code("odd"), &ALL).settled, count(1));
    assert_eq!(run(&mut letters, &of_code("odd"), &ALL).settled, 0);
    let survey = letters.survey(&DeadLetterFilter::default(), |_| {}, &|| false).expect("a survey");
    assert_eq!((survey.pending, survey.done, survey.remembered), (count(0), count(1), true));
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &ALL).settled, count(0));
    assert_eq!(shared.lock().sent.len() as u64, count(0) + count(1));
    assert_eq!(shared.lock().bookmarks[0].offset, 300);
}

#[test]
fn a_run_that_breaks_off_repeats_one_portion_at_most() {
    let (mut letters, shared) = letters("breaks-off", 0..450);
    shared.lock().writes = Some(2);
    let settled = run(&mut letters, &DeadLetterFilter::default(), &ALL);
    assert_eq!((settled.settled, settled.uncertain), (200, 100));
    assert_eq!(settled.ended.expect("it broke off").code(), ErrorCode::Unavailable);
    shared.lock().writes = None;
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &ALL).settled, 250);
    let sent = shared.lock().sent.clone();
    assert_eq!(sent.len(), 550);
    assert_eq!(sent, texts((0..300).chain(200..450)));
}

#[test]
fn a_backend_that_is_away_ends_the_run_after_what_it_confirmed() {
    let (mut letters, shared) = letters("is-away", 0..10);
    shared.lock().refuses = Some(("4".to_owned(), ErrorCode::OutcomeUnknown));
    let settled = run(&mut letters, &DeadLetterFilter::default(), &ALL);
    assert_eq!((settled.settled, settled.uncertain), (9, 1));
    assert_eq!(settled.ended.expect("it ended").code(), ErrorCode::OutcomeUnknown);
    shared.lock().refuses = None;
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &ALL).settled, 1);
    assert_eq!(shared.lock().sent.last().map(String::as_str), Some("4"));
}

#[test]
fn what_cannot_be_sent_back_stays_and_is_counted() {
    let (mut letters, shared) = letters("cannot-go-back", 0..4);
    shared.lock().refuses = Some(("2".to_owned(), ErrorCode::PayloadTooLarge));
    let records = vec![letter(0, None), letter(1, Some("somebody")), letter(2, Some("cannot-go-back"))];
    let topic =
        Topic { shared: shared.clone(), records, queue: VecDeque::new(), meanwhile: None, ended: false };
    letters.journal = Box::new(topic);
    let settled = run(&mut letters, &DeadLetterFilter::default(), &ALL);
    assert_eq!((settled.settled, settled.unfit.values().sum::<u64>(), settled.unfit.len()), (0, 3, 3));
    assert!(settled.unfit.contains_key(&Unfit::NoOrigin), "{:?}", settled.unfit);
    assert!(settled.ended.is_none() && shared.lock().sent.is_empty());
    let drop = Settling { action: Action::Drop, ..ALL };
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &drop).settled, 3);
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &ALL).unfit.len(), 0);
}

#[test]
fn letters_that_arrive_meanwhile_are_left_to_the_next_run() {
    let (mut letters, shared) = letters("arrive-meanwhile", 0..2);
    let records = vec![letter(0, Some("arrive-meanwhile")), letter(1, Some("arrive-meanwhile"))];
    let meanwhile = Some(letter(2, Some("arrive-meanwhile")));
    let topic = Topic { shared: shared.clone(), records, queue: VecDeque::new(), meanwhile, ended: false };
    letters.journal = Box::new(topic);
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &ALL).settled, 2);
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &ALL).settled, 1);
    assert_eq!(shared.lock().sent, texts(0..3));
}

#[test]
fn a_limit_and_a_rate_are_kept() {
    let (mut letters, shared) = letters("limit-and-rate", 0..200);
    let settling = Settling { limit: Some(7), rate: Some(20.0), ..ALL };
    let began = Instant::now();
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &settling).settled, 7);
    // Six letters are out, by two, before the last one.
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    let few = Settling { limit: Some(101), ..ALL };
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &few).settled, 101);
    assert_eq!(shared.lock().sent, texts(0..108));
}

#[test]
fn what_cannot_be_remembered_is_not_sent() {
    // Far apart, so that each takes many digits.
    let (mut letters, shared) = letters("too-many-gaps", (0..2000).map(|number| number * 50_001));
    let settled = run(&mut letters, &of_code("odd"), &ALL);
    let error = settled.ended.expect("it ended");
    assert!(error.to_string().contains("too many gaps"), "{error}");
    assert!(settled.settled > 100 && settled.settled < 1000, "{}", settled.settled);
    assert_eq!(shared.lock().sent.len() as u64, settled.settled);
    assert_eq!(run(&mut letters, &DeadLetterFilter::default(), &ALL).settled, 2000 - settled.settled);
}

#[test]
fn ctrl_c_ends_a_run_between_letters() {
    let (mut letters, shared) = letters("ctrl-c", 0..1000);
    let looks = Cell::new(0);
    let interrupted = || looks.replace(looks.get() + 1) >= 250;
    let filter = DeadLetterFilter::default();
    let settled = letters.settle(&filter, &ALL, &mut |_| {}, &interrupted).expect("it began");
    assert_eq!(settled.ended.expect("it ended").code(), ErrorCode::Cancelled);
    assert_eq!((settled.settled, shared.lock().sent.len()), (200, 200));
}
