//! `bindwright dlq …`: dead letters. Here are the arguments.

mod listing;
mod settling;

use std::time::{Duration, SystemTime};

use bindwright::inspect::{Action, DeadLetterFilter, DeadLetters, OffsetRange, Settling, read_moment};
use clap::{Args, Subcommand};

use super::Resources;
use crate::signals::Stop;
use crate::terminal::Terminal;
use crate::{Failure, shown};

use settling::settle;

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
