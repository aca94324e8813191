//! The command line.

use crate::Failure;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    AtOnce,
    One,
    Bulk,
}

pub(crate) struct Options {
    pub(crate) resources: String,
    pub(crate) bootstrap: String,
    pub(crate) topic: String,
    pub(crate) binding: String,
    pub(crate) mode: Mode,
    pub(crate) in_flight: usize,
    pub(crate) records: usize,
    pub(crate) rounds: usize,
    pub(crate) keyed: bool,
    pub(crate) only: Option<String>,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            resources: String::new(),
            bootstrap: String::new(),
            topic: String::new(),
            binding: "checkout".to_owned(),
            mode: Mode::AtOnce,
            in_flight: 64,
            records: 100_000,
            rounds: 5,
            keyed: false,
            only: None,
        };
        while let Some(word) = words.next() {
            if word == "--keyed" {
                options.keyed = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word}: expected a value"))?;
            match word.as_str() {
                "--resources" => options.resources = value,
                "--bootstrap" => options.bootstrap = value,
                "--topic" => options.topic = value,
                "--binding" => options.binding = value,
                "--mode" => options.mode = mode(&value)?,
                "--in-flight" => options.in_flight = value.parse()?,
                "--records" => options.records = value.parse()?,
                "--rounds" => options.rounds = value.parse()?,
                "--only" => options.only = Some(value),
                _ => return Err(format!("unknown option {word:?}").into()),
            }
        }
        if options.resources.is_empty() || options.bootstrap.is_empty() || options.topic.is_empty() {
            return Err("--resources, --bootstrap and --topic are needed".into());
        }
        Ok(options)
    }
}

fn mode(text: &str) -> Result<Mode, Failure> {
    match text {
        "at-once" => Ok(Mode::AtOnce),
        "one" => Ok(Mode::One),
        "bulk" => Ok(Mode::Bulk),
        _ => Err(format!("--mode: expected at-once, one or bulk, got {text:?}").into()),
    }
}
