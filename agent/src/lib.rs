//! Not written yet.

pub mod shim;
