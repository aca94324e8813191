//! One case: its files, its server, its application, and its steps.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::Value;

use super::super::fixture::{Caller, until};
use super::super::test_app::{TestApp, ok, status};
use super::Api;
use super::apps::App;
use super::asking::{Asking, matches};
use super::process::Served;

/// What steps begin with.
const STEPS: [&str; 16] = [
    "invoke",
    "http",
    "events",
    "noEvents",
    "probes",
    "size",
    "ready",
    "components",
    "write",
    "remove",
    "ended",
    "log",
    "shutdown",
    "healthy",
    "target",
    "file",
];

pub struct Run {
    api: Api,
    folder: tempfile::TempDir,
    server: Served,
    app: Option<App>,
    target: Option<TestApp>,
    asking: Option<Asking>,
    /// What is being done, for messages.
    place: String,
}

impl Run {
    pub async fn start(case: &Value, api: Api, place: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = match case.get("target").and_then(Value::as_u64) {
            Some(code) => {
                let code = u16::try_from(code).unwrap();
                Some(TestApp::start(move |_, _| if code == 200 { ok() } else { status(code) }).await)
            }
            None => None,
        };
        let app = match case.get("app") {
            Some(of_case) => {
                let is_grpc = of_case["protocol"].as_str().map_or(api == Api::Grpc, |text| text == "grpc");
                Some(App::start(of_case, is_grpc).await)
            }
            None => None,
        };
        let resources = folder.path().join("resources");
        std::fs::create_dir(&resources).unwrap();
        let mut flags = vec!["--app-id", "shop", "--resources-path", resources.to_str().unwrap()];
        let port = app.as_ref().map(|app| app.port().to_string());
        if let Some(port) = &port {
            flags.extend(["--app-port", port]);
            if matches!(app, Some(App::Grpc(_))) {
                flags.extend(["--app-protocol", "grpc"]);
            }
        }
        let target_url =
            target.as_ref().map_or_else(String::new, |app| format!("http://127.0.0.1:{}", app.port));
        let fill = |text: &str| {
            text.replace("{folder}", folder.path().to_str().unwrap()).replace("{target}", &target_url)
        };
        if let Some(text) = case["components"].as_str() {
            std::fs::write(resources.join("components.yaml"), fill(text)).unwrap();
        }
        for (name, text) in case["files"].as_object().into_iter().flatten() {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, fill(text.as_str().unwrap())).unwrap();
        }
        let of_case = case["flags"].as_array().into_iter().flatten().map(|flag| fill(flag.as_str().unwrap()));
        let flags: Vec<String> = flags.into_iter().map(str::to_owned).chain(of_case).collect();
        let environment: Vec<_> = case["environment"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        let server = Served::start(&flags, &environment);
        Self { api, folder, server, app, target, asking: None, place }
    }

    pub async fn all(mut self, case: &Value) {
        for (index, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
            let kind = STEPS.into_iter().find(|kind| step.get(kind).is_some());
            let kind = kind.unwrap_or_else(|| panic!("{}, step {}: not a step", self.place, index + 1));
            let place = format!("{}, step {} ({kind})", self.place, index + 1);
            self.step(kind, step, &place).await;
        }
    }

    async fn step(&mut self, kind: &str, step: &Value, place: &str) {
        let name = step[kind].as_str().unwrap_or_default();
        match kind {
            "invoke" => self.asking().await.invoke(name, step, place).await,
            "http" => self.asking().await.http(name, step, place).await,
            "events" => self.events(name, step, place).await,
            "noEvents" => assert!(self.app().events(name).is_empty(), "{place}: an event came"),
            "probes" => {
                let expected = usize::try_from(step["count"].as_u64().unwrap()).unwrap();
                assert_eq!(self.app().probes(name), expected, "{place}");
            }
            "size" => self.size(name, step, place).await,
            "ready" => self.ready(place).await,
            "components" => self.components(step, place).await,
            "write" => {
                std::fs::write(self.resource(name), step["text"].as_str().unwrap()).unwrap();
            }
            "remove" => std::fs::remove_file(self.resource(name)).unwrap(),
            "ended" => {
                let status = self.server.ended().await;
                assert_eq!(status.map(i64::from), step["ended"].as_i64(), "{place}:\n{}", self.server.log());
                self.is_logged(step, place);
            }
            "log" => {
                let part = step["log"].as_str().unwrap();
                until(place, async || self.server.log().contains(part)).await;
            }
            "shutdown" => self.asking().await.shut_down().await,
            "healthy" => self.app().set_well(step["healthy"].as_bool().unwrap()),
            "target" => self.target(step, place),
            "file" => {
                let found = std::fs::read_to_string(self.folder.path().join(name)).unwrap();
                assert_eq!(Some(found.as_str()), step["is"].as_str(), "{place}");
            }
            other => panic!("{place}: {other} is in STEPS and not here"),
        }
    }

