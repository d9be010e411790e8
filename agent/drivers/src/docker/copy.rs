//! Containers that bear a task's labels and are not the task's.
//!
//! `docker commit` writes a container's labels into the image that it makes, so whatever is run from that
//! image inherits them. No label tells such a copy from the original; the name does, as no two containers
//! share one. Where the original was renamed, the image tells: the labels of a copy are its image's.

use std::collections::HashMap;

use sleep_wire::engine::EngineError;
use sleep_wire::task::TaskLabel;

use super::Inner;
use crate::label::{self, Owner};

/// A container whose labels name a task.
pub(crate) struct Made<'a> {
    pub(crate) container: &'a str,
    /// None if the engine did not say.
    pub(crate) names: &'a [String],
    pub(crate) image: Option<&'a str>,
    pub(crate) label: &'a TaskLabel,
}

impl Made<'_> {
    /// Whether it was made, or was found before, as this task's own, or is named as that is.
    pub(crate) fn is_known(&self, inner: &Inner) -> bool {
        self.names.is_empty()
            || self.names.iter().any(|name| label::is_name_of(name, self.label))
            || inner.book().label(self.container).is_some_and(|known| known == self.label)
    }

    /// Whether it is somebody's copy of the task's container.
    ///
    /// # Errors
    /// That its image could not be looked at.
    pub(crate) async fn is_copy(&self, inner: &Inner) -> Result<bool, EngineError> {
        let Some(image) = self.image.filter(|_| !self.is_known(inner)) else { return Ok(false) };
        let look = |client: bollard::Docker| async move { client.inspect_image(image).await };
        let labels: HashMap<String, String> = match inner.engine.look("inspect image", look).await {
            Ok(seen) => seen.config.and_then(|config| config.labels).unwrap_or_default(),
            Err(EngineError::NoSuchImage { .. } | EngineError::NoSuchContainer) => HashMap::new(),
            Err(error) => return Err(error),
        };
        Ok(label::owner(&labels, inner.cluster()) == Owner::Ours(Some(self.label.clone())))
    }
}
