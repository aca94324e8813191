//! The life of components and clients, without a server: a component type that the tests script.

mod closing;
mod fixture;
mod own;
mod ready;
mod reload;
mod secrets;
mod states;
mod subscriptions;
