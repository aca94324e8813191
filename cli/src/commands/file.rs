//! Results that are files: written, printed, or compared with what is there.

use std::path::Path;

use crate::Failure;
use crate::terminal::Terminal;

/// Writes a text to a file, or prints it where none is named. A file that has the text already is left alone, so that
/// builds that look at its time do nothing.
pub(super) fn write(terminal: &Terminal, out: Option<&Path>, text: &str) -> Result<(), Failure> {
    let Some(out) = out else { return terminal.say_bytes(text.as_bytes()) };
    if std::fs::read(out).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    std::fs::write(out, text)
        .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", out.display())))
}

/// Fails unless a file has the text.
pub(super) fn compare(out: &Path, text: &str) -> Result<(), Failure> {
    let there = std::fs::read(out)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", out.display())))?;
    if there == text.as_bytes() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "{} is out of date; run the same command without --check to write it anew",
        out.display()
    )))
}
