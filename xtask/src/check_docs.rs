//! `cargo xtask check-docs`: do the paths, links and commands in our documents exist?
//!
//! Looked at are `README.md`, `CONTRIBUTING.md` and every Markdown file under `docs`.
//!
//! A code span is a path of the repository when it has a slash and either begins with a folder of the root,
//! ends with a slash, or has the extension of a source file; so is the bare name of a `.md`, `.toml` or `.rs`
//! file. `*` and `<word>` in it stand for any name. Files of a reader's own project are written with `./` in
//! front and not looked at. Commands (`make x`, `cargo xtask x`) count in code blocks too.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::Outcome;

/// Folders that a build makes.
const MADE: &[&str] = &["target", "dist", "node_modules", ".venv"];
/// A span with a slash and one of these endings is a path of ours.
const SOURCES: &[&str] =
    &["rs", "py", "pyi", "ts", "mts", "js", "java", "kt", "md", "toml", "yaml", "yml", "json", "sh"];
/// A span without a slash and with one of these endings is the name of one of our files.
const NAMED: &[&str] = &["rs", "md", "toml"];

/// Something that a document names.
#[derive(Debug, PartialEq, Eq)]
enum Mention {
    /// A path from the root, or from the document's folder.
    Path(String),
    /// The target of a Markdown link, from the document's folder.
    Link(String),
    /// A target of the Makefile.
    Make(String),
    /// A command of this program.
    Xtask(String),
}

/// Fails with one line, `file:line: what is missing`, for each mention of something that is not there.
pub(crate) fn check(root: &Path) -> Outcome {
    let targets =
        std::fs::read_to_string(root.join("Makefile")).map(|text| make_targets(&text)).unwrap_or_default();
    let mut documents = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    documents.extend(files_under(&root.join("docs")).into_iter().filter(|file| has_extension(file, &["md"])));
    let ours = files_under(root);
    let mut faults = String::new();
    let mut count = 0;
    for document in documents {
        let folder = document.parent().unwrap_or(root);
        let text = crate::read(&document)?;
        for (line, mention) in mentions(&text) {
            count += 1;
            let fault = match &mention {
                Mention::Path(path) if !is_path(root, path) || exists(root, folder, path, &ours) => continue,
                Mention::Path(path) => format!("no file or folder `{path}` in the repository"),
                Mention::Link(target) if folder.join(target).exists() => continue,
                Mention::Link(target) => format!("the link to {target} leads nowhere"),
                Mention::Make(target) if targets.contains(target) => continue,
                Mention::Make(target) => format!("no target `{target}` in the Makefile"),
                Mention::Xtask(command) if crate::COMMANDS.contains(&command.as_str()) => continue,
                Mention::Xtask(command) => format!("no command `cargo xtask {command}`"),
            };
            let name = document.strip_prefix(root).unwrap_or(&document).display();
            let _ = writeln!(faults, "{name}:{line}: {fault}");
        }
    }
    if faults.is_empty() {
        println!("{count} mentions of paths, links and commands, all there");
        return Ok(());
    }
    Err(faults + "correct the document; write a path of the reader's own project as `./path`")
}

/// Everything that the document names, with line numbers.
fn mentions(text: &str) -> Vec<(usize, Mention)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let mut mentions = Vec::new();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            fenced = !fenced;
        } else if fenced {
            commands(trimmed, &mut mentions);
        } else {
            in_text(line, &mut mentions);
        }
        found.extend(mentions.into_iter().map(|mention| (index + 1, mention)));
    }
    found
}

/// What a line of running text names, in code spans and in links.
fn in_text(line: &str, found: &mut Vec<Mention>) {
    let parts: Vec<&str> = line.split('`').collect();
    for span in parts.iter().enumerate().filter(|(index, _)| index % 2 == 1 && index + 1 < parts.len()) {
        let span = span.1.trim();
        let before = found.len();
        commands(span, found);
        if found.len() == before {
            found.push(Mention::Path(span.to_owned()));
        }
    }
    for rest in line.split("](").skip(1) {
        let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains(':') {
            found.push(Mention::Link(target.to_owned()));
        }
    }
}

/// What a command line names, if it begins with a command that we know.
fn commands(line: &str, found: &mut Vec<Mention>) {
    let line = line.strip_prefix("$ ").unwrap_or(line);
    let line = line.split(" #").next().unwrap_or_default();
    for part in line.split(['&', ';', '|']) {
        let mut words = part.split_whitespace();
        match words.next() {
            Some("make") => found.extend(
                words
                    .take_while(|word| {
                        word.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '-')
                    })
                    .filter(|word| !word.starts_with('-') && !word.contains('='))
                    .map(|word| Mention::Make(word.to_owned())),
            ),
            Some("cargo") if words.next() == Some("xtask") => {
                found.extend(words.next().map(|word| Mention::Xtask(word.to_owned())));
            }
            _ => {}
        }
    }
}

