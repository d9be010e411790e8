//! What the tests of whole agents stand on, and the repository as data for the checks of the house itself.
//!
//! A test of whole agents makes its machines with [`hosts::Lab`], starts programs on them, and waits for what
//! must come true with [`wait::until`]. [`cluster::Cluster`] has an agent on each of them, [`agents::Agents`]
//! are many agents on this machine, [`ctl::Ctl`] commands any of them, and [`noise`] is what strangers say.
//! [`browser::Browser`] looks at pages.

pub mod agents;
pub mod bench;
pub mod browser;
pub mod cluster;
pub mod ctl;
mod error;
pub mod hosts;
pub mod house;
pub mod noise;
pub mod process;
pub mod source;
pub mod wait;
pub mod wrap;

pub use error::{Error, Result};
