//! The application's side over gRPC.

use std::sync::Arc;

use axum::body::Body;
use bindwright_server::proto::app_callback_health_check_server::{
    AppCallbackHealthCheck, AppCallbackHealthCheckServer,
};
use bindwright_server::proto::app_callback_server::{AppCallback, AppCallbackServer};
use bindwright_server::proto::{
    BindingEventRequest, BindingEventResponse, HealthCheckResponse, ListInputBindingsResponse, StateItem,
};
use http::StatusCode;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower::ServiceExt as _;

use super::fixture::{Fixture, Running, until};

/// What an application does with an event, knowing how many it saw before.
pub type Answer = fn(&BindingEventRequest, usize) -> Result<BindingEventResponse, Status>;

#[derive(Clone)]
struct TestApp(Arc<Inside>);

struct Inside {
    answer: Answer,
    lists: Mutex<Vec<MetadataMap>>,
    /// How often the list fails before it is told.
    failing: usize,
    events: Mutex<Vec<(MetadataMap, BindingEventRequest)>>,
    is_well: Mutex<bool>,
}

#[tonic::async_trait]
impl AppCallback for TestApp {
    async fn list_input_bindings(
        &self,
        request: Request<()>,
    ) -> Result<Response<ListInputBindingsResponse>, Status> {
        let mut lists = self.0.lists.lock();
        lists.push(request.metadata().clone());
        if lists.len() <= self.0.failing {
            return Err(Status::unavailable("not yet"));
        }
        Ok(Response::new(ListInputBindingsResponse { bindings: vec!["orders".to_owned()] }))
    }

    async fn on_binding_event(
        &self,
        request: Request<BindingEventRequest>,
    ) -> Result<Response<BindingEventResponse>, Status> {
        let (metadata, _, event) = request.into_parts();
        let before = {
            let mut events = self.0.events.lock();
            events.push((metadata, event.clone()));
            events.iter().filter(|(_, one)| one.name == event.name).count() - 1
        };
        (self.0.answer)(&event, before).map(Response::new)
    }
}

#[tonic::async_trait]
impl AppCallbackHealthCheck for TestApp {
    async fn health_check(&self, _: Request<()>) -> Result<Response<HealthCheckResponse>, Status> {
        if *self.0.is_well.lock() {
            Ok(Response::new(HealthCheckResponse {}))
        } else {
            Err(Status::unavailable("ill"))
        }
    }
}

/// An application that wants everything of its list; its port.
pub async fn answering(answer: Answer) -> u16 {
    TestApp::start(answer, 0, true).await.1
}

impl TestApp {
    async fn start(answer: Answer, failing: usize, is_well: bool) -> (Self, u16) {
        let inside = Inside {
            answer,
            failing,
            lists: Mutex::default(),
            events: Mutex::default(),
            is_well: Mutex::new(is_well),
        };
        let app = Self(Arc::new(inside));
        let routes = Routes::new(AppCallbackServer::new(app.clone()))
            .add_service(AppCallbackHealthCheckServer::new(app.clone()))
            .into_axum_router();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = routes
                    .clone()
                    .map_request(|request: http::Request<hyper::body::Incoming>| request.map(Body::new));
                tokio::spawn(async move {
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http2_only();
                    let _ = builder
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
                        .await;
                });
            }
        });
        (app, port)
    }

    fn events(&self, name: &str) -> Vec<BindingEventRequest> {
        let events = self.0.events.lock();
        events.iter().filter(|(_, event)| event.name == name).map(|(_, event)| event.clone()).collect()
    }
}

#[allow(clippy::unnecessary_wraps)] // as every answer
fn ok(_: &BindingEventRequest, _: usize) -> Result<BindingEventResponse, Status> {
    Ok(BindingEventResponse::default())
}

fn fixture(port: u16, more: &[&str]) -> Fixture {
    Fixture::new().flags(&["--app-protocol", "grpc", "--app-port", &port.to_string()]).flags(more)
}

async fn send(server: &Running, queue: &str) {
    let body = r#"{"operation":"create","data":{"orderId":1},"metadata":{"bindings":"input"}}"#;
    assert_eq!(server.invoke(queue, body).await.status, StatusCode::NO_CONTENT);
}

async fn settled(server: &Running, queue: &str) {
    until("settled", async || server.size(queue).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_listed_binding_arrives_with_its_metadata_and_the_token() {
    let (app, port) = TestApp::start(ok, 0, true).await;
    let fixture = fixture(port, &[]).app_token("t");
    fixture.queue("orders", &[]);
    fixture.queue("unlisted", &[]);
    fixture.queue("explicit", &[("direction", "input, output")]);
    let server = fixture.start().await;
    for queue in ["orders", "unlisted", "explicit"] {
        send(&server, queue).await;
    }
    settled(&server, "orders").await;
    settled(&server, "explicit").await;
    assert_eq!((server.size("unlisted").await, app.events("unlisted").len()), (1, 0));
    let (sent, event) = app.0.events.lock()[0].clone();
    assert_eq!((event.data, event.metadata["bindings"].as_str()), (r#"{"orderId":1}"#.into(), "input"));
    assert_eq!(sent.get("dapr-api-token").unwrap(), "t");
    assert_eq!(sent.get("traceparent").unwrap().len(), 55);
    assert!(sent.contains_key("grpc-trace-bin"));
    assert_eq!(app.0.lists.lock()[0].get("dapr-api-token").unwrap(), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_failed_is_asked_for_again() {
    let (app, port) = TestApp::start(ok, 2, true).await;
    let fixture = fixture(port, &[]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    send(&server, "orders").await;
    settled(&server, "orders").await;
    assert_eq!((app.0.lists.lock().len(), app.events("orders").len()), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_refused_comes_again() {
    let answer: Answer = |_, before| {
        if before < 2 { Err(Status::unimplemented("x")) } else { ok(&BindingEventRequest::default(), 0) }
    };
    let (app, port) = TestApp::start(answer, 0, true).await;
    let fixture = fixture(port, &[]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    send(&server, "orders").await;
    settled(&server, "orders").await;
    assert_eq!(app.events("orders").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_in_the_answer_are_invoked_before_the_event_is_settled() {
    let answer: Answer = |event, before| {
        let mut answer = BindingEventResponse::default();
        if event.name == "orders" {
            answer.to = vec!["next".to_owned()];
            answer.data = "not JSON".into();
            answer.concurrency = i32::from(before > 0);
            answer.states = vec![StateItem { key: "a".to_owned() }];
        }
        Ok(answer)
    };
    let (app, port) = TestApp::start(answer, 0, true).await;
    let fixture = fixture(port, &[]);
    fixture.queue("orders", &[]);
    fixture.queue("next", &[("failures", "UNAVAILABLE"), ("direction", "input, output")]);
    let server = fixture.start().await;
    send(&server, "orders").await;
    settled(&server, "orders").await;
    until("sent", async || app.events("next").len() == 1).await;
    assert_eq!(app.events("orders").len(), 2);
    assert_eq!(app.events("next")[0].data, "not JSON");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_before_the_application_says_that_it_is_well() {
    let (app, port) = TestApp::start(ok, 0, false).await;
    let fixture = fixture(port, &["--enable-app-health-check", "--app-health-probe-interval", "1"]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    send(&server, "orders").await;
    assert_eq!(server.get("/v1.0/healthz").await.error().1, "ERR_HEALTH_NOT_READY");
    *app.0.is_well.lock() = true;
    settled(&server, "orders").await;
    assert_eq!(app.events("orders").len(), 1);
}
