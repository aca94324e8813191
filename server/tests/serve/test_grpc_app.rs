//! An application over gRPC that notes what it is asked and answers as a test says.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bindwright_wire::messages::app_callback_health_check_server::{
    AppCallbackHealthCheck, AppCallbackHealthCheckServer,
};
use bindwright_wire::messages::app_callback_server::{AppCallback, AppCallbackServer};
use bindwright_wire::messages::{
    BindingEventRequest, BindingEventResponse, HealthCheckResponse, ListInputBindingsResponse,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower::ServiceExt as _;

/// After how long it answers, and what.
pub type Timed<T> = (Duration, Result<T, Status>);

/// What it says to an event, knowing how many of this binding it saw before.
pub type Answering = dyn Fn(&BindingEventRequest, usize) -> Timed<BindingEventResponse> + Send + Sync;

/// What it answers.
pub struct Script {
    /// The bindings it wants, knowing how often it was asked before.
    pub list: Box<dyn Fn(usize) -> Timed<Vec<String>> + Send + Sync>,
    pub answer: Box<Answering>,
}

#[derive(Clone)]
pub struct TestGrpcApp {
    pub port: u16,
    inside: Arc<Inside>,
}

struct Inside {
    script: Script,
    lists: Mutex<Vec<MetadataMap>>,
    events: Mutex<Vec<(MetadataMap, BindingEventRequest)>>,
    is_well: Mutex<bool>,
}

#[tonic::async_trait]
impl AppCallback for TestGrpcApp {
    async fn list_input_bindings(
        &self,
        request: Request<()>,
    ) -> Result<Response<ListInputBindingsResponse>, Status> {
        let before = {
            let mut lists = self.inside.lists.lock();
            lists.push(request.metadata().clone());
            lists.len() - 1
        };
        let (pause, told) = (self.inside.script.list)(before);
        tokio::time::sleep(pause).await;
        told.map(|bindings| Response::new(ListInputBindingsResponse { bindings }))
    }

    async fn on_binding_event(
        &self,
        request: Request<BindingEventRequest>,
    ) -> Result<Response<BindingEventResponse>, Status> {
        let (metadata, _, event) = request.into_parts();
        let before = {
            let mut events = self.inside.events.lock();
            events.push((metadata, event.clone()));
            events.iter().filter(|(_, one)| one.name == event.name).count() - 1
        };
        let (pause, answer) = (self.inside.script.answer)(&event, before);
        tokio::time::sleep(pause).await;
        answer.map(Response::new)
    }
}

#[tonic::async_trait]
impl AppCallbackHealthCheck for TestGrpcApp {
    async fn health_check(&self, _: Request<()>) -> Result<Response<HealthCheckResponse>, Status> {
        if *self.inside.is_well.lock() {
            Ok(Response::new(HealthCheckResponse {}))
        } else {
            Err(Status::unavailable("ill"))
        }
    }
}

impl TestGrpcApp {
    /// Listens on a free port, and is well.
    pub async fn start(script: Script) -> Self {
        let inside =
            Inside { script, lists: Mutex::default(), events: Mutex::default(), is_well: Mutex::new(true) };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Self { port, inside: Arc::new(inside) };
        let routes = Routes::new(AppCallbackServer::new(app.clone()))
            .add_service(AppCallbackHealthCheckServer::new(app.clone()))
            .into_axum_router();
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
        app
    }

    pub fn set_well(&self, is_well: bool) {
        *self.inside.is_well.lock() = is_well;
    }

    /// What came with the questions what it wants.
    pub fn lists(&self) -> Vec<MetadataMap> {
        self.inside.lists.lock().clone()
    }

    pub fn all_events(&self) -> Vec<(MetadataMap, BindingEventRequest)> {
        self.inside.events.lock().clone()
    }

    pub fn events(&self, name: &str) -> Vec<BindingEventRequest> {
        let events = self.inside.events.lock();
        events.iter().filter(|(_, event)| event.name == name).map(|(_, event)| event.clone()).collect()
    }
}
