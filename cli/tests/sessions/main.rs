//! What people see: sessions with an agent that answers by a script, compared with what is written down.

mod dev;
mod errors;
mod fake;
mod hosts;
mod lost;
mod recover;
mod several;
mod tables;
mod terminal;
mod transcript;
mod waiting;