    fn app(&self) -> &App {
        self.app.as_ref().expect("the case has an application")
    }

    fn resource(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("resources").join(name)
    }

    /// The server's clients, as soon as it listens.
    async fn asking(&mut self) -> &Asking {
        if self.asking.is_none() {
            let (http, grpc) = self.server.ports().await;
            self.asking = Some(Asking::new(self.api, http, grpc));
        }
        self.asking.as_ref().unwrap()
    }

    async fn caller(&mut self) -> &Caller {
        &self.asking().await.caller
    }

    fn is_logged(&self, step: &Value, place: &str) {
        if let Some(part) = step["log"].as_str() {
            let log = self.server.log();
            assert!(log.contains(part), "{place}: no {part:?} in:\n{log}");
        }
    }

    /// Waits until so many events came, and compares the last of them.
    async fn events(&mut self, name: &str, step: &Value, place: &str) {
        // The server begins when it likes.
        self.asking().await;
        let app = self.app();
        let count = usize::try_from(step["count"].as_u64().unwrap_or(1)).unwrap();
        let since = Instant::now();
        let what = format!("{place}: {count} events");
        until(&what, async || app.events(name).len() >= count).await;
        if let Some(most) = step["within"].as_u64() {
            assert!(since.elapsed() < Duration::from_millis(most), "{place}: after {:?}", since.elapsed());
        }
        let events = app.events(name);
        assert_eq!(events.len(), count, "{place}");
        let last = events.last().unwrap();
        if let Some(expected) = step["data"].as_str() {
            assert_eq!(String::from_utf8_lossy(&last.data), expected, "{place}");
        }
        for (which, entries) in [("metadata", &last.metadata), ("headers", &last.headers)] {
            for (name, expected) in step[which].as_object().into_iter().flatten() {
                let found = entries.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
                assert!(matches(found, expected), "{place}: {which} {name} is {found:?}");
            }
        }
    }

    /// Waits until a queue holds so many messages that are not settled.
    async fn size(&mut self, queue: &str, step: &Value, place: &str) {
        let expected = step["is"].to_string();
        let asking = self.asking().await;
        until(&format!("{place}: {expected}"), async || {
            asking.caller.invoke(queue, r#"{"operation":"size"}"#).await.text() == expected
        })
        .await;
    }

    async fn ready(&mut self, place: &str) {
        let caller = self.caller().await;
        until(place, async || caller.get("/v1.0/healthz").await.status == StatusCode::NO_CONTENT).await;
    }

    /// Waits until the metadata lists exactly these components, with these capabilities.
    async fn components(&mut self, step: &Value, place: &str) {
        let expected = step["components"].as_object().unwrap();
        let asking = self.asking().await;
        until(&format!("{place}: {expected:?}"), async || {
            let found = asking.components().await;
            found.len() == expected.len() && found.iter().all(|(name, able)| expected.get(name) == Some(able))
        })
        .await;
    }

    /// What the last request to the case's target had.
    fn target(&self, step: &Value, place: &str) {
        let seen = self.target.as_ref().expect("the case has a target").seen();
        let last = seen.iter().rfind(|one| one.method == Method::POST).unwrap();
        for (name, expected) in step["headers"].as_object().into_iter().flatten() {
            let found = last.headers.get(name).map(|value| value.to_str().unwrap());
            assert!(matches(found, expected), "{place}: {name} is {found:?}");
        }
    }
}
