//! `cargo xtask notices`: the licence texts of everything that our packages contain.
//!
//! That is: the crates linked into a package, the C libraries inside them, and Rust's standard library; not
//! macros, build scripts and tests. A crate that links a C library must be named in [`BUNDLED`] or in
//! [`NOTHING_BUNDLED`], so that a new one cannot slip in unseen. The result is not committed: `make dist` and
//! the builds of the packages write it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use spdx::{Expression, ParseMode};

use crate::Outcome;
use crate::metadata::{Follow, Metadata, Package};

/// A C library that stands in a crate's folder and is compiled from there.
struct Bundled {
    /// The crate that links it.
    package: &'static str,
    /// The crate in whose folder it stands; else the same.
    sources: Option<&'static str>,
    library: &'static str,
    licence: &'static str,
    /// Its licence texts, from that folder.
    texts: &'static [&'static str],
}

const BUNDLED: &[Bundled] = &[
    Bundled {
        package: "rdkafka-sys",
        sources: None,
        library: "librdkafka",
        licence: "BSD-2-Clause, with parts under other licences",
        texts: &["librdkafka/LICENSES.txt"],
    },
    Bundled {
        package: "libz-sys",
        sources: None,
        library: "zlib",
        licence: "Zlib",
        texts: &["src/zlib/LICENSE"],
    },
    Bundled {
        package: "openssl-sys",
        sources: Some("openssl-src"),
        library: "OpenSSL",
        licence: "Apache-2.0",
        texts: &["openssl/LICENSE.txt"],
    },
    Bundled {
        package: "zstd-sys",
        sources: None,
        library: "zstd",
        licence: "BSD-3-Clause",
        texts: &["zstd/LICENSE"],
    },
];

/// Crates that link a library of the host (the Python interpreter) or only reserve a name.
const NOTHING_BUNDLED: &[&str] = &["pyo3", "pyo3-ffi"];

/// Folders whose crates are never part of a package.
const NOT_SHIPPED: &[&str] = &["xtask", "benches", "examples", "tests"];

const HEAD: &str = "\
Third-party notices
===================

This package contains the software listed below. The number after each entry names the licence texts further
down; where a licence expression offers a choice, all the texts that its authors ship are printed.

";

const RULE: &str = "--------------------------------------------------------------------------------";

/// The command's options.
#[derive(Default)]
pub(crate) struct Options {
    out: Option<PathBuf>,
    packages: Vec<String>,
    platforms: Vec<String>,
}

/// One piece of software and its texts.
struct Entry {
    label: String,
    licence: String,
    source: String,
    texts: Vec<String>,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Outcome<Self> {
        let mut options = Self::default();
        for pair in words.chunks(2) {
            match pair {
                ["--out", file] => options.out = Some(file.into()),
                ["--package", name] => options.packages.push((*name).to_owned()),
                ["--target", triple] => options.platforms.push((*triple).to_owned()),
                _ => return Err(format!("notices: unknown option or missing value: {}", pair.join(" "))),
            }
        }
        Ok(options)
    }
}

/// Writes the notices to the file named, else to the standard output.
pub(crate) fn write(root: &Path, options: &Options) -> Outcome {
    let compiler = Compiler::ask()?;
    let platforms =
        if options.platforms.is_empty() { vec![compiler.host.clone()] } else { options.platforms.clone() };
    let metadata = Metadata::load(root)?;
    let shipped = shipped(&metadata, &options.packages)?;
    let mut entries = vec![standard_library(&compiler)?];
    for package in metadata.third_party(root, &shipped, Follow::Linked(&platforms))? {
        entries.push(crate_entry(package)?);
        entries.extend(bundled_entry(&metadata, package)?);
    }
    let text = render(&entries);
    if let Some(file) = &options.out {
        return crate::write(file, &text);
    }
    print!("{text}");
    Ok(())
}

/// The crates of this repository whose dependencies count.
fn shipped<'a>(metadata: &'a Metadata, names: &[String]) -> Outcome<Vec<&'a Package>> {
    if names.is_empty() {
        return Ok(metadata
            .members()
            .filter(|package| !NOT_SHIPPED.iter().any(|name| stands_in(package, name)))
            .collect());
    }
    let find = |name: &String| {
        metadata
            .members()
            .find(|package| package.name == *name)
            .ok_or(format!("notices: no crate {name} here"))
    };
    names.iter().map(find).collect()
}

/// Whether a member of the workspace stands in this folder, or in a folder of it.
fn stands_in(package: &Package, folder: &str) -> bool {
    let root = crate::root();
    package.folder().strip_prefix(&root).is_ok_and(|path| path.starts_with(folder))
}

fn crate_entry(package: &Package) -> Outcome<Entry> {
    let licence = package.license.clone().ok_or_else(|| format!("{}: no licence", package.label()))?;
    let mut texts = Vec::new();
    for file in licence_files(package)? {
        texts.push(text_of(&file)?);
    }
    if texts.is_empty() {
        texts = standard_texts(&package.label(), &licence, &holders(package))?;
    }
    let source = package.repository.clone().unwrap_or_default();
    Ok(Entry { label: package.label(), licence, source, texts })
}

