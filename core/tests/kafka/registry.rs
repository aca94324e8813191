//! A schema registry for the tests: subjects, numbers, references, a user, and ways to be out of order.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

/// How the registry answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// With this status and nothing else.
    Refuses(u16),
    /// Not before its mood changes.
    Silent,
}

#[derive(Clone)]
pub struct Registry {
    port: u16,
    shared: Arc<(Mutex<State>, Condvar)>,
}

struct State {
    mood: Mood,
    /// Every schema by its number, as the registry answers for it.
    schemas: BTreeMap<u32, Value>,
    subjects: BTreeMap<String, Vec<u32>>,
    /// `Basic …`, where one is asked for.
    authorization: Option<String>,
    /// What stands before the registry's own paths.
    prefix: String,
    paths: Vec<String>,
}

impl Registry {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let state = State {
            mood: Mood::Well,
            schemas: BTreeMap::new(),
            subjects: BTreeMap::new(),
            authorization: None,
            prefix: String::new(),
            paths: Vec::new(),
        };
        let port = listener.local_addr().expect("an address").port();
        let registry = Self { port, shared: Arc::new((Mutex::new(state), Condvar::new())) };
        let server = registry.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.answer(&stream));
            }
        });
        registry
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next version of a subject; its number in the registry.
    pub fn register(&self, subject: &str, schema: &Value) -> u32 {
        self.register_as(subject, json!({"schema": schema.to_string()}))
    }

    /// The same, with what else the registry says about it.
    pub fn register_as(&self, subject: &str, mut answer: Value) -> u32 {
        let mut state = self.shared.0.lock();
        // Numbers that need more than one byte.
        let id = 70_000 + state.schemas.len() as u32;
        answer["id"] = json!(id);
        answer["subject"] = json!(subject);
        state.schemas.insert(id, answer);
        state.subjects.entry(subject.to_owned()).or_default().push(id);
        id
    }

    pub fn ask_for(&self, authorization: &str) {
        self.shared.0.lock().authorization = Some(authorization.to_owned());
    }

    pub fn stand_behind(&self, prefix: &str) {
        prefix.clone_into(&mut self.shared.0.lock().prefix);
    }

    pub fn set(&self, mood: Mood) {
        self.shared.0.lock().mood = mood;
        self.shared.1.notify_all();
    }

    /// The paths that were asked for since the last time, also those that were refused.
    pub fn take_paths(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.0.lock().paths)
    }

    fn answer(&self, stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let Some(request) = lines.next() else { return };
        let mut authorization = None;
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("authorization")
            {
                authorization = Some(value.to_owned());
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        let (status, body) = self.look_up(path, authorization.as_deref());
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let _ = { stream }.write_all(format!("{head}{body}").as_bytes());
    }

    fn look_up(&self, path: &str, authorization: Option<&str>) -> (u16, Value) {
        let mut state = self.shared.0.lock();
        state.paths.push(path.to_owned());
        while state.mood == Mood::Silent {
            self.shared.1.wait(&mut state);
        }
        if let Mood::Refuses(status) = state.mood {
            return (status, json!({"error_code": u32::from(status) * 100 + 1, "message": "not now"}));
        }
        if state.authorization.is_some() && state.authorization.as_deref() != authorization {
            return (401, json!({"error_code": 401, "message": "Unauthorized"}));
        }
        let Some(path) = path.strip_prefix(&state.prefix) else { return (404, json!("no such page")) };
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        let id = match parts[..] {
            ["schemas", "ids", id] => id.parse().ok(),
            ["subjects", subject, "versions", version] => {
                let versions = state.subjects.get(subject).map_or(&[][..], Vec::as_slice);
                match version {
                    "latest" => versions.last().copied(),
                    number => {
                        number.parse::<usize>().ok().and_then(|number| versions.get(number - 1)).copied()
                    }
                }
            }
            _ => return (404, json!("no such page")),
        };
        match id.and_then(|id| state.schemas.get(&id)) {
            Some(schema) => (200, schema.clone()),
            None => (404, json!({"error_code": 40401, "message": "Subject not found."})),
        }
    }
}
