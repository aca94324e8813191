//! Runs the cases of `tests/spec/serve`, whose README describes them, against `bindwright serve` as a process.
//!
//! What a case cannot say is a test of Rust named `vector_NN_…`; `docs/parity.md` lists the vectors that are answered
//! differently on purpose. A test compares all three with the numbers that there are.

mod apps;
mod asking;
mod components;
mod coverage;
#[path = "../../../../core/tests/spec/runner/file.rs"]
mod file;
mod process;
mod run;

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

#[cfg(target_os = "linux")]
pub use process::Served;
use run::Run;

/// Which API a case uses, and how its application is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Http,
    Grpc,
}

/// Files of `tests/spec/serve`.
const FILES: [&str; 4] = ["calling.yaml", "loading.yaml", "receiving.yaml", "serving.yaml"];
/// Cases that run at once: most of them wait for something.
const AT_ONCE: usize = 4;

/// All cases, with the file each one is from.
fn all_cases() -> impl Iterator<Item = (&'static str, Value)> {
    FILES
        .into_iter()
        .flat_map(|name| file::cases(&format!("serve/{name}")).into_iter().map(move |case| (name, case)))
}

fn apis(case: &Value) -> Vec<Api> {
    let over = case["over"].as_array().cloned().unwrap_or_else(|| vec!["http".into(), "grpc".into()]);
    let api = |name: &Value| match name.as_str() {
        Some("http") => Api::Http,
        Some("grpc") => Api::Grpc,
        _ => panic!("{}: over {name}", case["case"]),
    };
    over.iter().map(api).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_holds() {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = Vec::new();
    for (file, case) in all_cases() {
        for api in apis(&case) {
            let name = format!("{file}: vector {}: {} over {api:?}", case["vector"], case["case"]);
            let (turns, case, place) = (turns.clone(), case.clone(), name.clone());
            let run = async move {
                let _turn = turns.acquire().await.unwrap();
                Run::start(&case, api, place).await.all(&case).await;
            };
            // A task of its own, so that a case that fails does not hide the next one.
            running.push((name, tokio::spawn(run)));
        }
    }
    let mut failed = Vec::new();
    for (name, run) in running {
        if run.await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
