//! The land office's side: what is delivered to it becomes calls of the land system, what the land system says goes back to the sender.
//!
//! `deliver` hands files over, `answer` reads what the land system said, `callback` takes its callbacks in, `refused` tells the sender of
//! what was not taken, and `news` is what both of these make of it.

use std::sync::Arc;

use adapters_sdk::{AdapterError, Delivery, Door, Outcome};
use axum::Router;
use http::HeaderValue;

use crate::config::ToLandSystem;
use crate::disk;
use crate::state::State;

mod answer;
mod callback;
mod deliver;
mod news;
mod refused;

pub(crate) use answer::is_about_the_call;
pub(crate) use deliver::{HANDED_OUT, SUPPLEMENT, content, later, part_bytes};

/// Bytes of the Authorization header.
const AUTHORIZATION_BYTES_MAX: u64 = 8 * 1024;

/// The land office's side at work.
pub(crate) struct ToLand {
    state: Arc<State>,
    role: ToLandSystem,
    authorization: Option<HeaderValue>,
}

impl ToLand {
    /// Reads the secret that the land system wants, where it wants one.
    pub(crate) fn open(state: Arc<State>, role: ToLandSystem) -> Result<Self, AdapterError> {
        let authorization = match &role.authorization {
            None => None,
            Some(path) => {
                let bytes = disk::read(path, AUTHORIZATION_BYTES_MAX)?;
                let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
                let mut value = HeaderValue::from_bytes(line)
                    .map_err(|_| AdapterError::Other(format!("{} holds no header", path.display())))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { state, role, authorization })
    }

    /// Hands a delivery to the land system.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Outcome {
        deliver::deliver(self, delivery).await
    }

    /// The routes of the land system's callbacks.
    pub(crate) fn router(self: &Arc<Self>, door: Arc<dyn Door>) -> Router {
        callback::router(self.clone(), door)
    }
}
