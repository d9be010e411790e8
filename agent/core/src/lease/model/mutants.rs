//! The runs that must fail.
