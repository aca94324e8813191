//! Tests of which files are read, and in which order.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bindwright-manifest-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        for (name, text) in files {
            fs::write(path.join(name), text).expect("a file");
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn a_folder_gives_its_yaml_files_in_order_of_their_names() {
    let (a, b, c) = (document("a"), document("b"), document("c"));
    let folder =
        Folder::new(&[("b.YML", &b), ("a.yaml", &a), ("Z.Yaml", &c), ("d.txt", "["), ("e.yaml.bak", "[")]);
    fs::create_dir(folder.0.join("sub.yaml")).expect("a folder");
    fs::write(folder.0.join("sub.yaml/f.yaml"), document("f")).expect("a file");
    let manifest = Manifest::load(std::slice::from_ref(&folder.0), None).expect("no duplicates");
    assert_eq!(names(&manifest), ["c", "a", "b"]);
    assert!(manifest.faults.is_empty());
    assert_eq!(&*manifest.components[1].place.file, folder.0.join("a.yaml").to_str().expect("UTF-8"));
}

#[test]
fn folders_and_files_are_read_in_the_order_given() {
    let (first, second) =
        (Folder::new(&[("a.yaml", &document("a"))]), Folder::new(&[("b.txt", &document("b"))]));
    let paths = [second.0.join("b.txt"), first.0.clone()];
    assert_eq!(names(&Manifest::load(&paths, None).expect("no duplicates")), ["b", "a"]);
}

#[test]
fn a_missing_path_is_an_error_that_names_it() {
    let error = Manifest::load(&[PathBuf::from("/nowhere/components")], None).expect_err("no such folder");
    assert_eq!(error.code(), ErrorCode::InvalidOptions);
    assert!(error.message().contains("/nowhere/components"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_file_of_a_folder_that_cannot_be_read_is_a_fault() {
    let folder = Folder::new(&[("b.yaml", &document("b"))]);
    std::os::unix::fs::symlink("nowhere", folder.0.join("a.yaml")).expect("a link");
    let manifest = Manifest::load(std::slice::from_ref(&folder.0), None).expect("no duplicates");
    assert_eq!(names(&manifest), ["b"]);
    assert!(manifest.faults[0].place_in_file().expect("a place").file.ends_with("a.yaml"));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_passed_over() {
    let folder = Folder::new(&[("b.yaml", &document("b"))]);
    std::os::unix::fs::symlink("/dev/zero", folder.0.join("a.yaml")).expect("a link");
    let manifest = Manifest::load(std::slice::from_ref(&folder.0), None).expect("no duplicates");
    assert_eq!(names(&manifest), ["b"]);
    assert!(manifest.faults.is_empty());
}
