//! Not written yet.

pub mod config;
pub mod crypto;
pub mod lock;
pub mod shim;
pub mod storage;
