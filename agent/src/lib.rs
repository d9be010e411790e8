//! Not written yet.

pub mod crypto;
pub mod lock;
pub mod storage;
