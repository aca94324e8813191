//! What documents may cost: an allocator counts while hostile ones are read.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bindwright::component::Manifest;

/// How many bytes may be held for each byte of large documents. The worst is one of many short values.
const FOR_EACH_BYTE: usize = 48;
/// As many for a file of secrets; the worst is a list of short numbers.
const FOR_EACH_BYTE_OF_SECRETS: usize = 40;
const MEGABYTE: usize = 1 << 20;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn add(size: usize) {
    HELD.set(HELD.get().wrapping_add(size));
    // What another thread made and this one drops counts below zero.
    if HELD.get() < usize::MAX / 2 {
        MOST.set(MOST.get().max(HELD.get()));
    }
}

// SAFETY: everything is left to the system's allocator; the counters are plain cells of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there at once.
        add(size);
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were held at once, beyond those before.
fn most<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let result = run();
    (result, MOST.get().saturating_sub(before))
}

fn costs_little(what: &str, text: &[u8]) -> Manifest {
    let (manifest, held) = most(|| Manifest::parse(text, "a.yaml", None).expect("no duplicates"));
    let each = held / text.len();
    println!("{what}: {} bytes, {each} for each", text.len());
    assert!(each < FOR_EACH_BYTE, "{what}: {held} bytes for {}", text.len());
    manifest
}

fn document(value: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: a\nspec:\n  type: bindings.kafka\n  \
         metadata:\n{value}"
    )
}

/// So often that there are ten megabytes.
fn ten_megabytes(part: &str) -> String {
    part.repeat(10 * MEGABYTE / part.len())
}

#[test]
fn a_document_of_ten_megabytes_costs_no_more_than_its_size() {
    let long = costs_little(
        "a text",
        document(&format!("  - name: a\n    value: {}", ten_megabytes("x"))).as_bytes(),
    );
    assert_eq!(long.components[0].properties[0].value.len(), 10 * MEGABYTE);
    let escaped = document(&format!("  - name: a\n    value: ['{}']", ten_megabytes("<")));
    let escaped = costs_little("text that is escaped", escaped.as_bytes());
    assert_eq!(escaped.components[0].properties[0].value.len(), 60 * MEGABYTE + 4);
    let items = ten_megabytes("  - {name: abcdefgh, value: abcdefgh, other: [abcdefgh, abcdefgh]}\n");
    assert!(costs_little("properties", document(&items).as_bytes()).faults.is_empty());
    for (what, text) in [
        ("short values", document(&format!("  - name: a\n    value: [{}]", ten_megabytes("a,")))),
        ("short fields", ten_megabytes("a:\n")),
        ("nothing that is meant", ten_megabytes("- [a]\n")),
        ("brackets", ten_megabytes("[")),
        ("lists in lists", ten_megabytes("- ")),
        ("lines", ten_megabytes("\n")),
        ("comments", ten_megabytes("# x\n")),
        (
            "bytes that are no text",
            ten_megabytes("é").into_bytes().split_off(1).into_iter().map(char::from).collect(),
        ),
        ("broken documents", ten_megabytes("---\n[\n")),
        ("documents", ten_megabytes("---\na: b\n")),
        (
            "components without a type",
            ten_megabytes(&format!("---\n{}", document("").replace("type", "tipe"))),
        ),
        ("quotes", ten_megabytes("\"\\\"")),
        ("anchors", ten_megabytes("- &a b\n")),
    ] {
        costs_little(what, text.as_bytes());
    }
}

#[test]
fn aliases_cost_no_more_than_a_multiple_of_the_text() {
    let mut bombs = String::new();
    for number in 0..20_000 {
        bombs += "---\n";
        bombs += &document("").replace("name: a", &format!("name: a{number}"));
        bombs += "  - &i {name: a, value: &v [abcdefghijklmnop, abcdefghijklmnop]}\n";
        for property in ["b", "c", "d", "e", "f", "g"] {
            bombs += "  - {name: NAME, value: [*v, *v, *v, *v, *v, *v]}\n".replace("NAME", property).as_str();
        }
    }
    costs_little("many small bombs", bombs.as_bytes());
    let long = "x".repeat(MEGABYTE);
    let items =
        ["b", "c", "d", "e", "f", "g", "h"].map(|name| format!("  - {{name: {name}, value: *v}}\n")).concat();
    let text = document(&format!("  - {{name: a, value: &v {long}}}\n{items}"));
    assert_eq!(costs_little("a long text, named seven times", text.as_bytes()).components.len(), 1);
}

#[test]
fn a_large_file_of_secrets_costs_no_more_than_a_multiple_of_its_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secrets.json");
    let store = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: vault\nspec:\n  \
         type: secretstores.local.file\n  metadata:\n  - name: secretsFile\n    value: {}\n---\n{}auth: \
         {{secretStore: vault}}\n",
        path.display(),
        document("  - name: a\n    secretKeyRef: {name: last}\n")
    );
    let (short, long) = ("0,".repeat(MEGABYTE), "k".repeat(MEGABYTE));
    let deep = format!("{}0{}", "{\"k\":".repeat(100), "}".repeat(100));
    for (what, secrets, is_found) in [
        ("a list of numbers", format!("{{\"a\": [{short}0], \"last\": \"x\"}}"), true),
        ("a long name above many values", format!("{{\"{long}\": [{short}0], \"last\": \"x\"}}"), true),
        ("deep objects", format!("{{\"a\": [{}0], \"last\": \"x\"}}", format!("{deep},").repeat(2000)), true),
        ("brackets", "[".repeat(2 * MEGABYTE), false),
    ] {
        std::fs::write(&path, &secrets).expect("written");
        let (manifest, held) =
            most(|| Manifest::parse(store.as_bytes(), "a.yaml", None).expect("no duplicates"));
        println!("{what}: {} bytes, {} for each", secrets.len(), held / secrets.len());
        assert!(
            held / secrets.len() < FOR_EACH_BYTE_OF_SECRETS,
            "{what}: {held} bytes for {}",
            secrets.len()
        );
        assert_eq!(manifest.faults.is_empty(), is_found, "{what}: {:?}", manifest.faults.first());
    }
}
