//! Parts that many states share, hashed once.

use alloc::sync::Arc;
use core::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use core::ops::Deref;
use std::collections::hash_map::DefaultHasher;

use super::std;

/// A value with its hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shared<T>(u64, Arc<T>);

impl<T: Hash> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&value);
        Self(hash, Arc::new(value))
    }
}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.1
    }
}
