//! Component documents: from YAML files to [`Component`] values, each with the place it was read from.
//!
//! Which files are read and in which order is in `files.rs`, one document's YAML in `yaml.rs`, what its scalars mean in
//! `scalar.rs`, what its fields mean in `document.rs` and `property.rs`. When all documents are read, values that stand
//! elsewhere are looked up (`references.rs`, with the stores of `crate::secrets`). `Resiliency` documents stand in the
//! same files and are read in `resiliency`. `template.rs` fills in names when a component is opened. Tests are in `tests/`.
//!
//! The format and its rules are those of Dapr's `Component` resource, with one difference: what Dapr drops with a
//! warning, or reads as an empty value, is a fault here, so that the caller can say which document is missing and why.

mod component;
mod document;
mod fields;
mod files;
mod json;
mod plain;
mod property;
mod reader;
mod references;
mod resiliency;
mod scalar;
mod stamp;
mod template;
#[cfg(test)]
mod tests;
mod yaml;

use std::path::PathBuf;

use crate::error::{Error, ErrorCode, Place, Result};
use crate::policy::Policies;
use crate::secrets::Stores;

pub use component::{Component, Direction, Origin, Property};
pub use plain::Yaml;
use reader::Reader;
pub(crate) use stamp::Stamp;
pub(crate) use template::{Identity, fill};

/// What the resource files describe: the components meant for one app, and what could not be read.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// The components, in the order of the files and of the documents in them.
    pub components: Vec<Component>,
    /// What is wrong, each with its place: files and documents that were left out, policies that name nothing, and
    /// values that cannot be had ([`Component::unresolved`] has these, too). The components beside them are usable. Of
    /// one file at most a thousand are listed.
    pub faults: Vec<Error>,
    /// What the `Resiliency` documents say.
    pub(crate) policies: Policies,
    /// A document of policies was left out, or one that may have been.
    pub(crate) policies_incomplete: bool,
    /// The secret stores among the components.
    pub(crate) stores: Stores,
    /// Files beside the documents that were read, or looked for: what they say counts as what the documents say.
    pub(crate) secret_files: Vec<PathBuf>,
    /// So many of the faults, from the front, left out a component or a file.
    left_out: usize,
    /// So many of the faults, from the end, are those of components that are there.
    unresolved: usize,
    /// Of the faults, the first that [`load`](Self::load) refuses everything for.
    duplicate: Option<Error>,
    fingerprint: u64,
    /// The components that are not meant for this app: their names, and where their documents begin.
    pub(crate) passed_over: Vec<(String, Place)>,
}

/// What becomes of properties whose values stand elsewhere: secrets and variables of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum References {
    /// They are looked up. What cannot be had is a fault of its component.
    Resolved,
    /// They are left out: nobody needs them, as nothing is connected to.
    LeftOut,
}

impl Manifest {
    /// Reads folders and single files.
    ///
    /// Of a folder, the files ending in `.yaml` or `.yml` (any case) are read, in byte-wise order of their
    /// names and without descending into sub-folders. Documents that are not `dapr.io/v1alpha1` `Component`s or
    /// `Resiliency` are passed over, and so are those whose `scopes` leave `app_id` out (without an app id: all that
    /// have scopes) or whose namespace differs from the environment variable `NAMESPACE`.
    ///
    /// What bindings and secret stores take from the environment and from secret stores is looked up, which reads the
    /// stores' files. Components of other categories, such as `state.redis`, are listed without such properties.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOptions`] when one of `paths` does not exist or cannot be read;
    /// [`ErrorCode::InvalidManifest`] when two components for this app have the same name. Anything else that
    /// is wrong with a file or a document leaves out only that one and is listed in [`Manifest::faults`].
    pub fn load(paths: &[PathBuf], app_id: Option<&str>) -> Result<Self> {
        Self::load_with(paths, app_id, References::Resolved)
    }

    /// As [`load`](Self::load), with a say in references.
    pub(crate) fn load_with(paths: &[PathBuf], app_id: Option<&str>, references: References) -> Result<Self> {
        Self::read_all(paths, Reader::new(Scope::of_process(app_id), references))
    }

