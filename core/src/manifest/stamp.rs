//! What can be seen of the resource files without reading them: enough to notice that they changed.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::files;

/// File systems keep times in steps. Within this time of the last change another one might leave no trace.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Names, sizes, times and inodes of the files behind links: mounted configuration is replaced by swapping a link.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    files: Vec<(PathBuf, Option<Seen>)>,
    /// Every change was long enough ago for the next one to be noticed.
    pub(crate) is_old: bool,
}

/// What is seen of one file.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    size: u64,
    modified: Option<SystemTime>,
    identity: [i128; 3],
}

impl Stamp {
    /// Looks at everything that [`Manifest::load`](super::Manifest::load) would read.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        let now = SystemTime::now();
        let mut stamp = Self { files: Vec::new(), is_old: true };
        for path in paths {
            let Ok(sources) = files::of(path) else {
                stamp.files.push((path.clone(), None));
                continue;
            };
            for source in sources {
                let seen = Seen::of(&source.path);
                stamp.is_old &= seen.as_ref().is_some_and(|seen| seen.is_old(now));
                stamp.files.push((source.path, seen));
            }
        }
        stamp
    }

    /// Looks at the files of secret stores, too. One that is not there will be noticed when it comes.
    #[must_use]
    pub(crate) fn with(mut self, files: &[PathBuf]) -> Self {
        let now = SystemTime::now();
        for file in files {
            let seen = Seen::of(file);
            self.is_old &= seen.as_ref().is_none_or(|seen| seen.is_old(now));
            self.files.push((file.clone(), seen));
        }
        self
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Seen {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { size: metadata.len(), modified: metadata.modified().ok(), identity: identity(&metadata) })
    }

    fn is_old(&self, now: SystemTime) -> bool {
        // A time that lies ahead is never old: clocks of network drives differ.
        self.modified
            .is_some_and(|modified| now.duration_since(modified).is_ok_and(|ago| ago >= SETTLED_AFTER))
    }
}

/// What tells two files of one name apart: device and inode; and when anything about it changed, such as the right
/// to read it.
#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> [i128; 3] {
    use std::os::unix::fs::MetadataExt;
    let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    [metadata.dev().into(), metadata.ino().into(), changed]
}

#[cfg(not(unix))]
fn identity(_metadata: &std::fs::Metadata) -> [i128; 3] {
    [0; 3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changed_a_moment_ago_may_change_again_unseen() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, "").expect("written");
        let file = std::fs::File::options().write(true).open(&path).expect("opened");
        let paths = [folder.path().to_path_buf()];
        let changed = |ago: Duration| {
            file.set_modified(SystemTime::now() - ago).expect("set");
            Stamp::of(&paths)
        };
        assert!(!changed(Duration::ZERO).is_old);
        assert!(changed(Duration::from_mins(1)).is_old);
        let before = Stamp::of(&paths);
        assert!(Stamp::of(&paths).is_same(&before));
        std::fs::write(folder.path().join("b.yaml"), "").expect("written");
        assert!(!Stamp::of(&paths).is_same(&before));
    }
}
