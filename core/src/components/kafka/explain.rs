//! What a Kafka component amounts to, for `bindwright explain`: what one can rely on, and what librdkafka is told.

use rdkafka::ClientConfig;

use super::options::is_secret;
use super::settings::{InitialOffset, KafkaSettings, RequiredAcks};
use crate::error::Result;
use crate::inspect::{Guarantee, NativeOptions, Nature};
use crate::manifest::Component;

const LIBRARY: &str = "librdkafka";

pub(super) fn nature(component: &Component) -> Result<Nature> {
    let (settings, _) = KafkaSettings::decode(component)?;
    let mut nature = Nature::default();
    if settings.publish_topic.is_some() && component.direction.output {
        let config = settings.producer_config();
        nature.guarantees.extend(of_replies(&settings, config.get("enable.idempotence") == Some("true")));
        nature.options.push(options("producer", &config));
    }
    let receives = component.direction.input && !settings.topics.is_empty();
    if let Some(group) = settings.consumer_group.as_deref().filter(|_| receives) {
        nature.guarantees.push(of_the_start(&settings, group));
        nature.options.push(options("consumer", &settings.consumer_config(group)));
    }
    Ok(nature)
}

fn of_replies(settings: &KafkaSettings, is_idempotent: bool) -> [Guarantee; 2] {
    let reply = match settings.raw.producer_required_acks {
        RequiredAcks::All => "a reply means that all replicas in sync have the record",
        RequiredAcks::Local => {
            "a reply means that the partition's leader has the record, and maybe nobody else"
        }
        RequiredAcks::None => "a reply means that the record was handed over, and nothing more",
    };
    let writing = if is_idempotent {
        "a record is written once for each call, and records of a partition keep their order"
    } else {
        "a record may be written twice, and overtake another, when the client has to send again"
    };
    [("reply", reply), ("writing", writing)].map(|(topic, text)| Guarantee { topic, text: text.to_owned() })
}

fn of_the_start(settings: &KafkaSettings, group: &str) -> Guarantee {
    let first = match settings.initial_offset {
        InitialOffset::Newest => "with what comes from then on",
        InitialOffset::Oldest => "with the oldest record",
    };
    let text =
        format!("reading goes on where the group {group:?} left off; a group that is new begins {first}");
    Guarantee { topic: "start", text }
}

fn options(client: &'static str, config: &ClientConfig) -> NativeOptions {
    let mut options: Vec<(String, String)> = config
        .config_map()
        .iter()
        .map(|(name, value)| {
            let shown = if is_secret(name) { "***" } else { value };
            ((*name).to_owned(), shown.to_owned())
        })
        .collect();
    options.sort();
    NativeOptions { library: LIBRARY, client, options }
}
