//! Tests of what can be said about documents.

mod check;
mod excerpt;
mod explain;
mod names;
mod schema;
mod settings;

/// A component document of a type, with these items of `spec.metadata`.
fn component(name: &str, component_type: &str, items: &[(&str, &str)]) -> String {
    let mut text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\nspec:\n  type: {component_type}\n  \
         version: v1\n"
    );
    if !items.is_empty() {
        text.push_str("  metadata:\n");
    }
    for (setting, value) in items {
        text.extend(["  - name: ", setting, "\n    value: ", value, "\n"]);
    }
    text
}
