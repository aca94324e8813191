//! What cargo says about the workspace and everything it depends on.
//!
//! `cargo metadata` describes the packages. Which of them take part is asked of `cargo tree`, because the
//! graph in `cargo metadata` also holds optional dependencies that nobody switched on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::Outcome;

/// Every package that the lock file can bring in.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
}

/// One crate, ours or of others.
#[derive(Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) license_file: Option<PathBuf>,
    /// Nothing for a crate of this repository.
    pub(crate) source: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) authors: Vec<String>,
    /// The C library that the crate links.
    pub(crate) links: Option<String>,
    manifest_path: PathBuf,
}

/// Which dependencies to follow.
#[derive(Clone, Copy)]
pub(crate) enum Follow<'a> {
    /// What ends up in a program for these platforms: no macros, no build scripts, no tests.
    Linked(&'a [String]),
    /// What runs or is linked when anybody builds, on any platform: all but tests.
    Built,
}

impl Package {
    /// The folder with the crate's files.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("."))
    }

    /// Name and version, as people write them.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

impl Metadata {
    /// Asks cargo.
    pub(crate) fn load(root: &Path) -> Outcome<Self> {
        let text = cargo(root, &["metadata", "--format-version=1", "--locked", "--all-features"])?;
        serde_json::from_str(&text).map_err(|fault| format!("cargo metadata: {fault}"))
    }

    /// The crates of this repository.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The crates of others that these crates need with all their features, sorted by name and version.
    pub(crate) fn third_party(
        &self,
        root: &Path,
        from: &[&Package],
        follow: Follow,
    ) -> Outcome<Vec<&Package>> {
        let mut words = vec!["tree", "--locked", "--all-features", "--prefix=none", "--format={p}"];
        match follow {
            Follow::Linked(platforms) => {
                words.push("--edges=normal,no-proc-macro");
                words.extend(platforms.iter().flat_map(|platform| ["--target", platform]));
            }
            Follow::Built => words.extend(["--edges=normal,build", "--target=all"]),
        }
        words.extend(from.iter().flat_map(|package| ["--package", &package.name]));
        let tree = cargo(root, &words)?;
        let wanted: BTreeSet<(&str, &str)> = tree.lines().filter_map(name_and_version).collect();
        let mut found: Vec<&Package> = self
            .packages
            .iter()
            .filter(|package| package.source.is_some())
            .filter(|package| wanted.contains(&(package.name.as_str(), package.version.as_str())))
            .collect();
        found.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
        Ok(found)
    }
}

/// Reads `serde v1.0.0 (*)`.
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(' ');
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

fn cargo(root: &Path, words: &[&str]) -> Outcome<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .current_dir(root)
        .args(words)
        .output()
        .map_err(|fault| format!("cargo {}: {fault}", words[0]))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("cargo {}: {}", words[0], String::from_utf8_lossy(&output.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_begins_with_name_and_version() {
        assert_eq!(
            name_and_version("zstd-sys v2.0.0+zstd.1.5.7 (*)"),
            Some(("zstd-sys", "2.0.0+zstd.1.5.7"))
        );
        assert_eq!(name_and_version("serde_derive v1.0.0 (proc-macro)"), Some(("serde_derive", "1.0.0")));
        assert_eq!(name_and_version(""), None);
    }
}
