//! `bindwright dlq ls` and `bindwright dlq show`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use bindwright::inspect::DeadLetter;
use serde_json::{Value, json};

use super::super::tail;
use super::{Ls, Show};
use crate::signals::Stop;
use crate::terminal::Terminal;
use crate::{Failure, shown};

/// Dead letters of one kind.
#[derive(Default)]
struct Kind {
    count: u64,
    oldest: Option<i64>,
    newest: Option<i64>,
    cause: Option<String>,
}

type Kinds = BTreeMap<[Option<String>; 3], Kind>;

impl Ls {
    pub(super) fn run(&self, terminal: &Terminal, stop: &Stop) -> Result<(), Failure> {
        let mut letters = self.target.open(stop)?;
        let (mut kinds, mut each) = (Kinds::new(), Vec::new());
        let survey = letters.survey(
            &self.filter.meant(),
            |letter| {
                if !letter.pending && !self.all {
                    return;
                }
                let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
                let names = [owned(letter.source()), owned(letter.code()), owned(letter.topic())];
                let kind = kinds.entry(names).or_default();
                kind.count += 1;
                let time = letter.time();
                kind.oldest = kind.oldest.or(time).min(time.or(kind.oldest));
                if kind.newest <= time {
                    (kind.newest, kind.cause) = (time, owned(letter.cause()));
                }
                if self.each {
                    each.push(letter.clone());
                }
            },
            &|| stop.is_asked(),
        )?;
        if terminal.is_json() {
            return terminal.say_json(&json!({
                "topic": letters.topic(),
                "group": letters.group(),
                "pending": survey.pending,
                "done": survey.done,
                "kinds": kinds.iter().map(kind_for_programs).collect::<Vec<_>>(),
                "letters": self.each.then(|| each.iter().map(for_programs).collect::<Vec<_>>()),
            }));
        }
        let mut text = format!("{}: {} pending, {} done\n", letters.topic(), survey.pending, survey.done);
        if !kinds.is_empty() {
            let _ = write!(text, "\n{}", kinds_for_people(&kinds));
        }
        if !each.is_empty() {
            let _ = write!(text, "\n{}", letters_for_people(&each));
        }
        terminal.say(&text)
    }
}

fn kind_for_programs(([source, code, topic], kind): (&[Option<String>; 3], &Kind)) -> Value {
    json!({
        "source": source,
        "code": code,
        "topic": topic,
        "count": kind.count,
        "oldest": kind.oldest,
        "newest": kind.newest,
        "newestCause": kind.cause,
    })
}

fn kinds_for_people(kinds: &Kinds) -> String {
    let heads = ["COUNT", "FROM", "TOPIC", "CODE", "OLDEST", "NEWEST", "NEWEST CAUSE"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let shown = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), shown::text);
    for ([source, code, topic], kind) in kinds {
        rows.push(vec![
            kind.count.to_string(),
            shown(source),
            shown(topic),
            shown(code),
            shown::moment(kind.oldest),
            shown::moment(kind.newest),
            shown(&kind.cause),
        ]);
    }
    shown::table(&rows)
}

fn letters_for_people(letters: &[DeadLetter]) -> String {
    let heads = ["PLACE", "TIME", "STATE", "FROM", "CODE", "ATTEMPTS", "CAUSE"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let shown = |text: Option<Cow<'_, str>>| text.map_or_else(|| "-".to_owned(), |text| shown::text(&text));
    for letter in letters {
        rows.push(vec![
            format!("{}:{}", letter.record.partition.number, letter.record.offset),
            shown::moment(letter.time()),
            state(letter).to_owned(),
            shown(letter.source()),
            shown(letter.code()),
            letter.attempts().map_or_else(|| "-".to_owned(), |attempts| attempts.to_string()),
            shown(letter.cause()),
        ]);
    }
    shown::table(&rows)
}

const fn state(letter: &DeadLetter) -> &'static str {
    if letter.pending { "pending" } else { "done" }
}

fn for_programs(letter: &DeadLetter) -> Value {
    let mut object = tail::for_programs(&letter.record);
    object["state"] = json!(state(letter));
    object
}

impl Show {
    pub(super) fn run(&self, terminal: &Terminal, stop: &Stop) -> Result<(), Failure> {
        let mut letters = self.target.open(stop)?;
        let letter = letters.find(self.place.partition, self.place.first, &|| stop.is_asked())?;
        if terminal.is_json() {
            return terminal.say_json(&for_programs(&letter));
        }
        let mut rows = vec![vec!["state".to_owned(), state(&letter).to_owned()]];
        if let Err(unfit) = letters.target(&letter) {
            rows.push(vec![
                "replay".to_owned(),
                format!("not possible: {}", shown::text(&unfit.to_string())),
            ]);
        }
        for (name, value) in letter.record.metadata.iter() {
            rows.push(vec![shown::text(name), shown::text(&value.text())]);
        }
        terminal.say(&format!("{}\n{}\n", shown::table(&rows), shown::body(&letter.record.body)))
    }
}
