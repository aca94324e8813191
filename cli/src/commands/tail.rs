//! `bindwright tail`: looks on.

use std::fmt::Write as _;
use std::time::Duration;

use bindwright::inspect::{Look, LookFrom, LookOptions, Looker, Record};
use clap::Args;
use serde_json::{Map, Value, json};

use super::Resources;
use crate::signals::Stop;
use crate::terminal::Terminal;
use crate::{Failure, shown};

/// How long somebody who pressed Ctrl-C waits at most.
const SLICE: Duration = Duration::from_millis(50);

/// Shows what a component receives, without taking part
///
/// It joins no group and commits nothing: the program that uses the component gets every event as before. Ends with
/// Ctrl-C. Data that is no text is shown in hexadecimal digits, and control characters as escapes.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    resources: Resources,
    /// The component
    name: String,
    /// newest, oldest, or -N for the newest N that are there
    #[arg(long, value_name = "WHERE", default_value = "newest", value_parser = from, allow_hyphen_values = true)]
    from: LookFrom,
    /// End when everything that is there now was shown
    #[arg(long)]
    no_follow: bool,
    /// Wait for more [the default]
    #[arg(long, conflicts_with = "no_follow")]
    follow: bool,
    /// End after so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Only events whose metadata has this; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = shown::pair)]
    filter: Vec<(String, String)>,
    /// Show what the component sends, also where it receives
    #[arg(long)]
    sent: bool,
    /// How long an answer of the backend may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = shown::time_span)]
    timeout: Duration,
}

impl Tail {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let stop = Stop::listen()?;
        let options = LookOptions {
            from: self.from,
            follow: !self.no_follow,
            sent: self.sent,
            entries: self.filter.clone(),
            patience: self.timeout,
        };
        let interrupted = || stop.is_asked();
        let opened = Looker::open(self.resources.options(), &self.name, options, &interrupted);
        let mut looker = match opened {
            Ok(looker) => looker,
            Err(_) if stop.is_asked() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0 && !stop.is_asked() {
            match looker.look(SLICE)? {
                Look::Nothing => {}
                Look::End => break,
                Look::Record(record) => {
                    left -= 1;
                    if terminal.is_json() {
                        terminal.say_json(&for_programs(&record))?;
                    } else {
                        terminal.say(&for_people(&record))?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn from(text: &str) -> Result<LookFrom, String> {
    match text {
        "newest" => Ok(LookFrom::Newest),
        "oldest" => Ok(LookFrom::Oldest),
        _ => text
            .strip_prefix('-')
            .and_then(|count| count.parse().ok())
            .map(LookFrom::Last)
            .ok_or_else(|| "expected newest, oldest or a number such as -10".to_owned()),
    }
}

/// A line about the record, and its data.
pub(super) fn for_people(record: &Record) -> String {
    let mut line = format!(
        "{}  {}",
        shown::moment(record.timestamp()),
        shown::text(&format!("{}:{}", record.partition, record.offset))
    );
    if let Some(key) = record.metadata.get("__key") {
        let _ = write!(line, "  key={}", shown::text(&key));
    }
    for (name, value) in record.metadata.iter().filter(|(name, _)| !name.starts_with("__")) {
        let _ = write!(line, "  {}={}", shown::text(name), shown::text(&value.text()));
    }
    format!("{line}\n{}\n\n", shown::body(&record.body))
}

/// The record as an object.
pub(super) fn for_programs(record: &Record) -> Value {
    let mut object = Map::new();
    object.insert("topic".to_owned(), json!(&*record.partition.topic));
    object.insert("partition".to_owned(), json!(record.partition.number));
    object.insert("offset".to_owned(), json!(record.offset));
    object.insert("timestamp".to_owned(), json!(record.timestamp()));
    object.insert("key".to_owned(), json!(record.metadata.get("__key")));
    object.insert("metadata".to_owned(), shown::metadata(&record.metadata));
    shown::put_body(&mut object, &record.body);
    object.into()
}
