//! The native part of the Python package `bindwright`: it translates between Python's values and core's API, and
//! decides nothing itself.
//!
//! `python/bindwright/_native.pyi` is the stub, `python/bindwright/client.py` the class that users see.
#![allow(clippy::doc_markdown, reason = "what documents a Python class is written for Python's help()")]

mod client;
mod convert;
mod emission;
mod errors;
mod event;
mod events;
mod forks;
mod handling;
mod logs;
mod loop_tasks;
mod outcome;
mod reply;
mod requests;
mod sandbox;
mod subscription;
mod tools;
mod trace;
mod waiting;

/// The module `bindwright._native`; private, its names may change.
// Free-threaded CPython switches its lock on when it loads us: nobody has tested us without, and PyO3 says that a
// module does not need it unless told otherwise.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::client::NativeClient;
    #[pymodule_export]
    use crate::convert::seconds;
    #[pymodule_export]
    use crate::emission::Emission;
    #[pymodule_export]
    use crate::event::Event;
    #[pymodule_export]
    use crate::events::Events;
    use crate::forks;
    #[pymodule_export]
    use crate::logs::{take_logs, wait_for_logs, wake_logs};
    #[pymodule_export]
    use crate::loop_tasks::LoopTasks;
    #[pymodule_export]
    use crate::outcome::Outcome;
    #[pymodule_export]
    use crate::reply::Reply;
    #[pymodule_export]
    use crate::sandbox::{NativePushedEvent, NativeSandbox};
    #[pymodule_export]
    use crate::subscription::Subscription;
    #[pymodule_export]
    use crate::tools::{DevBroker, run_command};
    #[pymodule_export]
    use crate::trace::{reset_trace, set_trace};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        forks::follow();
        module.add("CURRENT_TRACE", crate::trace::variable(module.py())?)?;
        module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
        module.add("DEFAULT_TIMEOUT", bindwright::DEFAULT_TIMEOUT.as_secs_f64())?;
        module.add("DEFAULT_DRAIN", bindwright::DEFAULT_DRAIN.as_secs_f64())?;
        let codes = bindwright::ErrorCode::ALL.iter().map(|code| (code.as_str(), code.class_name()));
        module.add("ERROR_CODES", codes.collect::<Vec<_>>())
    }
}
