//! What all parts of the server share: the client, how far the start is, whether the end was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bindwright::{Client, ComponentInfo, State};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::configuration::Configuration;
use crate::limits::Budget;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::trace::Tracing;

/// How many entries `PUT /v1.0/metadata` may leave, and how long each may be: they stay until the end.
const MOST_EXTENDED: usize = 1000;
const LONGEST_EXTENDED: usize = 64 << 10;
const MOST_EXTENDED_BYTES: usize = 1 << 20;

/// Why a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Somebody asked for it: what runs may finish.
    Asked,
    /// Somebody asked for it to be soon, whatever runs.
    Forced,
}

/// Shared by all parts of one server.
pub(crate) struct Sidecar {
    pub(crate) client: Client,
    pub(crate) options: Options,
    pub(crate) configuration: Configuration,
    pub(crate) tracing: Tracing,
    pub(crate) metrics: Metrics,
    pub(crate) budget: Arc<Budget>,
    app_id: String,
    /// The application is there and was asked what it wants.
    ready: AtomicBool,
    ending: watch::Sender<Option<Ending>>,
    extended: Mutex<BTreeMap<String, String>>,
}

/// What `GET /v1.0/metadata` and `GetMetadata` say.
pub(crate) struct About {
    pub(crate) id: String,
    pub(crate) version: &'static str,
    pub(crate) components: Vec<Loaded>,
    pub(crate) extended: BTreeMap<String, String>,
    pub(crate) app: Option<App>,
}

/// A component that can be used.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) component_type: String,
    pub(crate) version: String,
    pub(crate) capabilities: Vec<&'static str>,
}

/// How the application is reached.
pub(crate) struct App {
    pub(crate) port: u16,
    pub(crate) protocol: &'static str,
    pub(crate) address: String,
    pub(crate) concurrency: i64,
    pub(crate) health: Option<Health>,
}

/// How the application is asked how it is.
pub(crate) struct Health {
    pub(crate) path: String,
    pub(crate) interval: String,
    pub(crate) timeout: String,
    pub(crate) threshold: u32,
}

impl Sidecar {
    pub(crate) fn new(client: Client, options: Options) -> Self {
        let app_id = options.app_id.clone().unwrap_or_default();
        let configuration = options.configuration();
        Self {
            metrics: Metrics::new(&app_id, &configuration),
            tracing: Tracing::new(configuration.sampling()),
            budget: Budget::new(options.max_request_memory),
            app_id,
            ready: AtomicBool::new(false),
            ending: watch::Sender::new(None),
            extended: Mutex::default(),
            client,
            configuration,
            options,
        }
    }

    pub(crate) fn app_id(&self) -> &str {
        &self.app_id
    }

    /// Whether every call of the API is logged.
    pub(crate) fn logs_calls(&self) -> bool {
        self.options.enable_api_logging || self.configuration.logs_calls()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.is_ending()
    }

    pub(crate) fn set_ready(&self) {
        if !self.ready.swap(true, Ordering::AcqRel) {
            tracing::info!(target: "bindwright", "ready");
        }
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.borrow().is_some()
    }

    /// Asks for the end; asking again can only make it sooner.
    pub(crate) fn end(&self, how: Ending) {
        self.ending.send_if_modified(|ending| {
            let changes = *ending != Some(how) && *ending != Some(Ending::Forced);
            if changes {
                *ending = Some(how);
            }
            changes
        });
    }

    pub(crate) fn watch_ending(&self) -> watch::Receiver<Option<Ending>> {
        self.ending.subscribe()
    }

    pub(crate) fn set_extended(&self, key: String, value: String) -> Result<(), &'static str> {
        if key.len() > LONGEST_EXTENDED || value.len() > LONGEST_EXTENDED {
            return Err("an entry of the metadata may have 64 KiB");
        }
        let mut extended = self.extended.lock();
        let others = extended.iter().filter(|(known, _)| **known != key);
        let size: usize = others.map(|(known, value)| known.len() + value.len()).sum();
        if size + key.len() + value.len() > MOST_EXTENDED_BYTES {
            return Err("the metadata may have 1 MiB in all");
        }
        if extended.len() >= MOST_EXTENDED && !extended.contains_key(&key) {
            return Err("the metadata may have 1000 entries");
        }
        extended.insert(key, value);
        Ok(())
    }

    /// The components: those of an embedded client, which are known at once.
    pub(crate) async fn components(&self) -> Vec<ComponentInfo> {
        self.client.components().await.unwrap_or_default()
    }

    pub(crate) async fn about(&self) -> About {
        let version = env!("CARGO_PKG_VERSION");
        let mut extended = self.extended.lock().clone();
        extended.insert("daprRuntimeVersion".to_owned(), version.to_owned());
        let components = self.components().await.into_iter();
        // One that failed although the start went on without it counts as not loaded, until it works.
        let loaded = components.filter(|one| one.state != State::Failed || !one.ignore_errors).map(|one| {
            let capabilities = [(one.input, "INPUT_BINDING"), (one.output, "OUTPUT_BINDING")];
            Loaded {
                name: one.name,
                component_type: one.component_type,
                version: one.version,
                capabilities: capabilities
                    .into_iter()
                    .filter_map(|(can, name)| can.then_some(name))
                    .collect(),
            }
        });
        About {
            id: self.app_id.clone(),
            version,
            components: loaded.collect(),
            extended,
            app: self.about_app(),
        }
    }

    fn about_app(&self) -> Option<App> {
        let options = &self.options;
        Some(App {
            port: options.app_port.filter(|port| *port != 0)?,
            protocol: options.protocol().as_str(),
            address: options.app_channel_address.clone(),
            concurrency: options.app_max_concurrency,
            health: options.enable_app_health_check.then(|| Health {
                path: options.app_health_check_path.clone(),
                interval: format!("{}s", options.app_health_probe_interval),
                timeout: format!("{}ms", options.app_health_probe_timeout),
                threshold: options.app_health_threshold,
            }),
        })
    }
}