/// The C library inside the crate, if it links one.
fn bundled_entry(metadata: &Metadata, package: &Package) -> Outcome<Option<Entry>> {
    let Some(bundled) = BUNDLED.iter().find(|bundled| bundled.package == package.name) else {
        return match &package.links {
            Some(library) if !NOTHING_BUNDLED.contains(&package.name.as_str()) => Err(format!(
                "{}: links the C library {library}; name the crate in BUNDLED or NOTHING_BUNDLED of \
                 xtask/src/notices.rs",
                package.label()
            )),
            _ => Ok(None),
        };
    };
    let from = match bundled.sources {
        Some(name) => metadata
            .packages
            .iter()
            .find(|other| other.name == name)
            .ok_or(format!("{}: no crate {name} with its sources", package.label()))?,
        None => package,
    };
    let texts =
        bundled.texts.iter().map(|file| text_of(&from.folder().join(file))).collect::<Outcome<_>>()?;
    Ok(Some(Entry {
        label: format!("{} (in {})", bundled.library, from.label()),
        licence: bundled.licence.to_owned(),
        source: String::new(),
        texts,
    }))
}

/// Rust's own library is part of every program, but no crate that cargo would list.
fn standard_library(compiler: &Compiler) -> Outcome<Entry> {
    let label = format!("Rust standard library {}", compiler.release);
    let licence = "MIT OR Apache-2.0".to_owned();
    let texts = standard_texts(&label, &licence, "The Rust Project contributors")?;
    Ok(Entry { label, licence, source: "https://github.com/rust-lang/rust".to_owned(), texts })
}

/// The files in the crate's folder that look like licences, and the one that its manifest names.
fn licence_files(package: &Package) -> Outcome<Vec<PathBuf>> {
    let folder = package.folder();
    let entries = std::fs::read_dir(folder).map_err(|fault| format!("{}: {fault}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file() && is_licence(path))
        .collect();
    files.extend(package.license_file.iter().map(|file| folder.join(file)));
    files.sort();
    files.dedup();
    Ok(files)
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    ["licen", "copying", "copyright", "notice", "unlicense"].iter().any(|start| name.starts_with(start))
}

/// The texts of the licences in an expression, for a crate that ships none.
fn standard_texts(label: &str, licence: &str, holders: &str) -> Outcome<Vec<String>> {
    let expression = Expression::parse_mode(licence, ParseMode::LAX)
        .map_err(|fault| format!("{label}: licence {licence:?}: {}", fault.reason))?;
    let text = |requirement: &spdx::expression::ExpressionReq| {
        let id = requirement.req.license.id().ok_or(format!("{label}: no text is known for {licence:?}"))?;
        Ok(tidy(&id.text().replace("<year> <copyright holders>", holders)))
    };
    expression.requirements().map(text).collect()
}

/// Who wrote a crate, as far as its manifest tells; without addresses, which are not ours to spread.
fn holders(package: &Package) -> String {
    let names: Vec<&str> =
        package.authors.iter().map(|author| author.split('<').next().unwrap_or_default().trim()).collect();
    if names.is_empty() { format!("the authors of {}", package.name) } else { names.join(", ") }
}

fn text_of(file: &Path) -> Outcome<String> {
    let bytes = std::fs::read(file).map_err(|fault| format!("{}: {fault}", file.display()))?;
    Ok(tidy(&String::from_utf8_lossy(&bytes)))
}

/// Without line-end differences and outer blank lines, so that equal texts are found equal.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

fn render(entries: &[Entry]) -> String {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut texts: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut page = String::from(HEAD);
    for entry in entries {
        let mut used = Vec::new();
        for text in &entry.texts {
            let number = *numbers.entry(text).or_insert_with(|| {
                texts.push((text, Vec::new()));
                texts.len()
            });
            texts[number - 1].1.push(&entry.label);
            used.push(number.to_string());
        }
        let _ = writeln!(page, "* {}: {} [{}]", entry.label, entry.licence, used.join(", "));
        if !entry.source.is_empty() {
            let _ = writeln!(page, "  source: {}", entry.source);
        }
    }
    for (index, (text, users)) in texts.iter().enumerate() {
        let _ = write!(page, "\n{RULE}\n[{}] {}\n{RULE}\n\n{text}\n", index + 1, users.join(", "));
    }
    page
}

/// The compiler that builds the packages.
struct Compiler {
    release: String,
    host: String,
}

impl Compiler {
    fn ask() -> Outcome<Self> {
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(compiler).arg("-vV").output().map_err(|fault| format!("rustc: {fault}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value.map(|value| value.trim().to_owned()).ok_or(format!("rustc -vV: no line {name:?}"))
        };
        Ok(Self { release: field("release:")?, host: field("host:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(label: &str, text: &str) -> Entry {
        Entry { label: label.into(), licence: "MIT".into(), source: String::new(), texts: vec![tidy(text)] }
    }

    #[test]
    fn equal_texts_are_printed_once() {
        let page = render(&[
            entry("one 1.0.0", "words\r\n"),
            entry("two 2.0.0", "\nwords  "),
            entry("three 3.0.0", "other"),
        ]);
        assert_eq!(page.matches("\nwords\n").count(), 1, "{page}");
        assert!(page.contains("[1] one 1.0.0, two 2.0.0"), "{page}");
        assert!(page.contains("* three 3.0.0: MIT [2]"), "{page}");
    }

    #[test]
    fn a_crate_without_a_text_gets_the_standard_one_with_its_authors() {
        let texts = standard_texts("x", "MIT/Apache-2.0", "Ada").unwrap();
        assert!(
            texts[0].contains("Copyright (c) Ada") && texts[0].contains("Permission is hereby granted"),
            "{}",
            texts[0]
        );
        assert!(texts[1].contains("Apache License"), "{}", texts[1]);
    }

    #[test]
    fn an_option_without_a_value_is_refused() {
        assert!(Options::parse(&["--out"]).is_err());
        assert!(Options::parse(&["--output", "x"]).is_err());
        assert_eq!(Options::parse(&["--out", "x"]).unwrap().out, Some("x".into()));
    }
}
