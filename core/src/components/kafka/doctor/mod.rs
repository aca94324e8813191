//! Looks at everything that a Kafka component needs, in the order in which it needs it.
//!
//! Connects as the component would and changes nothing: no group is joined, nothing is written or committed, and no
//! topic comes into being by being asked for. Tests: `cli/tests/doctor.rs`.

mod clock;
mod cluster;
mod group;
mod reach;
mod topics;

use std::sync::Arc;

use super::asking::Asking;
use super::settings::KafkaSettings;
use crate::inspect::Examination;
use crate::manifest::Component;

/// The group that is named where the component has none; nobody joins it.
const NO_GROUP: &str = "bindwright";

/// A component under examination.
struct Patient<'a> {
    settings: &'a Arc<KafkaSettings>,
    asking: Asking,
    receives: bool,
    sends: bool,
}

pub(super) fn examine(component: &Component, examination: &mut Examination<'_>) {
    // What is wrong with the document was told before.
    let Ok((settings, _)) = KafkaSettings::decode(component) else { return };
    let settings = Arc::new(settings);
    let reached = reach::seeds(&settings, examination);
    let endpoints = || clock::endpoints(&settings);
    if !reached {
        examination.skip("cluster", "no broker can be reached");
        clock::look_at(&endpoints(), examination);
        return;
    }
    let group = settings.consumer_group.clone().unwrap_or_else(|| NO_GROUP.to_owned());
    let asking = examination.step("client", "", |_, _| Asking::open(&settings, &group, &[]));
    let Some(asking) = asking else { return };
    let patient = Patient {
        settings: &settings,
        asking,
        receives: component.direction.input && !settings.topics.is_empty(),
        sends: component.direction.output && settings.publish_topic.is_some(),
    };
    if let Some(cluster) = cluster::look_at(&patient, examination) {
        topics::look_at(&patient, &cluster, examination);
        group::look_at(&patient, examination);
        clock::look_at_records(&patient, examination);
    }
    clock::look_at(&endpoints(), examination);
}
