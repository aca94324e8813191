//! Speaking HTTP to the application.

use std::time::Duration;

use bindwright::{Event, Metadata};
use bindwright_wire::headers;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_openssl::client::legacy::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::channel::UNFIT_TOKEN;
use super::input::Input;
use super::outcome::{self, Answer, NotHandled, Outputs, Unanswered};
use super::tls;
use crate::http::TOKEN;
use crate::options::{AppProtocol, Options};
use crate::trace::{self, Tracing};

/// What a path cannot hold.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'|')
    .add(b'\\')
    .add(b'^')
    .add(b'?')
    .add(b'%');
/// How long the application may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The most that an answer may have where requests have no limit.
const LONGEST_ANSWER: usize = 64 << 20;

/// How many entries of an event become headers: a map of them has an end.
const MOST_HEADERS: usize = 1000;

/// Names that mean something between two parties of HTTP, or to the application alone.
const KEPT_BACK: [&str; 15] = [
    "connection",
    "content-length",
    "content-type",
    "dapr-api-token",
    "destination-app-id",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

pub(super) struct HttpApp {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// `http://host:port`
    base: String,
    token: Option<HeaderValue>,
    health_path: String,
    longest_answer: usize,
    tracing: Tracing,
}

impl HttpApp {
    pub(super) fn new(options: &Options, port: u16, tracing: Tracing) -> Result<Self, String> {
        let protocol = options.protocol();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http2_only(protocol == AppProtocol::H2c)
            .http1_title_case_headers(true)
            .build(tls::connector(b"\x08http/1.1", CONNECT)?);
        let scheme = if protocol == AppProtocol::Https { "https" } else { "http" };
        let base = format!("{scheme}://{}:{port}", host(&options.app_channel_address));
        base.parse::<Uri>().map_err(|error| format!("{base}: {error}"))?;
        let token = options.app_token.as_ref().map(|token| HeaderValue::from_str(token.expose()));
        let token = token.transpose().map_err(|_| UNFIT_TOKEN)?;
        Ok(Self {
            client,
            base,
            token: token.map(|mut token| {
                token.set_sensitive(true);
                token
            }),
            health_path: path(&options.app_health_check_path),
            longest_answer: options.body_limit().unwrap_or(LONGEST_ANSWER),
            tracing,
        })
    }

    /// It wants the events when it answers OPTIONS with 2xx or 405.
    pub(super) async fn wants(&self, input: &Input) -> Result<bool, String> {
        let request = self.request(Method::OPTIONS, &target(input), HeaderMap::new(), Bytes::new())?;
        let status = self.send(request).await.map_err(Unanswered::into_text)?.status();
        Ok(status.is_success() || status.as_u16() == 405)
    }

    /// Whether the application says that it is well.
    pub(super) async fn is_well(&self) -> bool {
        let Ok(uri) = format!("{}{}", self.base, self.health_path).parse::<Uri>() else { return false };
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri;
        self.send(request).await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Gives the application an event.
    pub(super) async fn deliver(&self, input: &Input, event: &Event) -> Result<Answer, Unanswered> {
        // No data at all arrives as Dapr sends it.
        let body = event.body().as_bytes().cloned().unwrap_or(Bytes::from_static(b"null"));
        let mut sent = entries(event.metadata(), self.tracing);
        if event.attempt() > 1 {
            sent.insert(headers::ATTEMPT, HeaderValue::from(event.attempt()));
        }
        let request = self.request(Method::POST, &target(input), sent, body).map_err(Unanswered::Failed)?;
        let answer = self.send(request).await?;
        let status = answer.status();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if status.is_success() && header(headers::OUTCOME) == Some(headers::REPLY) {
            let outputs = Outputs { data: answer.into_body(), ..Outputs::default() };
            return Ok(Answer::Handled { outputs, has_state: false });
        }
        if !status.is_success() {
            let text = String::from_utf8_lossy(answer.body());
            if outcome::is_released(header) {
                return Err(Unanswered::NotTaken(text.into_owned()));
            }
            let unnamed = || outcome::refusal(status.as_u16(), answer.body());
            if let Some(told) = NotHandled::read(header, &text, unnamed) {
                return Ok(Answer::NotHandled(told));
            }
        }
        let retry_after = header(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
        Ok(Answer::Http {
            status: status.as_u16(),
            retry_after: retry_after.map(Duration::from_secs),
            body: answer.into_body(),
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Bytes>, String> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.token {
            headers.insert(TOKEN, token.clone());
        }
        let uri =
            format!("{}{path}", self.base).parse::<Uri>().map_err(|error| format!("{path:?}: {error}"))?;
        let mut request = Request::new(body);
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        Ok(request)
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Unanswered> {
        let told = |error: &dyn std::error::Error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("error invoking app: {error}{cause}")
        };
        let answer = self.client.request(request.map(Full::new)).await.map_err(|error| {
            let text = told(&error);
            if error.is_connect() { Unanswered::NotTaken(text) } else { Unanswered::Failed(text) }
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, self.longest_answer).collect().await;
        let body = body.map_err(|error| {
            Unanswered::Failed(format!("error invoking app: its answer cannot be read: {error}"))
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

/// A host as it stands in an address.
pub(super) fn host(text: &str) -> String {
    if text.contains(':') && !text.starts_with('[') { format!("[{text}]") } else { text.to_owned() }
}

/// Where the events of a binding go.
fn target(input: &Input) -> String {
    match input.route.as_deref().filter(|route| !route.is_empty()) {
        Some(route) => path(route),
        None => format!("/{}", utf8_percent_encode(&input.name, ESCAPED)),
    }
}

/// A path with one slash before each segment and `..` resolved; what stands behind a question mark stays.
fn path(text: &str) -> String {
    let (text, query) = text.split_once('?').map_or((text, None), |(text, query)| (text, Some(query)));
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("/{}{query}", kept.join("/"))
}

/// Each entry of the metadata as a header. Names and values that cannot be one are left out: a record must not be held
/// by what its sender wrote into it.
fn entries(metadata: &Metadata, tracing: Tracing) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(metadata.len().min(MOST_HEADERS) + 4);
    // The last ones: what the component itself says, such as `__offset`, stands behind what the sender wrote.
    for (name, value) in metadata.iter().skip(metadata.len().saturating_sub(MOST_HEADERS)) {
        let lower = name.to_ascii_lowercase();
        if KEPT_BACK.contains(&lower.as_str()) || lower.ends_with("-bin") || lower.starts_with("bindwright-")
        {
            continue;
        }
        let name = match lower.strip_prefix(':') {
            Some(name) => format!("dapr-{name}"),
            None if lower.starts_with("grpc-") => format!("dapr-{lower}"),
            None => lower,
        };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value.bytes())) {
            headers.insert(name, value);
        }
    }
    let text = |name| metadata.get(name);
    let (parent, state) = (text(trace::TRACEPARENT), text(trace::TRACESTATE));
    // Without spans the sender's own context goes on as it is.
    let Some(span) = tracing.below(parent.as_deref(), state.as_deref()) else { return headers };
    headers.remove(trace::TRACESTATE);
    let context = [(trace::TRACEPARENT, Some(span.traceparent)), (trace::TRACESTATE, span.tracestate)];
    for (name, value) in context {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_to_the_route_or_to_the_name() {
        let to = |route: Option<&str>| {
            let input =
                Input { name: "my orders?".to_owned(), route: route.map(str::to_owned), is_explicit: false };
            target(&input)
        };
        assert_eq!(to(None), "/my%20orders%3F");
        assert_eq!(to(Some("")), "/my%20orders%3F");
        for (route, expected) in
            [("in", "/in"), ("/a//b/../c", "/a/c"), ("../..", "/"), ("/in?x=../1", "/in?x=../1")]
        {
            assert_eq!(to(Some(route)), expected, "{route}");
        }
    }

    #[test]
    fn of_very_many_entries_those_of_the_component_stay() {
        let mut metadata: Metadata =
            (0..30_000).map(|number| (format!("h{number}"), "x".to_owned())).collect();
        metadata.add("__offset", "0");
        metadata.add("__topic", "orders");
        metadata.add("__offset", "7");
        let headers = entries(&metadata, Tracing::new(Some(0.0)));
        assert!(headers.len() <= MOST_HEADERS);
        assert_eq!(
            (&headers["__offset"], &headers["__topic"]),
            (&"7".parse().unwrap(), &"orders".parse().unwrap())
        );
    }

    #[test]
    fn metadata_becomes_headers_but_for_what_http_keeps_for_itself() {
        let metadata: Metadata = [
            ("bindings", "input"),
            ("__offset", "7"),
            ("Content-Type", "text/plain"),
            ("Content-Length", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Host", "elsewhere"),
            ("dapr-api-token", "forged"),
            ("bindwright-attempt", "4000000000"),
            ("trace-bin", "x"),
            ("grpc-status", "0"),
            (":path", "/x"),
            ("not a name", "x"),
            ("evil", "a\r\nb: c"),
            ("umlaut", "ä"),
        ]
        .into_iter()
        .collect();
        let headers = entries(&metadata, Tracing::new(Some(0.5)));
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["__offset", "bindings", "dapr-grpc-status", "dapr-path", "traceparent", "umlaut"]);
        assert_eq!(headers["bindings"], "input");
        assert_eq!(headers["umlaut"].as_bytes(), "ä".as_bytes());
    }
}
