//! The table of commands.
//!
//! A new command is one file beside this one with a `COMMAND`, and one line in [`ROOT`] or in its group.

mod dev;

use crate::Failure;

/// One word of the command line.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// One line, for the list in the help of the group.
    pub(crate) summary: &'static str,
    /// What `--help` begins with.
    pub(crate) help: &'static str,
    pub(crate) action: Action,
}

/// What a word leads to.
pub(crate) enum Action {
    /// More words.
    Group(&'static [Command]),
    /// Something to do.
    Run { options: &'static [Opt], run: fn(&Values) -> Result<(), Failure> },
}

/// An option with a value: `--name VALUE`.
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    pub(crate) value: &'static str,
    pub(crate) summary: &'static str,
}

/// The options that were given.
#[derive(Default)]
pub(crate) struct Values(Vec<(&'static str, String)>);

impl Values {
    /// The last one given counts, so that a script's options can be overridden.
    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.0.push((name, value));
    }

    /// The value as something else than text; `None` when the option was not given.
    pub(crate) fn parse<T: std::str::FromStr>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Failure> {
        let Some((_, text)) = self.0.iter().rev().find(|(given, _)| *given == name) else { return Ok(None) };
        let fault = |_| Failure::Usage(format!("--{name}: expected {expected}, got {text:?}"));
        text.parse().map(Some).map_err(fault)
    }
}

/// All commands.
pub(crate) static ROOT: Command = Command {
    name: "bindwright",
    summary: "",
    help: "Bindwright: named connections to outside systems, for programs in any language.",
    action: Action::Group(&[dev::COMMAND]),
};

/// Says that there is no such command, and which one was probably meant.
pub(crate) fn unknown(group: &[&str], word: &str, children: &[Command]) -> String {
    let names: Vec<&str> = children.iter().map(|child| child.name).collect();
    let whole = group.iter().copied().chain([word]).collect::<Vec<_>>().join(" ");
    match nearest(word, &names) {
        Some(near) => format!("no command {whole:?}; did you mean {near:?}?"),
        None => format!("no command {whole:?}; there is: {}", names.join(", ")),
    }
}

/// Says that there is no such option, and which one was probably meant.
pub(crate) fn unknown_option(name: &str, options: &[Opt]) -> String {
    let names: Vec<&str> = options.iter().map(|option| option.name).chain(["help"]).collect();
    match nearest(name, &names) {
        Some(near) => format!("no option \"--{name}\"; did you mean \"--{near}\"?"),
        None => format!("no option \"--{name}\""),
    }
}

/// The name with the fewest differing letters, when they are few.
fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let (distance, name) =
        names.iter().map(|name| (distance(&word.to_lowercase(), name), *name)).min_by_key(|pair| pair.0)?;
    (distance <= (name.len() / 3).max(1)).then_some(name)
}

/// How many letters must be added, removed, replaced or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            let mut best = replaced.min(above[column + 1] + 1).min(line[column] + 1);
            let swapped = row > 0 && column > 0 && left[row - 1] == *other && *letter == right[column - 1];
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut above, line);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered_and_a_far_one_is_not() {
        assert_eq!(nearest("dve", &["dev", "serve"]), Some("dev"));
        assert_eq!(nearest("kafak", &["kafka"]), Some("kafka"));
        assert_eq!(nearest("KAFKA", &["kafka"]), Some("kafka"));
        assert_eq!(nearest("rabbit", &["kafka", "dev"]), None);
    }

    #[test]
    fn a_distance_counts_the_letters_to_change() {
        assert_eq!(distance("", "dev"), 3);
        assert_eq!(distance("kafka", "kafka"), 0);
        assert_eq!(distance("kafak", "kafka"), 1);
        assert_eq!(distance("kfka", "kafkas"), 2);
    }
}
