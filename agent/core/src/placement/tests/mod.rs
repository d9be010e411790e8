//! Plans, carried out by agents that are played here.

extern crate std;

mod lab;
mod random;
mod rollouts;
mod world;
