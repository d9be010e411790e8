//! What the tests of whole agents stand on, and the repository as data for the checks of the house itself.

pub mod house;
pub mod source;
