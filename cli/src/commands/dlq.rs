//! `bindwright dlq …`: dead letters.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::time::{Duration, SystemTime};

use bindwright::inspect::{
    Action, DeadLetter, DeadLetterFilter, DeadLetterOrigin, DeadLetters, OffsetRange, Settled, Settling,
    Unfit, read_moment,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Resources, tail};
use crate::signals::Stop;
use crate::terminal::{Terminal, describe};
use crate::{Failure, complain, shown};

/// Dead letters: lists, shows, replays and drops them
///
/// NAME is a component with a `deadLetterBinding`, or one whose topic holds dead letters. The topic itself is never
/// changed: what was replayed or dropped is remembered in the offsets of the consumer group `TOPIC.bindwright-dlq`,
/// so that a second run does not do it again.
#[derive(Debug, Args)]
pub(crate) struct Dlq {
    #[command(subcommand)]
    action: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    Ls(Ls),
    Show(Show),
    Replay(Replay),
    Drop(DropLetters),
}

#[derive(Debug, Args)]
struct Target {
    #[command(flatten)]
    resources: Resources,
    /// The component
    name: String,
    /// How long an answer of the backend may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = shown::time_span)]
    timeout: Duration,
}

/// Which dead letters are meant: those that all of this is true of.
#[derive(Debug, Args)]
struct Filter {
    /// Given up for this reason: the class of the exception, or a code; may be given more than once
    #[arg(long, value_name = "CODE")]
    code: Vec<String>,
    /// Given up by this component; may be given more than once
    #[arg(long, value_name = "COMPONENT")]
    source: Vec<String>,
    /// With this entry of metadata; may be given more than once
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = shown::pair)]
    entries: Vec<(String, String)>,
    /// Given up at this time or later: 2026-11-21, 2026-11-21T18:00:00Z, or 2h ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Given up before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// In this place, PARTITION:OFFSET or PARTITION:FIRST-LAST; may be given more than once
    #[arg(long = "at", value_name = "RANGE", value_parser = range)]
    ranges: Vec<OffsetRange>,
}

impl Filter {
    fn meant(&self) -> DeadLetterFilter {
        DeadLetterFilter {
            codes: self.code.clone(),
            sources: self.source.clone(),
            entries: self.entries.clone(),
            since: self.since,
            until: self.until,
            ranges: self.ranges.clone(),
        }
    }
}

/// Counts dead letters by where they came from and why
#[derive(Debug, Args)]
struct Ls {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    filter: Filter,
    /// List each of them
    #[arg(long)]
    each: bool,
    /// Also those that were replayed or dropped
    #[arg(long)]
    all: bool,
}

/// Shows one dead letter as a whole
#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    target: Target,
    /// Where it stands, PARTITION:OFFSET
    #[arg(value_name = "PLACE", value_parser = range)]
    place: OffsetRange,
}

/// Sends dead letters back to the topics that they came from
///
/// With the data, the key and the headers of the event; a header `deadLetterReplay` says that it is one. Each is
/// confirmed before it is remembered as done. A run that is killed repeats at most the letters of one portion, 100.
/// Letters that arrive meanwhile are left to the next run.
#[derive(Debug, Args)]
struct Replay {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    filter: Filter,
    /// The most letters in a second
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    #[command(flatten)]
    caution: Caution,
}

/// Gives dead letters up: they count as done and are not sent
#[derive(Debug, Args)]
#[command(name = "drop")]
struct DropLetters {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    caution: Caution,
}

#[derive(Debug, Args)]
struct Caution {
    /// End after so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Only say what would be done
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
}

fn moment(text: &str) -> Result<i64, String> {
    read_moment(text, SystemTime::now()).map_err(|error| error.message().to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches("/s").parse().ok();
    number
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| "expected a number above 0".to_owned())
}

