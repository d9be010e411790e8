//! The control API: what `sleepctl` and `sleepd` say to each other, as JSON.
