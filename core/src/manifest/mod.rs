//! Component documents: from YAML files to [`Component`] values, each with the place it was read from.
//!
//! Which files are read and in which order is in `files.rs`, one document's YAML in `yaml.rs`, what its
//! fields mean in `document.rs`; tests are in `tests.rs`. `Resiliency` documents stand in the same files and are read
//! in `resiliency`. The format and its rules are those of Dapr's `Component` resource, with one difference: what Dapr drops with a warning, or reads as an empty value, is
//! a fault here, so that the caller can say which document is missing and why.

mod document;
mod files;
mod resiliency;
mod stamp;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorCode, Place, Result};
use crate::policy::Policies;

pub(crate) use stamp::Stamp;

/// What the resource files describe: the components meant for one app, and what could not be read.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// The components, in the order of the files and of the documents in them.
    pub components: Vec<Component>,
    /// Files and documents that were left out, each with its place. The components beside them are usable.
    pub faults: Vec<Error>,
    /// What the `Resiliency` documents say.
    pub(crate) policies: Policies,
    /// A document of policies was left out, or one that may have been.
    pub(crate) policies_incomplete: bool,
    /// So many of the faults, from the front, left out a component or a file.
    left_out: usize,
    /// Of the faults, the first that [`load`](Self::load) refuses everything for.
    duplicate: Option<Error>,
    fingerprint: u64,
    /// The components that are not meant for this app: their names, and where their documents begin.
    pub(crate) passed_over: Vec<(String, Place)>,
}

/// One component document.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Component {
    /// `metadata.name`: what callers name. Case matters.
    pub name: Arc<str>,
    /// `spec.type` in the spelling of the registry: lower case, except for the part up to the first dot,
    /// which stays as written because its case matters (`bindings.Kafka` is `bindings.kafka`,
    /// `Bindings.kafka` is nothing).
    pub component_type: String,
    /// `spec.version` in lower case; empty when absent.
    pub version: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `spec.ignoreErrors`: whether the app may start without this component. Default `false`.
    pub ignore_errors: bool,
    /// `spec.initTimeout`. Default 5 seconds, also when the text is no positive Go duration.
    pub init_timeout: Duration,
    /// `spec.metadata` in document order: each exact name once, the last one given.
    pub properties: Vec<Property>,
    /// The property `direction`, in any case.
    pub direction: Direction,
    /// The property `route`, in exactly this case: the path of an HTTP app that events go to.
    pub route: Option<String>,
    /// `scopes`: the only app ids that see this component; empty means all of them.
    pub scopes: Vec<String>,
    /// Where the document's first field stands.
    pub place: Place,
    /// Where the text of `spec.type` stands.
    pub type_place: Place,
    /// Properties whose values stand elsewhere were left out, see [`References`].
    pub(crate) lacks_references: bool,
}

/// What becomes of properties whose values stand elsewhere: secrets and variables of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum References {
    /// They are faults: this version cannot resolve them.
    Refused,
    /// They are left out: nobody needs them, as nothing is connected to.
    LeftOut,
}

/// One item of `spec.metadata`.
#[derive(Clone)]
pub struct Property {
    /// The name, as written.
    pub name: String,
    /// The value as text. It may be a secret, so `Debug` does not print it.
    pub value: String,
    /// Where the name stands.
    pub name_place: Place,
    /// Where the value stands.
    pub value_place: Place,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where a property's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It is written in the document.
    Document,
    /// From an environment variable, by `envRef`.
    Environment {
        /// The variable's name.
        variable: String,
    },
    /// From a secret store, by `secretKeyRef`. Such a value is shown nowhere.
    Secret {
        /// The secret store component's name.
        store: String,
        /// The secret's name.
        name: String,
        /// The key inside the secret.
        key: String,
    },
}

impl fmt::Debug for Property {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Property")
            .field("name", &self.name)
            .field("value", &"***")
            .field("name_place", &self.name_place)
            .finish_non_exhaustive()
    }
}

