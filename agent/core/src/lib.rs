#![no_std]
#![forbid(unsafe_code)]
//! Not written yet.
