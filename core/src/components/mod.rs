//! The components that come with Bindwright: one file or folder each, and one line in the list below.

use crate::registry::ComponentType;

macro_rules! components {
    ($($module:ident $(if $feature:literal)?;)*) => {
        $($(#[cfg(feature = $feature)])? pub(crate) mod $module;)*

        /// Every component type of this build.
        pub(crate) fn built_in() -> Vec<ComponentType> {
            vec![$($(#[cfg(feature = $feature)])? $module::component_type(),)*]
        }
    };
}

components! {
    kafka if "kafka";
    memory;
    noop if "bench";
}
