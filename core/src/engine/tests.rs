//! When a change of the files is applied.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Engine, EngineLease};
use crate::binding::{Call, OutputBinding, Reply, Request};
use crate::error::Result;
use crate::registry::{ComponentType, register};

struct Nothing;

#[async_trait]
impl OutputBinding for Nothing {
    fn operations(&self) -> &[&'static str] {
        &["create"]
    }

    async fn invoke(&self, _call: &Call, _request: Request) -> Result<Reply> {
        Ok(Reply::default())
    }

    async fn close(&self, _deadline: std::time::Instant) -> Result<()> {
        Ok(())
    }
}

fn document(name: &str, value: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\nspec:\n  \
         type: bindings.settling\n  metadata:\n  - name: value\n    value: {value}\n"
    )
}

struct Bench {
    folder: tempfile::TempDir,
    engine: EngineLease,
}

impl Bench {
    fn new(text: &str) -> Self {
        register(ComponentType::new("bindings.settling").output(|_| Ok(Arc::new(Nothing))));
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.yaml"), text).expect("written");
        let resources = [PathBuf::from(folder.path())];
        // Of an engine of its own: nobody else looks.
        let engine = Engine::lease(&resources, None, false, Vec::new()).expect("leased");
        Self { folder, engine }
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("a.yaml"), text).expect("written");
    }

    /// The names there are, with their values.
    fn look(&self) -> Vec<String> {
        self.engine.look();
        let all = self.engine.instances.all();
        all.iter().map(|one| format!("{} {}", one.name(), one.component().properties[0].value)).collect()
    }
}

#[test]
fn a_file_that_is_written_in_steps_drops_nothing() {
    let both = |value: &str| format!("{}---\n{}", document("a", value), document("b", value));
    let bench = Bench::new(&both("1"));
    assert_eq!(bench.look(), ["a 1", "b 1"]);
    bench.write("");
    assert_eq!(bench.look(), ["a 1", "b 1"], "seen once");
    bench.write(&document("a", "2"));
    assert_eq!(bench.look(), ["a 1", "b 1"], "again something else");
    bench.write(&both("22"));
    assert_eq!(bench.look(), ["a 1", "b 1"], "again something else");
    assert_eq!(bench.look(), ["a 22", "b 22"]);
}

#[test]
fn a_file_that_stays_empty_has_no_components() {
    let bench = Bench::new(&document("a", "1"));
    bench.write("");
    assert_eq!(bench.look(), ["a 1"]);
    assert!(bench.look().is_empty());
}

#[test]
fn a_rewrite_that_leaves_no_trace_in_sizes_and_times_is_noticed() {
    let bench = Bench::new(&document("a", "1"));
    let path = bench.folder.path().join("a.yaml");
    let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("a time");
    assert_eq!(bench.look(), ["a 1"]);
    bench.write(&document("a", "2"));
    let file = fs::File::options().write(true).open(&path).expect("opened");
    file.set_modified(modified).expect("set");
    bench.look();
    assert_eq!(bench.look(), ["a 2"]);
}

#[test]
fn the_same_warning_is_given_once() {
    let bench = Bench::new(&document("a", "1"));
    bench.write("kind: [");
    for _ in 0..3 {
        assert_eq!(bench.look(), ["a 1"]);
    }
    assert_eq!(bench.engine.faults().len(), 1);
}
