//! What is said about settings is what decodes.

use super::component;
use crate::inspect::nature::Nature;
use crate::manifest::Manifest;
use crate::registry::{self, ComponentType};
use crate::settings::{Kind, Setting, field_names, runtime_settings};

/// The least that a component of each type needs.
fn least(component_type: &str) -> &'static [(&'static str, &'static str)] {
    match component_type {
        "bindings.kafka" => &[
            ("brokers", "localhost:9092"),
            ("topics", "orders"),
            ("publishTopic", "orders"),
            ("consumerGroup", "group1"),
            ("authType", "none"),
        ],
        _ => &[],
    }
}

fn described() -> Vec<(ComponentType, Vec<Setting>)> {
    let types = registry::all().into_iter();
    types.filter_map(|found| found.described_settings().map(|settings| (found, settings))).collect()
}

/// Decodes a component with one more setting, and explains it.
fn decoded(found: &ComponentType, setting: Option<(&str, &str)>) -> (Vec<String>, Nature) {
    let mut items: Vec<(&str, &str)> = least(found.name()).to_vec();
    if let Some((name, _)) = setting {
        items.retain(|(given, _)| *given != name);
    }
    let quoted = setting.map(|(name, value)| (name, format!("{value:?}")));
    items.extend(quoted.iter().map(|(name, value)| (*name, value.as_str())));
    let text = component("checkout", found.name(), &items);
    let manifest = Manifest::parse(text.as_bytes(), "<text>", None).expect("a manifest");
    let component = &manifest.components[0];
    let warnings = found.check_settings(component).expect("settings that can be used");
    let warnings = warnings.iter().map(ToString::to_string).collect();
    (warnings, found.nature(component).expect("a nature"))
}

#[test]
fn every_type_of_this_build_describes_its_settings() {
    let silent: Vec<_> = registry::all()
        .iter()
        .filter(|found| found.described_settings().is_none())
        .map(ComponentType::name)
        .collect();
    // Types that tests of other modules register have none.
    assert!(!silent.contains(&"bindings.kafka") && !silent.contains(&"bindings.memory"), "{silent:?}");
}

#[test]
fn names_and_aliases_are_those_that_decode() {
    for (found, settings) in described() {
        let mut told: Vec<&str> = settings.iter().flat_map(Setting::names).collect();
        let mut decoded = found.field_names().to_vec();
        told.sort_unstable();
        decoded.sort_unstable();
        assert_eq!(told, decoded, "{}", found.name());
    }
    let runtime = runtime_settings();
    let told: Vec<&str> = runtime.iter().flat_map(Setting::names).collect();
    assert!(told.iter().all(|name| crate::settings::is_runtime_name(name)), "{told:?}");
    assert_eq!(told.len(), 8);
    assert!(field_names::<crate::settings::RuntimeSettings>().iter().all(|name| told.contains(name)));
}

#[test]
fn defaults_decode_and_change_nothing() {
    for (found, settings) in described() {
        let (_, without) = decoded(&found, None);
        for setting in settings {
            let Some(default) = &setting.default else { continue };
            let (warnings, with) = decoded(&found, Some((&setting.name, default)));
            // Some settings have no effect beside `authType: none`, whatever they say.
            let warnings: Vec<_> =
                warnings.iter().filter(|one| !one.contains("has no effect with")).collect();
            assert_eq!(warnings, Vec::<&String>::new(), "{} {}", found.name(), setting.name);
            // An option that is the library's own default is only set where the document asks for it.
            for (with, without) in with.options.iter().zip(&without.options) {
                let changed: Vec<_> =
                    without.options.iter().filter(|one| !with.options.contains(one)).collect();
                assert!(changed.is_empty(), "{} {} = {default}: {changed:?}", found.name(), setting.name);
            }
            assert_eq!(with.guarantees, without.guarantees, "{} {}", found.name(), setting.name);
        }
    }
}

#[test]
fn every_word_of_a_setting_is_taken() {
    for (found, settings) in described() {
        for setting in settings {
            let Kind::Words(words) = &setting.kind else { continue };
            // The others ask for further settings, which is another error than that of an unknown word.
            let needs_others = ["authType", "valueSchemaType"].contains(&&*setting.name);
            for word in words.iter().filter(|_| !needs_others) {
                decoded(&found, Some((&setting.name, word)));
            }
        }
    }
}

#[test]
fn every_setting_is_described() {
    for (found, settings) in described() {
        for setting in settings.iter().chain(&runtime_settings()) {
            assert!(setting.description.len() > 5, "{} {}", found.name(), setting.name);
        }
    }
}

#[test]
fn secrets_are_known_as_such() {
    let (_, settings) =
        described().into_iter().find(|(found, _)| found.name() == "bindings.kafka").expect("Kafka");
    let secret = |name: &str| settings.iter().find(|one| one.name == name).expect(name).is_secret;
    for name in ["saslUsername", "saslPassword", "clientKey", "clientCert", "oidcClientSecret", "secretKey"] {
        assert!(secret(name), "{name}");
    }
    for name in ["brokers", "topics", "publishTopic", "authType"] {
        assert!(!secret(name), "{name}");
    }
}

#[test]
fn kinds_follow_from_the_types_that_decode() {
    let (_, settings) =
        described().into_iter().find(|(found, _)| found.name() == "bindings.kafka").expect("Kafka");
    let kind = |name: &str| settings.iter().find(|one| one.name == name).expect(name).kind.clone();
    assert_eq!(kind("brokers"), Kind::List);
    assert_eq!(kind("publishTopic"), Kind::Text);
    assert_eq!(kind("sessionTimeout"), Kind::Seconds);
    assert_eq!(kind("backOffDuration"), Kind::Millis);
    assert_eq!(kind("maxQueuedBytes"), Kind::Bytes);
    assert_eq!(kind("consumeRetryEnabled"), Kind::Flag);
    assert_eq!(kind("authRequired"), Kind::StrictFlag);
    assert_eq!(kind("backOffMultiplier"), Kind::Number);
    assert_eq!(kind("maxQueuedRecords"), Kind::Integer { least: 0, most: i64::from(u32::MAX) });
    assert_eq!(kind("initialOffset"), Kind::Words(vec!["newest".to_owned(), "oldest".to_owned()]));
    let runtime = runtime_settings();
    let in_flight = runtime.iter().find(|one| one.name == "maxInFlight").expect("maxInFlight");
    assert_eq!(in_flight.kind, Kind::Integer { least: 1, most: i64::from(u32::MAX) });
}