/// Which ways of a binding the document asks for. What the type supports is another matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// The component may receive.
    pub input: bool,
    /// The component may send.
    pub output: bool,
    /// `input` is written down: the app is not asked whether it wants the events.
    pub explicit_input: bool,
}

impl Direction {
    /// No `direction` property: whatever the type supports.
    pub const UNSPECIFIED: Self = Self { input: true, output: true, explicit_input: false };

    /// Reads the property's value: a comma list, blanks and case ignored. Unknown words open no way.
    pub(crate) fn from_text(text: &str) -> Self {
        let names = |way: &str| text.split(',').any(|word| word.trim().eq_ignore_ascii_case(way));
        let input = names("input");
        Self { input, output: names("output"), explicit_input: input }
    }
}

impl Component {
    /// The type with its version, as messages show it: `bindings.kafka/v1`.
    pub fn type_and_version(&self) -> String {
        document::type_and_version(&self.component_type, &self.version)
    }
}

impl Manifest {
    /// Reads folders and single files.
    ///
    /// Of a folder, the files ending in `.yaml` or `.yml` (any case) are read, in byte-wise order of their
    /// names and without descending into sub-folders. Documents that are not `dapr.io/v1alpha1` `Component`s or
    /// `Resiliency` are passed over, and so are those whose `scopes` leave `app_id` out (without an app id: all that
    /// have scopes) or whose namespace differs from the environment variable `NAMESPACE`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOptions`] when one of `paths` does not exist or cannot be read;
    /// [`ErrorCode::InvalidManifest`] when two components for this app have the same name. Anything else that
    /// is wrong with a file or a document leaves out only that one and is listed in [`Manifest::faults`].
    pub fn load(paths: &[PathBuf], app_id: Option<&str>) -> Result<Self> {
        Self::load_with(paths, app_id, References::Refused)
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
        let reader = Reader::new(Scope::of_process(app_id), references);
        Self::read_all(paths, Reader { duplicates_are_faults: true, ..reader })
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
                        reader.manifest.faults.push(fault.backend(error.to_string()).place(place));
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
        Self::parse_with(text, file, app_id, References::Refused)
    }

    /// As [`parse`](Self::parse), with a say in references.
    pub(crate) fn parse_with(
        text: &[u8],
        file: &str,
        app_id: Option<&str>,
        references: References,
    ) -> Result<Self> {
        Self::parse_by(Reader::new(Scope::of_process(app_id), references), text, file)
    }

    /// As [`parse_with`](Self::parse_with), except that components of one name are faults like others.
    pub(crate) fn parse_again(
        text: &[u8],
        file: &str,
        app_id: Option<&str>,
        references: References,
    ) -> Result<Self> {
        let reader = Reader::new(Scope::of_process(app_id), references);
        Self::parse_by(Reader { duplicates_are_faults: true, ..reader }, text, file)
    }

    #[cfg(test)]
    fn parse_in(scope: Scope<'_>, text: &[u8], file: &str) -> Result<Self> {
        Self::parse_by(Reader::new(scope, References::Refused), text, file)
    }

    fn parse_by(mut reader: Reader<'_>, text: &[u8], file: &str) -> Result<Self> {
        reader.read(text, file)?;
        Ok(reader.finish())
    }

    /// Of the faults, those for which a component or a file was left out.
    pub(crate) fn left_out(&self) -> &[Error] {
        &self.faults[..self.left_out]
    }

    /// A number that differs when the files read, their names, the app id or the namespace differ.
    /// Meant for comparison within one process: another build may compute another number.
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

/// A manifest in the making.
struct Reader<'a> {
    scope: Scope<'a>,
    references: References,
    manifest: Manifest,
    hasher: DefaultHasher,
    /// Every name in scope, also those of documents that were left out later on: of two documents with one
    /// name the second must not quietly take the place of a broken first.
    names: HashMap<Arc<str>, Taken>,
    /// The components that are not meant for this app; a policy may still name them.
    hidden: Vec<String>,
    /// Two components of one name leave out both, instead of everything.
    duplicates_are_faults: bool,
    /// What is wrong with documents of policies.
    policy_faults: Vec<Error>,
}

