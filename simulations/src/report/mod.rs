//! What came of a run, as something to look at: one page with lanes, a story and figures, a table of many
//! runs, a log for ShiViz, or plain text.
//!
//! ```text
//! world ──▶ recorder ──▶ timeline ──▶ tale, figures, causes ──▶ page
//!                                └──▶ shiviz
//! ```
//! # Not here
//! What must hold, and whether it did: `invariants`, `liveness`. A recorder watches and decides nothing: a
//! run that is recorded has the trace of one that is not.

pub mod causes;
pub mod data;
pub mod faults;
pub mod figures;
pub mod page;
pub mod recorder;
pub mod series;
pub mod shiviz;
pub mod suite;
pub mod tale;
pub mod text;
pub mod timeline;
mod words;
