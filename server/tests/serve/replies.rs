//! What components and applications answer beside the usual: metadata beside a refusal, replies to those who wait.

use std::sync::{Arc, Once};
use std::time::Instant;

use async_trait::async_trait;
use bindwright::component::{
    ComponentType, InputBinding, Intake, NewEvent, Reading, Settler, Source, register,
};
use bindwright::{Body, Health, Metadata, Result};
use bindwright_wire::messages::dapr_client::DaprClient;
use bindwright_wire::messages::{BindingEventResponse, InvokeBindingRequest};
use parking_lot::Mutex;
use tonic::transport::Endpoint;

use super::fixture::{Fixture, until};
use super::grpc_app;
use super::test_app::{TestApp, body};

const REFUSED: &str = r#"{"operation":"status","metadata":{"Reason":"no such order"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_component_answers_beside_its_refusal_comes_as_headers() {
    let server = Fixture::new().start().await;
    let answer = server.invoke("echo", REFUSED).await;
    assert_eq!(answer.header("metadata.statuscode"), Some("404"));
    assert_eq!(answer.header("metadata.reason"), Some("no such order"));
    assert_eq!(answer.error().0, 500);
    let channel = Endpoint::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap();
    let metadata = [("Reason".to_owned(), "none".to_owned())].into();
    let asked = InvokeBindingRequest {
        name: "echo".into(),
        operation: "status".into(),
        metadata,
        ..Default::default()
    };
    let refused = DaprClient::new(channel).invoke_binding(asked).await.unwrap_err();
    assert_eq!(refused.metadata().get("metadata.statuscode").unwrap(), "404");
    assert_eq!(refused.metadata().get("metadata.reason").unwrap(), "none");
}

/// Receives one event, and waits for what is answered.
struct Asking;

/// What was answered and settled, in this order.
static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Heard;

impl Settler for Heard {
    fn settled(&self, positions: &[i64]) {
        HEARD.lock().extend(positions.iter().map(|position| format!("settled {position}")));
    }

    fn replied(&self, position: i64, reply: Body) {
        let text = String::from_utf8_lossy(reply.as_bytes().unwrap()).into_owned();
        HEARD.lock().push(format!("replied {position}: {text}"));
    }
}

#[async_trait]
impl InputBinding for Asking {
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>> {
        let source = intake.open_source(Arc::new(Heard));
        source.push(vec![NewEvent::new(7, Body::from("hello"), Metadata::new())]);
        Ok(Box::new(AskingReading(source)))
    }
}

struct AskingReading(Source);

#[async_trait]
impl Reading for AskingReading {
    async fn stop(&mut self, _: Instant) -> Result<()> {
        self.0.close();
        Ok(())
    }

    fn health(&self) -> Health {
        Health::READY
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vector_33_what_the_application_answers_reaches_a_component_that_waits_for_it() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| register(ComponentType::new("bindings.test.asking").input(|_| Ok(Arc::new(Asking)))));
    let over_http = TestApp::start(|_, _| body("world hello")).await;
    let over_grpc = grpc_app::answering(|_, _| {
        Ok(BindingEventResponse { data: "world hello".into(), ..Default::default() })
    })
    .await;
    for words in [
        ["--app-port", &over_http.port.to_string(), "--app-protocol", "http"],
        ["--app-port", &over_grpc.to_string(), "--app-protocol", "grpc"],
    ] {
        HEARD.lock().clear();
        let fixture = Fixture::new().flags(&words);
        fixture.component("asking", "bindings.test.asking", &[("direction", "input")], "");
        let server = fixture.start().await;
        until("answered", async || HEARD.lock().len() == 2).await;
        assert_eq!(*HEARD.lock(), ["replied 7: world hello", "settled 7"], "{words:?}");
        server.end().await;
    }
}
