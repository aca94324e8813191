//! Encryption and logging in, with a broker that has a listener for each.

pub mod certificates;
mod denied;
mod refused;
pub mod secured;
mod works;
