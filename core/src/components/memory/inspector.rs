//! What memory components tell of themselves to tools: not much, because their queues live inside one process.

use super::settings::MemorySettings;
use crate::inspect::{Examination, Inspector};
use crate::manifest::Component;

pub(super) struct MemoryInspector;

impl Inspector for MemoryInspector {
    fn examine(&self, component: &Component, examination: &mut Examination<'_>) {
        examination.step("queue", "", |_, notes| {
            let (settings, _) = MemorySettings::decode(component)?;
            notes.fact("queue", &settings.queue);
            notes.fact("partitions", settings.partitions);
            notes.note("it lives inside the program, and nothing has to be reached");
            Ok(())
        });
    }
}
