//! An application behind `bindwright serve` that takes every event, over HTTP or gRPC, and counts.
//!
//! Prints a line of JSON with its port when it listens, and one with its count for every line that it reads; ends when
//! its standard input does.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use bindwright_wire::messages::app_callback_server::{AppCallback, AppCallbackServer};
use bindwright_wire::messages::{BindingEventRequest, BindingEventResponse, ListInputBindingsResponse};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower::ServiceExt as _;

/// The name of the binding that the measurements use.
const BINDING: &str = "checkout";

#[derive(Clone, Default)]
struct App(Arc<AtomicU64>);

#[tonic::async_trait]
impl AppCallback for App {
    async fn list_input_bindings(
        &self,
        _: Request<()>,
    ) -> Result<Response<ListInputBindingsResponse>, Status> {
        Ok(Response::new(ListInputBindingsResponse { bindings: vec![BINDING.to_owned()] }))
    }

    async fn on_binding_event(
        &self,
        _: Request<BindingEventRequest>,
    ) -> Result<Response<BindingEventResponse>, Status> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(BindingEventResponse::default()))
    }
}

async fn take(State(app): State<App>, method: axum::http::Method) {
    if method == axum::http::Method::POST {
        app.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn main() -> std::io::Result<()> {
    let speaks_grpc = std::env::args().nth(1).is_some_and(|protocol| protocol == "grpc");
    let app = App::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let routes = if speaks_grpc {
        Routes::new(AppCallbackServer::new(app.clone())).into_axum_router()
    } else {
        Router::new().fallback(take).with_state(app.clone())
    };
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let port = listener.local_addr()?.port();
    runtime.spawn(serve(listener, routes));
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!({ "port": port }))?;
    for line in std::io::stdin().lines() {
        line?;
        writeln!(out, "{}", json!({ "count": app.0.load(Ordering::Relaxed) }))?;
    }
    Ok(())
}

async fn serve(listener: TcpListener, routes: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let service = routes
            .clone()
            .map_request(|request: axum::http::Request<hyper::body::Incoming>| request.map(Body::new));
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // How a connection ends is its client's affair.
            let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
        });
    }
}
