//! A manifest in the making: documents are read one after the other, what they need of each other comes at the end.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use super::{Manifest, References, Scope, document, references, resiliency, yaml};
use crate::error::{Error, ErrorCode, Place, Result};
use crate::secrets::{self, Stores, Variables};

/// The most faults that are listed of one file; who repairs a file with more will not miss the others.
const MAX_FAULTS: usize = 1000;

/// The fingerprint may be shown, and is made of secrets, too: nobody else can compute it.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Reads documents and puts them together.
pub(super) struct Reader<'a> {
    scope: Scope<'a>,
    references: References,
    /// Secret stores that stand elsewhere.
    pub(super) stores: Stores,
    pub(super) variables: Variables,
    manifest: Manifest,
    hasher: DefaultHasher,
    /// Every name in scope, also those of documents that were left out later on: of two documents with one
    /// name the second must not quietly take the place of a broken first.
    names: HashMap<Arc<str>, Taken>,
    /// The components that are not meant for this app; a policy may still name them.
    hidden: Vec<String>,
    /// Two components of one name leave out both, instead of everything.
    pub(super) duplicates_are_faults: bool,
    /// What is wrong with documents of policies.
    policy_faults: Vec<Error>,
    /// The file that is being read, and how many faults were noted before it.
    file: Arc<str>,
    noted_before: usize,
}

/// Who has a name already.
struct Taken {
    type_and_version: String,
    place: Place,
}

impl<'a> Reader<'a> {
    pub(super) fn new(scope: Scope<'a>, references: References) -> Self {
        let mut hasher = HASHES.build_hasher();
        scope.hash(&mut hasher);
        Self {
            scope,
            references,
            stores: Stores::default(),
            variables: secrets::of_process,
            manifest: Manifest::default(),
            hasher,
            names: HashMap::new(),
            hidden: Vec::new(),
            duplicates_are_faults: false,
            policy_faults: Vec::new(),
            file: "".into(),
            noted_before: 0,
        }
    }

    pub(super) fn read(&mut self, text: &[u8], file: &str) -> Result<()> {
        (file, text).hash(&mut self.hasher);
        let file: Arc<str> = file.into();
        self.file = Arc::clone(&file);
        self.noted_before = self.manifest.faults.len();
        for part in yaml::split(text) {
            let document = match yaml::compose(&part) {
                Ok(document) => document,
                Err(flaw) => {
                    // It may have been one of policies.
                    self.manifest.policies_incomplete = true;
                    self.note(flaw.into_error(&file));
                    continue;
                }
            };
            if let Some(root) = document.root {
                self.read_document(&root, &file)?;
            }
            if let Some(unread) = document.unread {
                self.note(unread.into_error(&file));
            }
        }
        Ok(())
    }

    /// Takes a fault that left out a component or a file.
    pub(super) fn note(&mut self, fault: Error) {
        match self.manifest.faults.len() - self.noted_before {
            ..MAX_FAULTS => self.manifest.faults.push(fault),
            MAX_FAULTS => {
                // Names no component, so that hot reload leaves everything of the file as it is.
                let message = format!("the file has more than {MAX_FAULTS} faults");
                let place = fault.place_in_file().cloned();
                let place = place.unwrap_or(Place { file: Arc::clone(&self.file), line: 1, column: 1 });
                self.manifest.faults.push(Error::new(ErrorCode::InvalidManifest, message).place(place));
            }
            _ => {}
        }
    }

    fn read_document(&mut self, root: &yaml::Node, file: &Arc<str>) -> Result<()> {
        if resiliency::is_meant(root) {
            let document = resiliency::read(root, file, &self.scope);
            let listed = MAX_FAULTS.saturating_sub(self.policy_faults.len());
            self.policy_faults.extend(document.faults.into_iter().take(listed));
            match document.policies {
                Some(policies) => self.manifest.policies.merge(policies),
                None => self.manifest.policies_incomplete = true,
            }
            return Ok(());
        }
        let header = match document::header(root, file, &self.scope, &mut self.hidden) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(()),
            Err(fault) => {
                self.note(fault);
                return Ok(());
            }
        };
        if let Err(duplicate) = self.take_name(&header) {
            if !self.duplicates_are_faults {
                return Err(duplicate);
            }
            self.manifest.components.retain(|component| component.name != header.name);
            self.stores.refuse(&header.name, &duplicate);
            self.manifest.duplicate.get_or_insert_with(|| duplicate.clone());
            self.note(duplicate);
            return Ok(());
        }
        let (name, is_store) = (Arc::clone(&header.name), header.is_store());
        match header.into_component() {
            Ok(component) => self.manifest.components.push(component),
            Err(faults) => {
                if let Some(first) = faults.first().filter(|_| is_store) {
                    self.stores.refuse(&name, first);
                }
                for fault in faults {
                    self.note(fault);
                }
            }
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

    pub(super) fn finish(mut self) -> Manifest {
        // Only now: a document may name what stands in a later one.
        let known = self.names.keys().map(|name| &**name).chain(self.hidden.iter().map(String::as_str));
        let faults = self.manifest.policies.faults(&known.collect::<Vec<_>>());
        self.manifest.left_out = self.manifest.faults.len();
        self.manifest.faults.extend(self.policy_faults.into_iter().chain(faults));
        match self.references {
            References::LeftOut => references::leave_out(&mut self.manifest.components, |_| true),
            References::Resolved => {
                references::leave_out(&mut self.manifest.components, |component| !component.is_ours());
                let found = references::resolve(
                    &mut self.manifest.components,
                    self.stores,
                    &self.hidden,
                    self.variables,
                );
                self.manifest.faults.extend(found.faults);
                self.manifest.stores = found.stores;
                self.manifest.secret_files = found.files;
            }
        }
        let components = &mut self.manifest.components;
        for component in components.iter_mut() {
            component.read_own_properties();
            references::hash(component, &mut self.hasher);
        }
        let unresolved = components.iter().filter(|component| component.is_binding());
        let unresolved: Vec<Error> = unresolved.flat_map(|one| one.unresolved.iter().cloned()).collect();
        self.manifest.unresolved = unresolved.len();
        self.manifest.faults.extend(unresolved);
        self.manifest.fingerprint = self.hasher.finish();
        self.manifest
    }
}