fn range(text: &str) -> Result<OffsetRange, String> {
    let unfit = || "expected PARTITION:OFFSET or PARTITION:FIRST-LAST".to_owned();
    let (partition, offsets) = text.split_once(':').ok_or_else(unfit)?;
    let (first, last) = offsets.split_once('-').unwrap_or((offsets, offsets));
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0).ok_or_else(unfit);
    let partition = i32::try_from(number(partition)?).map_err(|_| unfit())?;
    Ok(OffsetRange { partition, first: number(first)?, last: number(last)? })
}

impl Dlq {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let stop = Stop::listen()?;
        match &self.action {
            Word::Ls(ls) => ls.run(terminal, &stop),
            Word::Show(show) => show.run(terminal, &stop),
            Word::Replay(replay) => {
                let settling =
                    Settling { action: Action::Replay, limit: replay.caution.limit, rate: replay.rate };
                settle(&replay.target, &replay.filter, &replay.caution, &settling, terminal, &stop)
            }
            Word::Drop(drop) => {
                let settling = Settling { action: Action::Drop, limit: drop.caution.limit, rate: None };
                settle(&drop.target, &drop.filter, &drop.caution, &settling, terminal, &stop)
            }
        }
    }
}

impl Target {
    fn open(&self, stop: &Stop) -> Result<DeadLetters, Failure> {
        let options = self.resources.options();
        Ok(DeadLetters::open(options, &self.name, self.timeout, &|| stop.is_asked())?)
    }
}

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
    fn run(&self, terminal: &Terminal, stop: &Stop) -> Result<(), Failure> {
        let mut letters = self.target.open(stop)?;
        let (mut kinds, mut each) = (Kinds::new(), Vec::new());
        let survey = letters.survey(
            &self.filter.meant(),
            |letter| {
                if !letter.pending && !self.all {
                    return;
                }
                let owned = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
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
            text.push_str(&format!("\n{}", kinds_for_people(&kinds)));
        }
        if !each.is_empty() {
            text.push_str(&format!("\n{}", letters_for_people(&each)));
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
    let shown = |text: Option<std::borrow::Cow<'_, str>>| {
        text.map_or_else(|| "-".to_owned(), |text| shown::text(&text))
    };
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
    fn run(&self, terminal: &Terminal, stop: &Stop) -> Result<(), Failure> {
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

/// Replays or drops.
fn settle(
    target: &Target,
    filter: &Filter,
    caution: &Caution,
    settling: &Settling,
    terminal: &Terminal,
    stop: &Stop,
) -> Result<(), Failure> {
    let may_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !caution.yes && !caution.dry_run && !may_ask {
        return Err(Failure::Usage("nobody can be asked here; say --yes or --dry-run".to_owned()));
    }
    let mut letters = target.open(stop)?;
    let filter = filter.meant();
    if !caution.yes {
        let plan = Plan::make(&mut letters, &filter, settling, stop)?;
        if caution.dry_run {
            return plan.show(terminal);
        }
        complain(&plan.for_people());
        if plan.count() == 0 || !agreed(settling.action) {
            return if plan.count() == 0 { Ok(()) } else { Err(Failure::Told) };
        }
    }
    let shows_progress = std::io::stderr().is_terminal() && !terminal.is_json();
    let mut tell = |settled: &Settled| {
        if shows_progress {
            complain(&format!("\r{} done", settled.settled));
        }
    };
    let settled = letters.settle(&filter, settling, &mut tell, &|| stop.is_asked())?;
    if shows_progress {
        complain("\r");
    }
    report(&settled, settling.action, terminal)
}

/// Asks whoever sits in front of it.
fn agreed(action: Action) -> bool {
    complain(match action {
        Action::Replay => "Replay them? [y/N] ",
        Action::Drop => "Drop them? [y/N] ",
    });
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// What would be done.
struct Plan {
    topic: String,
    action: Action,
    targets: BTreeMap<DeadLetterOrigin, u64>,
    /// For which it does not matter where they came from.
    dropped: u64,
    unfit: BTreeMap<Unfit, u64>,
    remembered: bool,
    done: u64,
}

impl Plan {
    fn make(
        letters: &mut DeadLetters,
        filter: &DeadLetterFilter,
        settling: &Settling,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let mut pending = Vec::new();
        let mut origins = BTreeMap::<Option<DeadLetterOrigin>, DeadLetter>::new();
        let survey = letters.survey(
            filter,
            |letter| {
                if letter.pending {
                    let origin = letter.origin();
                    origins.entry(origin.clone()).or_insert_with(|| letter.clone());
                    pending.push(origin);
                }
            },
            &|| stop.is_asked(),
        )?;
        let limit = settling.limit.unwrap_or(u64::MAX);
        let mut plan = Self {
            topic: letters.topic().to_owned(),
            action: settling.action,
            targets: BTreeMap::new(),
            dropped: 0,
            unfit: BTreeMap::new(),
            remembered: survey.remembered,
            done: survey.done,
        };
        for origin in pending {
            if plan.count() >= limit {
                break;
            }
            if settling.action == Action::Drop {
                plan.dropped += 1;
                continue;
            }
            match letters.target(&origins[&origin]) {
                Ok(target) => *plan.targets.entry(target).or_default() += 1,
                Err(unfit) => *plan.unfit.entry(unfit).or_default() += 1,
            }
        }
        Ok(plan)
    }

    fn count(&self) -> u64 {
        self.dropped + self.targets.values().sum::<u64>()
    }

    fn for_people(&self) -> String {
        let what = if self.action == Action::Replay { "replayed" } else { "dropped" };
        let mut text = format!("{}: {} to be {what}, {} done before\n", self.topic, self.count(), self.done);
        for (origin, count) in &self.targets {
            let (topic, source) = (shown::text(&origin.topic), shown::text(&origin.source));
            text.push_str(&format!("  {count} to {topic}, through {source}\n"));
        }
        for (unfit, count) in &self.unfit {
            text.push_str(&format!("  {count} cannot be: {}\n", shown::text(&unfit.to_string())));
        }
        if !self.remembered {
            text.push_str("  nothing is remembered of an earlier run\n");
        }
        text
    }

    fn show(&self, terminal: &Terminal) -> Result<(), Failure> {
        if !terminal.is_json() {
            return terminal.say(&self.for_people());
        }
        let target = |(origin, count): (&DeadLetterOrigin, &u64)| json!({ "topic": origin.topic, "source": origin.source, "count": count });
        terminal.say_json(&json!({
            "dryRun": true,
            "count": self.count(),
            "done": self.done,
            "targets": self.targets.iter().map(target).collect::<Vec<_>>(),
            "left": unfit(&self.unfit),
            "remembered": self.remembered,
        }))
    }
}

fn unfit(unfit: &BTreeMap<Unfit, u64>) -> Vec<Value> {
    unfit.iter().map(|(unfit, count)| json!({ "reason": unfit.to_string(), "count": count })).collect()
}

fn report(settled: &Settled, action: Action, terminal: &Terminal) -> Result<(), Failure> {
    let left: u64 = settled.unfit.values().sum();
    if terminal.is_json() {
        terminal.say_json(&json!({
            "count": settled.settled,
            "left": unfit(&settled.unfit),
            "uncertain": settled.uncertain,
            "error": settled.ended.as_ref().map(describe),
        }))?;
    } else {
        let what = if action == Action::Replay { "replayed" } else { "dropped" };
        let mut text = format!("{what} {}\n", settled.settled);
        for (unfit, count) in &settled.unfit {
            text.push_str(&format!("left {count}: {}\n", shown::text(&unfit.to_string())));
        }
        if settled.uncertain > 0 {
            text.push_str(&format!("perhaps sent and not remembered: {}\n", settled.uncertain));
        }
        terminal.say(&text)?;
        if let Some(error) = &settled.ended {
            terminal.complain(error);
        }
    }
    if settled.ended.is_none() && left == 0 { Ok(()) } else { Err(Failure::Told) }
}