/// Who has a name already.
struct Taken {
    type_and_version: String,
    place: Place,
}

impl<'a> Reader<'a> {
    fn new(scope: Scope<'a>, references: References) -> Self {
        let mut hasher = DefaultHasher::new();
        scope.hash(&mut hasher);
        Self {
            scope,
            references,
            manifest: Manifest::default(),
            hasher,
            names: HashMap::new(),
            hidden: Vec::new(),
            duplicates_are_faults: false,
            policy_faults: Vec::new(),
        }
    }

    fn read(&mut self, text: &[u8], file: &str) -> Result<()> {
        (file, text).hash(&mut self.hasher);
        let file: Arc<str> = file.into();
        for part in yaml::split(text) {
            let document = match yaml::compose(&part) {
                Ok(document) => document,
                Err(flaw) => {
                    // It may have been one of policies.
                    self.manifest.policies_incomplete = true;
                    self.manifest.faults.push(flaw.into_error(&file));
                    continue;
                }
            };
            if let Some(root) = document.root {
                self.read_document(&root, &file)?;
            }
            self.manifest.faults.extend(document.unread.map(|flaw| flaw.into_error(&file)));
        }
        Ok(())
    }

    fn read_document(&mut self, root: &yaml::Node, file: &Arc<str>) -> Result<()> {
        if resiliency::is_meant(root) {
            let document = resiliency::read(root, file, &self.scope);
            self.policy_faults.extend(document.faults);
            match document.policies {
                Some(policies) => self.manifest.policies.merge(policies),
                None => self.manifest.policies_incomplete = true,
            }
            return Ok(());
        }
        let hidden = self.hidden.len();
        let header = match document::header(root, file, &self.scope, &mut self.hidden) {
            Ok(Some(header)) => header,
            Ok(None) => {
                let place = document::place_of(root, file);
                let names = self.hidden[hidden..].iter().map(|name| (name.clone(), place.clone()));
                self.manifest.passed_over.extend(names);
                return Ok(());
            }
            Err(fault) => {
                self.manifest.faults.push(fault);
                return Ok(());
            }
        };
        if let Err(duplicate) = self.take_name(&header) {
            if !self.duplicates_are_faults {
                return Err(duplicate);
            }
            self.manifest.components.retain(|component| component.name != header.name);
            self.manifest.duplicate.get_or_insert_with(|| duplicate.clone());
            self.manifest.faults.push(duplicate);
            return Ok(());
        }
        match header.into_component(self.references) {
            Ok(component) => self.manifest.components.push(component),
            Err(faults) => self.manifest.faults.extend(faults),
        }
        Ok(())
    }

    fn take_name(&mut self, header: &document::Header<'_>) -> Result<()> {
        let type_and_version = header.type_and_version();
        if let Some(first) = self.names.get(&header.name) {
            let message = format!(
                "duplicate definition of Component name {} ({type_and_version}) with existing {} ({}) at {}",
                header.name, header.name, first.type_and_version, first.place
            );
            return Err(Error::new(ErrorCode::InvalidManifest, message)
                .component(Arc::clone(&header.name))
                .place(header.name_place.clone())
                .advice("Rename or remove one of the two."));
        }
        let taken = Taken { type_and_version, place: header.name_place.clone() };
        self.names.insert(Arc::clone(&header.name), taken);
        Ok(())
    }

    fn finish(mut self) -> Manifest {
        // Only now: a document may name what stands in a later one.
        let known = self.names.keys().map(|name| &**name).chain(self.hidden.iter().map(String::as_str));
        let faults = self.manifest.policies.faults(&known.collect::<Vec<_>>());
        self.manifest.left_out = self.manifest.faults.len();
        self.manifest.faults.extend(self.policy_faults.into_iter().chain(faults));
        self.manifest.fingerprint = self.hasher.finish();
        self.manifest
    }
}
