//! The connections of a sidecar: HTTP/1 and HTTP/2 on one port, gRPC among the latter.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bindwright_wire::messages::app_callback_health_check_server::AppCallbackHealthCheckServer;
use bindwright_wire::messages::app_callback_server::AppCallbackServer;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::server::NamedService as _;
use tower_service::Service as _;

use super::AppChannel;
use super::grpc::Callback;

/// More entries of an event's metadata than any broker's record should have.
const MOST_HEADERS: usize = 2_048;
const LARGEST_HEADERS: u32 = 4 << 20;
/// For answers on their way when the client closes. Handlers had the time to drain before: what they still have gets no
/// answer, and the sidecar delivers it again.
pub(super) const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Accepts connections until it is aborted or nobody holds the channel. Aborted, it drops the last argument first:
/// once nobody listens to `closed` the port is free.
pub(super) async fn serve(channel: Weak<AppChannel>, closed: watch::Receiver<bool>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, mostly: others may end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Some(channel) = channel.upgrade() else { return };
        tokio::spawn(converse(channel, stream, closed.clone()));
    }
}

async fn converse(channel: Arc<AppChannel>, stream: TcpStream, mut closed: watch::Receiver<bool>) {
    // An answer is small, and the sidecar waits for it.
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new(TokioExecutor::new());
    // A sidecar keeps connections for its next event: ended in that moment, the event would have failed.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEADERS as usize);
    // How many events come at once the sidecar decides.
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(LARGEST_HEADERS)
        .max_concurrent_streams(None);
    let weak = Arc::downgrade(&channel);
    drop(channel);
    let service = service_fn(move |request| {
        let channel = weak.upgrade();
        async move { Ok::<_, Infallible>(answer(channel, request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // Why it broke is the sidecar's affair: it delivers again what was not answered.
        _ = connection.as_mut() => return,
        _ = closed.wait_for(|closed| *closed) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWERS, connection).await;
}

async fn answer(channel: Option<Arc<AppChannel>>, request: Request<Incoming>) -> Response<Body> {
    let Some(channel) = channel else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        return response;
    };
    let is_grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return super::http::answer(&channel, request).await.map(Body::new);
    }
    let most = channel.most;
    let service =
        request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
    let callback = Callback(channel);
    let answered = if service == AppCallbackServer::<Callback>::NAME {
        AppCallbackServer::new(callback).max_decoding_message_size(most).call(request).await
    } else if service == AppCallbackHealthCheckServer::<Callback>::NAME {
        AppCallbackHealthCheckServer::new(callback).call(request).await
    } else {
        Ok(tonic::Status::unimplemented("this program only receives events").into_http())
    };
    answered.unwrap_or_else(|never| match never {})
}
