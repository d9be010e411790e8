//! Plans, carried out by agents that are played here.

extern crate std;

mod lab;
mod laws;
mod random;
mod rehearsals;
mod rollouts;
mod world;