/// The names before the colon of each rule.
fn make_targets(makefile: &str) -> Vec<String> {
    makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', ' ', '#', '.']))
        .filter_map(|line| line.split_once(':'))
        .filter(|(names, rest)| !rest.starts_with('=') && !names.contains('='))
        .flat_map(|(names, _)| names.split_whitespace())
        .map(ToOwned::to_owned)
        .collect()
}

/// Whether a code span means a file or folder of the repository.
fn is_path(root: &Path, span: &str) -> bool {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "_.-/*<>".contains(letter);
    if span.is_empty() || !span.chars().all(letters) || span.starts_with(['/', '-', '*', '<']) {
        return false;
    }
    let first = span.split('/').next().unwrap_or_default();
    if first == "." || first == ".." || MADE.contains(&first) {
        return false;
    }
    if !span.contains('/') {
        // `.rs` alone is an ending, not a name.
        return !span.starts_with('.') && has_extension(Path::new(span), NAMED);
    }
    span.ends_with('/') || root.join(first).is_dir() || has_extension(Path::new(span), SOURCES)
}

fn exists(root: &Path, folder: &Path, path: &str, ours: &[PathBuf]) -> bool {
    if !path.contains('/') {
        return ours.iter().any(|file| file.file_name().is_some_and(|name| name == path));
    }
    let names: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    [root, folder].iter().any(|base| matches(base, &names))
}

/// Whether something stands under `base` at these names, of which each may hold one `*` or `<word>`.
fn matches(base: &Path, names: &[&str]) -> bool {
    let Some((name, rest)) = names.split_first() else { return base.exists() };
    let Some((start, end)) = wildcard(name) else { return matches(&base.join(name), rest) };
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        })
        .any(|entry| matches(&entry.path(), rest))
}

/// What stands before and after the part of a name that can be anything.
fn wildcard(name: &str) -> Option<(&str, &str)> {
    name.split_once('*').or_else(|| {
        let (start, rest) = name.split_once('<')?;
        rest.split_once('>').map(|(_, end)| (start, end))
    })
}

/// Every file under a folder, without what a build makes; none when there is no such folder.
fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && name != ".git" && !MADE.contains(&&*name) => {
                    waiting.push(entry.path());
                }
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn has_extension(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|extension| endings.iter().any(|ending| extension == *ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_in_text_and_in_code_blocks() {
        let text = "Run `make test` or\n```sh\n$ make -s demo check && cargo xtask gen  # make no\n```\n";
        let names = |name: &str| Mention::Make(name.into());
        assert_eq!(
            mentions(text),
            [(1, names("test")), (3, names("demo")), (3, names("check")), (3, Mention::Xtask("gen".into()))]
        );
    }

    #[test]
    fn links_are_found_without_addresses_and_anchors() {
        let text = "[a](errors.md#codes) [b](https://example.org/x) [c](#here)";
        assert_eq!(mentions(text), [(1, Mention::Link("errors.md".into()))]);
    }

    #[test]
    fn only_spans_that_look_like_ours_are_paths() {
        let root = crate::root();
        for span in
            ["xtask/src/main.rs", "xtask/src", "gone/src/lib.rs", "gone/", "gone.md", "xtask/<name>.toml"]
        {
            assert!(is_path(&root, span), "{span}");
        }
        for span in [
            "./components/a.yaml",
            "/v1.0/bindings",
            "application/json",
            "bindings.kafka",
            "a b/c.rs",
            "target/x",
        ] {
            assert!(!is_path(&root, span), "{span}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_any_name() {
        let root = crate::root();
        let exists = |path: &str| exists(&root, &root, path, &files_under(&root));
        assert!(exists("xtask/src/*.rs") && exists("xtask/<folder>/main.rs") && exists("check_docs.rs"));
        assert!(!exists("xtask/src/*.py") && !exists("xtask/gone.rs") && !exists("gone_for_ever.rs"));
    }

    #[test]
    fn targets_of_a_makefile_are_names_before_a_colon() {
        let text = ".PHONY: all\nOUT := x\nall build: dep\n\techo a: b\ntest: ## runs\nX ?= a:b\n";
        assert_eq!(make_targets(text), ["all", "build", "test"]);
    }
}
