//! `cargo xtask licences`: may we use, and pass on, every crate that we depend on?
//!
//! Reads `deny.toml`, which has the format of cargo-deny, so that `cargo deny check licenses bans sources`
//! gives the same answer where that tool is installed. Used here: `licenses.allow`, `licenses.exceptions` and
//! `bans.deny` with plain crate names. Licences are asked of everything that takes part in a build; bans and
//! sources are checked for the dependencies of tests as well.

use std::path::Path;

use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::Outcome;
use crate::metadata::{Follow, Metadata, Package};

/// How the address of the public registry's index ends.
const REGISTRY: &str = "/crates.io-index";

#[derive(Deserialize)]
struct Policy {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// Fails with one line for each crate that `deny.toml` does not permit.
pub(crate) fn check(root: &Path) -> Outcome {
    let policy: Policy = toml::from_str(&crate::read(&root.join("deny.toml"))?)
        .map_err(|fault| format!("deny.toml: {fault}"))?;
    let metadata = Metadata::load(root)?;
    let mut faults = Vec::new();
    for package in &metadata.packages {
        if let Some(source) = &package.source {
            faults.extend(source_fault(package, source));
        }
        faults.extend(
            policy
                .bans
                .deny
                .iter()
                .filter(|ban| ban.name == package.name)
                .map(|ban| format!("{}: banned by deny.toml: {}", package.label(), ban.reason)),
        );
    }
    let members: Vec<&Package> = metadata.members().collect();
    let built = metadata.third_party(root, &members, Follow::Built)?;
    for package in &built {
        let allowed = policy.licenses.allowed_for(&package.name)?;
        if let Err(fault) = permits(&allowed, package.license.as_deref()) {
            faults.push(format!("{}: {fault}", package.label()));
        }
    }
    if faults.is_empty() {
        println!("{} third-party crates, all permitted by deny.toml", built.len());
        return Ok(());
    }
    Err(faults.join("\n") + "\nuse another crate, or discuss a change of deny.toml in the pull request")
}

fn source_fault(package: &Package, source: &str) -> Option<String> {
    let public = source.starts_with("registry+") && source.ends_with(REGISTRY);
    (!public).then(|| format!("{}: comes from {source}, expected crates.io", package.label()))
}

impl Licences {
    /// The licences that this crate may have.
    fn allowed_for(&self, name: &str) -> Outcome<Vec<Licensee>> {
        let exceptions = self.exceptions.iter().filter(|exception| exception.name == name);
        self.allow
            .iter()
            .chain(exceptions.flat_map(|exception| &exception.allow))
            .map(|text| {
                Licensee::parse(text).map_err(|fault| format!("deny.toml: {text:?}: {}", fault.reason))
            })
            .collect()
    }
}

/// Whether a crate with this licence expression can be used under one of the allowed licences.
fn permits(allowed: &[Licensee], expression: Option<&str>) -> Outcome {
    let text = expression.ok_or("no licence expression in its Cargo.toml")?;
    // Older crates write `MIT/Apache-2.0`.
    let parsed = Expression::parse_mode(text, ParseMode::LAX)
        .map_err(|fault| format!("licence {text:?} is not an SPDX expression: {}", fault.reason))?;
    if parsed.evaluate(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted))) {
        return Ok(());
    }
    Err(format!("licence {text:?} is not in the allow list of deny.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Vec<Licensee> {
        ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
            .iter()
            .map(|text| Licensee::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn one_allowed_licence_of_a_choice_is_enough() {
        for text in ["MIT", "MIT/Apache-2.0", "LGPL-2.1-or-later OR MIT", "Apache-2.0 WITH LLVM-exception"] {
            assert_eq!(permits(&allowed(), Some(text)), Ok(()), "{text}");
        }
    }

    #[test]
    fn every_part_of_a_conjunction_must_be_allowed() {
        assert_eq!(permits(&allowed(), Some("MIT AND Apache-2.0")), Ok(()));
        let fault = permits(&allowed(), Some("MIT AND GPL-3.0-only")).unwrap_err();
        assert!(fault.contains("GPL-3.0-only"), "{fault}");
    }

    #[test]
    fn an_unknown_or_missing_licence_is_a_fault() {
        assert!(permits(&allowed(), None).is_err());
        assert!(permits(&allowed(), Some("Our own words")).is_err());
    }

    #[test]
    fn an_exception_holds_for_its_crate_only() {
        let policy: Policy = toml::from_str(
            "[licenses]\nallow = [\"MIT\"]\nexceptions = [{ crate = \"one\", allow = [\"MPL-2.0\"] }]\n\
             [bans]\ndeny = []\n",
        )
        .unwrap();
        assert_eq!(permits(&policy.licenses.allowed_for("one").unwrap(), Some("MPL-2.0")), Ok(()));
        assert!(permits(&policy.licenses.allowed_for("other").unwrap(), Some("MPL-2.0")).is_err());
    }
}
