//! Takes the land system's callbacks in: each becomes a sealed envelope to the agency that sent the file.
//!
//! `{"Result": 1}` is answered only when the gateway has the envelope durably. Its id comes from the content, so that the same callback
//! again finds it there. A callback about a file that never came this way is answered with `{"Result": 0}` and put into quarantine.

use std::sync::Arc;

use adapters_sdk::Door;
use adapters_sdk::outbound::{OutboundError, Request};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body as HttpBody;
use axum::response::Response;
use gateway_model::envelope::Part;
use gateway_model::id::EnvelopeId;
use gateway_model::{Digest, Reason, Refusal, limits};
use http::{Method, StatusCode, Uri};
use tokio::io::AsyncWriteExt as _;

use super::ToLand;
use super::news::News;
use crate::body::{Aside, Body, BodyError};
use crate::config::BODY_BOUNDS;
use crate::event::{self, EventFile};
use crate::front::{self, Take};
use crate::hand_in::{Handed, Parcel};
use crate::journal::{Case, Stage};
use crate::vocabulary::{Callback, CallbackAnswer, CallbackName, malformed};

/// Callbacks while the gateway's door is open.
struct Callbacks {
    side: Arc<ToLand>,
    door: Arc<dyn Door>,
}

pub(super) fn router(side: Arc<ToLand>, door: Arc<dyn Door>) -> Router {
    let code = side.state.code.clone();
    front::router(code, Arc::new(Callbacks { side, door }))
}

#[async_trait]
impl Take for Callbacks {
    async fn take(&self, call: &str, body: HttpBody) -> Response {
        let Some(name) = CallbackName::parse(call) else {
            return self.refuse(&Refusal::new(Reason::NotFound).at("call"));
        };
        let state = &self.side.state;
        let mut body = match Body::take(body.into_data_stream(), &state.aside(), BODY_BOUNDS).await {
            Ok(body) => body,
            Err(fault) => return self.refuse(&fault.into()),
        };
        match self.take_in(name, &mut body).await {
            Ok(handed) => {
                let message = match handed {
                    Handed::Now => "Đã tiếp nhận / Taken",
                    Handed::Before => "Đã tiếp nhận trước đó / Taken before",
                };
                front::json(StatusCode::OK, &CallbackAnswer { result: 1, message: message.to_owned() })
            }
            Err(fault) => {
                let refusal = fault.into();
                if !front::is_passing(&refusal) {
                    state.quarantine(name.as_str(), body.json(), &refusal, self.door.now()).await;
                }
                self.refuse(&refusal)
            }
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let answer = CallbackAnswer { result: 0, message: front::message(refusal) };
        front::json(front::status(refusal), &answer)
    }
}

impl Callbacks {
    async fn take_in(&self, name: CallbackName, body: &mut Body) -> Result<Handed, BodyError> {
        let state = &self.side.state;
        let mut callback = Callback::read(name, body.json())?;
        let given = files_by_value(&mut callback, body, &state.aside()).await?;
        body.finish()?;
        let file_code = callback.file_code().to_owned();
        let _turn = state.turns.take(&file_code).await;
        let unknown = || Refusal::new(Reason::NotFound).at("SoBienNhan").saw("no file of this code came through here");
        let case = state.journal.case(&file_code).ok_or_else(unknown)?;
        let id = event::envelope_id(&file_code, name.as_str(), &callback.to_json());
        let handed = state.hand_in(self.door.as_ref(), id, self.make(id, &case, callback, given)).await?;
        if name == CallbackName::KetThucHoSo && case.stage != Stage::Ended {
            state.journal.keep(Case { stage: Stage::Ended, at: self.door.now().seconds(), ..case }).await?;
        }
        Ok(handed)
    }

    /// The envelope: the event, and the files, of which those by link are fetched now.
    async fn make(
        &self,
        id: EnvelopeId,
        case: &Case,
        mut callback: Callback,
        given: Vec<Option<Aside>>,
    ) -> Result<Parcel, BodyError> {
        let now = self.door.now();
        let (mut asides, mut parts, mut files) = (Vec::new(), Vec::<Part>::new(), Vec::new());
        let slots = callback.files().into_iter().zip(given).enumerate();
        for (index, (slot, given)) in slots {
            let aside = match given {
                Some(aside) => aside,
                None if slot.link.is_empty() => continue,
                None => self.fetch(slot.link, slot.field).await?,
            };
            let name = event::file_name(slot.label, slot.extension);
            files.push(EventFile { index, name: name.clone(), sha256: aside.digest.to_string() });
            if parts.iter().all(|part| part.digest != aside.digest) {
                parts.push(event::part(&name, slot.label, aside.size, aside.digest));
                asides.push(aside);
            }
        }
        let (step, content) = (event::step(callback.name()), event::content(&callback, now));
        let news = News { case, callback, step, content, files, parts, asides };
        Ok(news.parcel(&self.side.state, id, now))
    }

    async fn fetch(&self, link: &str, (list, at): (&str, usize)) -> Result<Aside, BodyError> {
        let field = format!("{list}[{at}]");
        let url: Uri = link.parse().map_err(|_| malformed(&field, "has a link that is no URL"))?;
        let state = &self.side.state;
        let (mut file, path) = Aside::create(&state.aside()).await?;
        let mut aside = Aside::new(path, 0, Digest([0; 32]));
        let response = state.outbound.send(Request::new(Method::GET, url)).await.and_then(|answer| answer.success());
        let fetched = match response {
            Ok(response) => response.copy_to(&mut file, BODY_BOUNDS.file_bytes_max).await,
            Err(fault) => Err(fault),
        };
        let received = fetched.map_err(|fault| unfetched(&field, &fault))?;
        file.flush().await.map_err(crate::disk::at(aside.path()))?;
        (aside.size, aside.digest) = (received.size, received.digest);
        Ok(aside)
    }
}

/// Takes the files that come by value out of the callback: a digest stays in their place, so that the same file is the same content.
async fn files_by_value(
    callback: &mut Callback,
    body: &mut Body,
    folder: &std::path::Path,
) -> Result<Vec<Option<Aside>>, BodyError> {
    let slots = callback.files();
    if slots.len() >= limits::PARTS_MAX {
        let seen = format!("{} files; {} are allowed", slots.len(), limits::PARTS_MAX - 1);
        return Err(Refusal::new(Reason::PartsTooMany).at(slots[0].field.0).saw(seen).into());
    }
    let mut given = Vec::with_capacity(slots.len());
    for slot in slots {
        let Some(value) = slot.value.as_mut().filter(|value| !value.data.is_empty()) else {
            given.push(None);
            continue;
        };
        let field = format!("{}[{}].TapTin", slot.field.0, slot.field.1);
        let aside = body.file(&field, value, folder, BODY_BOUNDS).await?;
        value.data = format!("sha256:{}", aside.digest);
        given.push(Some(aside));
    }
    Ok(given)
}

/// Why a result file could not be fetched, as the land system is told: without the link, which may hold a secret.
fn unfetched(field: &str, fault: &OutboundError) -> Refusal {
    let reason = match fault {
        OutboundError::TooLarge { .. } => Reason::PartTooLarge,
        fault if fault.is_retryable() => Reason::AdapterUnavailable,
        _ => Reason::RequestMalformed,
    };
    Refusal::new(reason).at(field).saw(format!("the file cannot be fetched: {fault}"))
}
