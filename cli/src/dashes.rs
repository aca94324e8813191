//! Long flags with a single dash, as daprd takes them: `bindwright serve -app-id orders`.

use std::ffi::OsString;

/// Gives long flags of `serve` and `run` their second dash. What follows `--` is somebody else's.
pub(crate) fn doubled(arguments: Vec<OsString>, command: &clap::Command) -> Vec<OsString> {
    let is_name = |word: &OsString| word == "serve" || word == "run";
    let Some(at) = arguments.iter().skip(1).position(is_name).map(|at| at + 1) else { return arguments };
    let Some(named) = arguments[at].to_str().and_then(|name| command.find_subcommand(name)) else {
        return arguments;
    };
    let longs: Vec<&str> = named
        .get_arguments()
        .flat_map(|flag| flag.get_long_and_visible_aliases().unwrap_or_default())
        .collect();
    let mut is_ours = true;
    let second = |(index, word): (usize, OsString)| {
        is_ours &= word != "--";
        let name = word.to_str().and_then(|text| text.strip_prefix('-'));
        let name = name.map(|text| text.split_once('=').map_or(text, |(name, _)| name));
        if index <= at || !is_ours || !name.is_some_and(|name| longs.contains(&name)) {
            return word;
        }
        let mut doubled = OsString::from("-");
        doubled.push(word);
        doubled
    };
    arguments.into_iter().enumerate().map(second).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubled_line(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let words = doubled(words, &crate::command());
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn long_flags_of_serve_and_run_get_their_second_dash_and_nothing_else_does() {
        for (line, expected) in [
            (
                "bindwright serve -app-id a -dapr-http-port=1 -p 3",
                "bindwright serve --app-id a --dapr-http-port=1 -p 3",
            ),
            ("bindwright serve -app-max-concurrency -1", "bindwright serve --app-max-concurrency -1"),
            ("bindwright run -app-id a -- x -app-id b", "bindwright run --app-id a -- x -app-id b"),
            ("bindwright check -app-id a", "bindwright check -app-id a"),
            ("bindwright serve -nothing", "bindwright serve -nothing"),
        ] {
            assert_eq!(doubled_line(line), expected);
        }
    }
}
