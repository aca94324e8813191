//! Which files a list of paths stands for. Nothing is opened here except folders, for their listing.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorCode, Result};

/// A file to read.
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// The caller named this very file, so that not being able to read it is the caller's error.
    pub(super) named_by_caller: bool,
}

/// The files that one path stands for: itself, or what a folder holds.
pub(super) fn of(path: &Path) -> Result<Vec<Source>> {
    // `metadata` follows links: mounted configuration often consists of nothing else.
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_dir() {
        return Ok(vec![Source { path: path.to_path_buf(), named_by_caller: true }]);
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
        let name = entry.map_err(|error| unreadable(path, &error))?.file_name();
        let full = path.join(&name);
        if !is_yaml(name.as_encoded_bytes()) {
            tracing::trace!(target: "bindwright", file = %full.display(), "passed over: not a .yaml or .yml file");
        } else if !std::fs::metadata(&full).is_ok_and(|metadata| !metadata.is_file()) {
            // A device or a pipe may never end. What cannot be looked at is told when it is read.
            names.push(name);
        }
    }
    names.sort_by(|left, right| left.as_encoded_bytes().cmp(right.as_encoded_bytes()));
    Ok(names.into_iter().map(|name| Source { path: path.join(name), named_by_caller: false }).collect())
}

/// The error for a path of the caller that cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::new(ErrorCode::InvalidOptions, format!("resources: cannot read {}", path.display()))
        .backend(error.to_string())
        .advice("Name a folder of component files, or one such file, that this process may read.")
}

fn is_yaml(name: &[u8]) -> bool {
    [b".yaml".as_slice(), b".yml"].into_iter().any(|ending| {
        name.len().checked_sub(ending.len()).is_some_and(|start| name[start..].eq_ignore_ascii_case(ending))
    })
}
