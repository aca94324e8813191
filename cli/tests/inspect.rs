//! `check`, `explain`, `schema`, `types`, `completions` and `man`, as their users run them.
//!
//! What they print is compared with the files in `golden/`, letter by letter. `UPDATE_GOLDEN=1 cargo test -p
//! bindwright-cli --test inspect` writes these files anew.
#![allow(clippy::unwrap_used)] // a test may stop at the first surprise, also outside its own function

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Runs the command beside the documents, without what the environment would add.
fn bindwright(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindwright"));
    command.args(arguments).current_dir(golden());
    for variable in ["APP_ID", "BINDWRIGHT_RESOURCES", "NAMESPACE"] {
        command.env_remove(variable);
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Compares what was printed with a file.
fn same_as(file: &str, arguments: &[&str], code: i32) -> String {
    let output = bindwright(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    let printed = text(&output.stdout).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let path = golden().join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &printed).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(printed, expected, "{arguments:?} does not print {}", path.display());
    printed
}

#[test]
fn check_shows_every_fault_with_its_line() {
    let printed = same_as("check.txt", &["check", "components"], 1);
    assert!(!printed.contains("hunter2") && !printed.contains('\u{1b}'), "{printed}");
}

#[test]
fn check_tells_programs_the_same() {
    let printed = same_as("check.json", &["check", "components", "--format", "json"], 1);
    assert!(!printed.contains("hunter2"), "{printed}");
    assert_eq!(printed, text(&bindwright(&["check", "components", "--output", "json"]).stdout));
    let report: Value = serde_json::from_str(&printed).unwrap();
    let count = report["findings"].as_array().unwrap().len() as u64;
    let counted: u64 = ["errors", "warnings", "notes"].iter().map(|key| report[*key].as_u64().unwrap()).sum();
    assert_eq!(count, counted);
}

#[test]
fn check_writes_sarif_that_names_its_rules() {
    let printed = same_as("check.sarif", &["check", "components", "--format", "sarif"], 1);
    let log: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    for result in run["results"].as_array().unwrap() {
        let rule =
            &run["tool"]["driver"]["rules"][usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(result["message"]["text"].is_string());
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        let place = &result["locations"][0]["physicalLocation"];
        assert!(place["artifactLocation"]["uri"].as_str().unwrap().starts_with("components/"));
        assert!(place["region"]["startLine"].as_u64().unwrap() > 0);
    }
}

#[test]
fn check_says_by_its_exit_code_what_it_found() {
    let code = |arguments: &[&str]| bindwright(arguments).status.code();
    assert_eq!(code(&["check", "good"]), Some(0));
    assert_eq!(code(&["check", "good", "--strict"]), Some(0));
    assert_eq!(code(&["check", "good", "components"]), Some(1));
    assert_eq!(code(&["check", "nowhere"]), Some(1));
    assert_eq!(code(&["check", "good", "-"]), Some(2));
    assert_eq!(code(&["check", "--format", "xml"]), Some(2));
    assert_eq!(text(&bindwright(&["check", "good"]).stdout), "2 components, nothing found\n");
}

#[test]
fn check_reads_the_standard_input() {
    let read = |document: &str, more: &[&str]| {
        let mut process = command(&[&["check", "-"], more].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
        process.wait_with_output().unwrap()
    };
    let good = std::fs::read_to_string(golden().join("good/orders.yaml")).unwrap();
    assert_eq!(read(&good, &["--strict"]).status.code(), Some(0));
    let misspelt = good.replace("maxDeliveryCount", "maxDeliveryCuont");
    assert_eq!(read(&misspelt, &[]).status.code(), Some(0));
    let refused = read(&misspelt, &["--strict"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stdout).contains("--> <stdin>:23:11"), "{}", text(&refused.stdout));
}

#[test]
fn colours_are_for_those_who_ask() {
    assert!(text(&bindwright(&["check", "components", "--color", "always"]).stdout).contains('\u{1b}'));
    assert!(
        text(&bindwright(&["explain", "orders", "--resources", "good", "--color", "always"]).stdout)
            .contains('\u{1b}')
    );
}

#[test]
fn explain_shows_every_value_and_where_it_comes_from() {
    let printed = same_as("explain.txt", &["explain", "orders", "--resources", "good"], 0);
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn explain_tells_programs_the_same() {
    let arguments = ["explain", "orders", "--resources", "good", "--output", "json"];
    let printed = same_as("explain.json", &arguments, 0);
    assert!(!printed.contains("hunter2"), "{printed}");
    let explanation: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(explanation["sending"]["ledger"]["attempts"], 4);
    assert_eq!(explanation["receiving"]["ledger"]["attempts"], 5);
}

#[test]
fn explain_fails_for_what_cannot_be_used() {
    let output = bindwright(&["explain", "checkout", "--resources", "components"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("maxInFlight: expected a whole number"),
        "{}",
        text(&output.stdout)
    );
    let output = bindwright(&["explain", "order", "--resources", "good"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("did you mean \"orders\""), "{}", text(&output.stderr));
}

#[test]
fn types_are_written_and_compared() {
    same_as("types.py.txt", &["types", "--language", "python", "good"], 0);
    same_as("types.d.ts.txt", &["types", "--language", "typescript", "good"], 0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("names.py");
    let file = file.to_str().unwrap();
    let write = ["types", "--language", "python", "good", "--out", file];
    let check = [&write[..], &["--check"]].concat();
    assert_eq!(bindwright(&check).status.code(), Some(1));
    assert_eq!(bindwright(&write).status.code(), Some(0));
    assert_eq!(bindwright(&check).status.code(), Some(0));
    std::fs::write(file, "changed").unwrap();
    let stale = bindwright(&check);
    assert_eq!(stale.status.code(), Some(1));
    assert!(text(&stale.stderr).contains("is out of date"), "{}", text(&stale.stderr));
    assert_eq!(bindwright(&["types", "--language", "python", "good", "--check"]).status.code(), Some(2));
}

#[test]
fn the_schema_is_json_for_all_types_or_one() {
    let whole: Value = serde_json::from_slice(&bindwright(&["schema"]).stdout).unwrap();
    assert_eq!(whole["$schema"], "http://json-schema.org/draft-07/schema#");
    let one: Value =
        serde_json::from_slice(&bindwright(&["schema", "--type", "bindings.kafka"]).stdout).unwrap();
    assert_eq!(one["title"], "bindings.kafka");
    let unknown = bindwright(&["schema", "--type", "bindings.kafak"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("did you mean \"bindings.kafka\""), "{}", text(&unknown.stderr));
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = bindwright(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("explain"), "{shell}");
    }
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let output = bindwright(&["man", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let help = text(&bindwright(&["--help"]).stdout);
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut pages = 0;
    for name in commands
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help")
    {
        assert!(folder.path().join(format!("bindwright-{name}.1")).is_file(), "{name}");
        pages += 1;
    }
    assert!(pages >= 8, "{help}");
    assert!(text(&bindwright(&["man"]).stdout).contains(".TH bindwright 1"));
}
