//! Runs `tests/spec/kafka.yaml`: each case with a topic and a group of its own.

use serde_json::Value;

use crate::fixture::Fixture;
use crate::runner::{self, Placeholders};

#[tokio::test]
async fn every_case_of_the_specification_holds() {
    if crate::server::shared().is_some() {
        runner::every_case_holds(runner::embedded(), "kafka.yaml", own_topic).await;
    }
}

async fn own_topic(case: Value) -> Placeholders {
    let partitions = case["partitions"].as_i64().unwrap_or(1);
    let fixture = Fixture::with_topic(partitions as i32).await.expect("a broker");
    let Fixture { bootstrap, topic, group, .. } = &fixture;
    vec![("{brokers}", bootstrap.clone()), ("{topic}", topic.clone()), ("{group}", group.clone())]
}
