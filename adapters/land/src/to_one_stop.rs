//! The desk's side: its calls become envelopes to the land office, what the land office says becomes callbacks.
//!
//! `desk` takes the calls in, `deliver` makes the callbacks, `link` serves the result files that go by link.

use std::sync::Arc;

use adapters_sdk::{AdapterError, Delivery, Door, Outcome};
use axum::Router;

use crate::code::read_code;
use crate::config::{Results, ToOneStop};
use crate::state::State;
use crate::vocabulary;

mod deliver;
mod desk;
mod link;

use link::Links;

/// The desk's side at work.
pub(crate) struct ToDesk {
    state: Arc<State>,
    role: ToOneStop,
    /// The code in the desk's URL. Nothing shows it.
    url_code: String,
    links: Option<Links>,
}

impl ToDesk {
    /// Reads the desk's code, and removes the links that have ended.
    pub(crate) fn open(state: Arc<State>, role: ToOneStop) -> Result<Self, AdapterError> {
        let url_code = read_code(&role.url_code)?;
        let links = match &role.results {
            Results::Value => None,
            Results::Link { public_url, life } => Some(Links::open(&state.results(), public_url, *life)?),
        };
        Ok(Self { state, role, url_code, links })
    }

    /// Whether the desk's words mean that it has a callback already.
    fn has_it(&self, message: &str) -> bool {
        vocabulary::says_already_there(&self.role.already_exists, message)
    }

    /// Hands a delivery to the desk.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Outcome {
        deliver::deliver(self, delivery).await
    }

    /// The routes of the desk's calls, and of its links.
    pub(crate) fn router(self: &Arc<Self>, door: Arc<dyn Door>) -> Router {
        let calls = desk::router(self.clone(), door);
        match &self.links {
            Some(links) => calls.merge(links.router()),
            None => calls,
        }
    }
}
