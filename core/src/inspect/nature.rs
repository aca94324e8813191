//! What a component type tells about a component beyond its settings.

/// What follows from a component's settings; see [`ComponentType::explain`](crate::component::ComponentType::explain).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nature {
    /// What callers and handlers can rely on.
    pub guarantees: Vec<Guarantee>,
    /// The options that client libraries get.
    pub options: Vec<NativeOptions>,
}

/// One thing to rely on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarantee {
    /// What it is about, such as `reply`, `delivery` or `order`.
    pub topic: &'static str,
    /// What holds, as a sentence without a full stop.
    pub text: String,
}

/// The options of one client of a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeOptions {
    /// The library, such as `librdkafka`.
    pub library: &'static str,
    /// The client, such as `producer`.
    pub client: &'static str,
    /// Names and values, by name; secrets are `***`.
    pub options: Vec<(String, String)>,
}
