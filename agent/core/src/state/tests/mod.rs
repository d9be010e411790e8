//! The room as a whole: several states, a disk and a network made of a queue.

mod abuse;
mod acks;
mod horizon;
mod kit;
mod merging;
mod services;
mod spreading;
mod void;
