//! The room's claims, each a test.

extern crate std;

mod claims;
mod cluster;
mod random;
mod world;

use alloc::vec::Vec;

use super::*;