    /// As [`load`](Self::load), except that components of one name are faults like others, and all left out.
    pub(crate) fn load_again(
        paths: &[PathBuf],
        app_id: Option<&str>,
        references: References,
    ) -> Result<Self> {
        let mut reader = Reader::new(Scope::of_process(app_id), references);
        reader.duplicates_are_faults = true;
        Self::read_all(paths, reader)
    }

    fn read_all(paths: &[PathBuf], mut reader: Reader<'_>) -> Result<Self> {
        for path in paths {
            for file in files::of(path)? {
                let name = file.path.display().to_string();
                match std::fs::read(&file.path) {
                    Ok(text) => reader.read(&text, &name)?,
                    Err(error) if file.named_by_caller => return Err(files::unreadable(&file.path, &error)),
                    Err(error) => {
                        let fault = Error::new(ErrorCode::InvalidManifest, "the file cannot be read");
                        let place = Place { file: name.into(), line: 1, column: 1 };
                        reader.note(fault.backend(error.to_string()).place(place));
                    }
                }
            }
        }
        Ok(reader.finish())
    }

    /// Reads one text; `file` is what places show.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidManifest`] when two components for this app have the same name.
    pub fn parse(text: &[u8], file: &str, app_id: Option<&str>) -> Result<Self> {
        Self::parse_by(Reader::new(Scope::of_process(app_id), References::Resolved), text, file)
    }

    /// As [`parse`](Self::parse), with a say in references, and with secret stores that stand elsewhere.
    pub(crate) fn parse_with(
        text: &[u8],
        file: &str,
        app_id: Option<&str>,
        references: References,
        stores: &Stores,
    ) -> Result<Self> {
        let mut reader = Reader::new(Scope::of_process(app_id), references);
        reader.stores = stores.clone();
        Self::parse_by(reader, text, file)
    }

    /// As [`parse_with`](Self::parse_with), except that components of one name are faults like others.
    pub(crate) fn parse_again(
        text: &[u8],
        file: &str,
        app_id: Option<&str>,
        references: References,
    ) -> Result<Self> {
        let mut reader = Reader::new(Scope::of_process(app_id), references);
        reader.duplicates_are_faults = true;
        Self::parse_by(reader, text, file)
    }

    #[cfg(test)]
    fn parse_in(scope: Scope<'_>, text: &[u8], file: &str) -> Result<Self> {
        Self::parse_by(Reader::new(scope, References::Resolved), text, file)
    }

    fn parse_by(mut reader: Reader<'_>, text: &[u8], file: &str) -> Result<Self> {
        reader.read(text, file)?;
        Ok(reader.finish())
    }

    /// Of the faults, those for which a component or a file was left out.
    pub(crate) fn left_out(&self) -> &[Error] {
        &self.faults[..self.left_out]
    }

    /// Of the faults, all but those that components which are there know themselves.
    pub(crate) fn document_faults(&self) -> &[Error] {
        &self.faults[..self.faults.len() - self.unresolved]
    }

    /// A number that differs when the files read, their names, the app id, the namespace or a value that stands elsewhere
    /// differ. Meant for comparison within one process: the next one computes another number.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The first of the faults that are two components of one name; only [`load_again`](Self::load_again) leaves any.
    pub(crate) fn duplicate(&self) -> Option<&Error> {
        self.duplicate.as_ref()
    }

    /// The component of this name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| &*component.name == name)
    }
}

/// Who reads: decides which components are meant.
#[derive(Debug, Clone, Hash)]
struct Scope<'a> {
    app_id: Option<&'a str>,
    /// `None` when the environment names no namespace: then none is compared.
    namespace: Option<String>,
}

impl<'a> Scope<'a> {
    fn of_process(app_id: Option<&'a str>) -> Self {
        Self { app_id, namespace: namespace() }
    }
}

/// The namespace of this process, if the environment names one.
pub(crate) fn namespace() -> Option<String> {
    std::env::var("NAMESPACE").ok().filter(|namespace| !namespace.is_empty())
}
