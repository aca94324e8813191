//! The schema has everything that decodes. Whether validators agree is tested in `tests/packages/test_schema.py`.

use crate::inspect::{component_schema, schema};
use crate::registry;

#[test]
fn every_setting_of_every_type_is_in_the_schema() {
    let whole = schema().to_string();
    for found in registry::all() {
        let Some(settings) = found.described_settings() else { continue };
        let one = component_schema(found.name()).expect("a schema").to_string();
        for name in settings.iter().flat_map(crate::settings::Setting::names) {
            let name = format!("{name:?}");
            assert!(whole.contains(&name) && one.contains(&name), "{} {name}", found.name());
        }
    }
}

#[test]
fn a_type_that_is_not_there_is_told_with_the_nearest() {
    let error = component_schema("bindings.kafak").expect_err("no such type");
    assert!(error.message().ends_with("did you mean \"bindings.kafka\""), "{error}");
    assert!(component_schema("BINDINGS.Kafka").is_ok());
}
