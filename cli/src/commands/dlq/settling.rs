//! `bindwright dlq replay` and `bindwright dlq drop`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};

use bindwright::inspect::{
    Action, DeadLetter, DeadLetterFilter, DeadLetterOrigin, DeadLetters, Settled, Settling, Unfit,
};
use serde_json::{Value, json};

use super::{Caution, Filter, Target};
use crate::signals::Stop;
use crate::terminal::{Terminal, describe};
use crate::{Failure, complain, shown};

/// Replays or drops.
pub(super) fn settle(
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
            let _ = writeln!(text, "  {count} to {topic}, through {source}");
        }
        for (unfit, count) in &self.unfit {
            let _ = writeln!(text, "  {count} cannot be: {}", shown::text(&unfit.to_string()));
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
            let _ = writeln!(text, "left {count}: {}", shown::text(&unfit.to_string()));
        }
        if settled.uncertain > 0 {
            let _ = writeln!(text, "perhaps sent and not remembered: {}", settled.uncertain);
        }
        terminal.say(&text)?;
        if let Some(error) = &settled.ended {
            terminal.complain(error);
        }
    }
    if settled.ended.is_none() && left == 0 { Ok(()) } else { Err(Failure::Told) }
}
