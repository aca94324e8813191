//! The cases of `tests/spec` that need no server.
#![allow(missing_docs, unreachable_pub)]

mod runner;

use std::sync::atomic::{AtomicU32, Ordering};

use runner::{Placeholders, embedded};
use serde_json::Value;

#[tokio::test]
async fn every_case_of_the_memory_component_holds() {
    runner::every_case_holds(embedded(), "memory.yaml", own_queue).await;
}

#[tokio::test]
async fn every_case_of_dispatch_holds() {
    runner::every_case_holds(embedded(), "dispatch.yaml", own_queue).await;
}

#[tokio::test]
async fn every_case_of_policies_holds() {
    runner::every_case_holds(embedded(), "policies.yaml", own_queue).await;
}

#[tokio::test]
async fn every_case_of_documents_holds() {
    runner::every_case_holds(embedded(), "documents.yaml", own_queue).await;
}

/// A queue that no other case uses.
async fn own_queue(_case: Value) -> Placeholders {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    vec![("{queue}", format!("queue-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))]
}
