//! The faults that users make, and what they are told: makes the table of `docs/troubleshooting.md`.
//!
//! Every fault is really made, those of a cluster with a real one. The messages in the document are compared with what
//! comes; `BINDWRIGHT_WRITE=1 cargo test --release -p bindwright --test kafka troubleshooting` writes them.

mod clusters;
mod documents;

use std::fmt::Write as _;
use std::path::Path;

use regex_lite::Regex;

const BEGIN: &str = "<!-- faults: written by core/tests/kafka/troubleshooting -->\n";
const END: &str = "<!-- end of faults -->";

/// Something that goes wrong, and what is said about it.
pub struct Fault {
    what: &'static str,
    message: String,
}

impl Fault {
    pub fn new(what: &'static str, message: String) -> Self {
        Self { what, message }
    }
}

#[tokio::test]
async fn the_document_tells_what_users_are_told() {
    let Some(of_clusters) = clusters::faults().await else { return };
    let of_documents = tokio::task::spawn_blocking(documents::faults).await.expect("no panic");
    let mut text = String::from("\n## Documents and calls\n\n");
    let number = list(&mut text, 0, &of_documents);
    text.push_str("\n## The cluster\n\n");
    let number = list(&mut text, number, &of_clusters);
    assert!(number >= 30, "{number}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/troubleshooting.md");
    let old = std::fs::read_to_string(&file).expect("the document");
    let (before, rest) = old.split_once(BEGIN).expect("the mark of the beginning");
    let (_, after) = rest.split_once(END).expect("the mark of the end");
    let fresh = format!("{before}{BEGIN}{text}\n{END}{after}");
    if std::env::var_os("BINDWRIGHT_WRITE").is_some() {
        std::fs::write(&file, fresh).expect("written");
        return;
    }
    for (said, told) in fresh.lines().zip(old.lines()) {
        assert_eq!(said, told, "docs/troubleshooting.md differs from what is said");
    }
    assert_eq!(fresh.lines().count(), old.lines().count());
}

fn list(text: &mut String, mut number: usize, faults: &[Fault]) -> usize {
    text.push_str("| | what is wrong | what you are told |\n|---|---|---|\n");
    for fault in faults {
        number += 1;
        let message = without_chance(&fault.message).replace('|', "\\|").replace('\n', " ").replace('`', "'");
        writeln!(text, "| {number} | {} | `{message}` |", fault.what).expect("memory");
    }
    number
}

/// The same text whatever the port, the day and the machine.
fn without_chance(message: &str) -> String {
    let mut message = message.to_owned();
    for (chance, always) in [
        (r"127\.0\.0\.1:\d+", "127.0.0.1:9092"),
        (r"\b[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} GMT", "Jan  1 00:00:00 2026 GMT"),
        (r"(topic|group)-\d+-\d+", "orders"),
        (r" \(after \d+ms in state \w+(, \d+ identical error\(s\) suppressed)?\)", ""),
        (r"Temporary failure in name resolution", "Name or service not known"),
    ] {
        message = Regex::new(chance).expect("a pattern").replace_all(&message, always).into_owned();
    }
    message
}
