//! Tells the linker that Node's own symbols are found when the library is loaded, and that it stays.

fn main() {
    napi_build::setup();
    // Node closes a library when the worker thread that loaded it ends, while our own threads still run in it.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
