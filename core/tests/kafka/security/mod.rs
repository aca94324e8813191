//! Encryption and logging in, with a broker that has a listener for each.

mod certificates;
mod denied;
mod refused;
mod secured;
mod works;
