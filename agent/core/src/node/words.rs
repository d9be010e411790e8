//! Facts that travel as text, since people alone read them.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use sleep_wire::engine::EngineError;

/// What is wrong with an engine, in a few words.
pub(super) fn engine_error(error: &EngineError) -> String {
    match error {
        EngineError::TimedOut { call } => format!("it did not answer `{call}` in time"),
        EngineError::Unreachable { message } => format!("it cannot be reached: {message}"),
        EngineError::NoSuchImage { image } => format!("it has no image `{image}`"),
        EngineError::PortTaken { message }
        | EngineError::BadCommand { message }
        | EngineError::Other { message } => message.clone(),
        EngineError::NameTaken { name } => format!("the name `{name}` is taken"),
        EngineError::Cancelled => "it gave up, as it was asked".to_owned(),
        EngineError::NoSuchContainer => "it has no such container".to_owned(),
    }
}
