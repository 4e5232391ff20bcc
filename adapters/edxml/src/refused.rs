//! Tells the sender of what the recipient's system refused, as that system would: by the status 02 with the reason. Without it the sender's
//! system shows a paper as sent that nobody has.

use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::{Delivery, Door};
use gateway_model::Refusal;
use prost::Message as _;
use proto::v1;
use proto::v1::envelope::Content;
use tokio::sync::watch;

use crate::format::{Organ, ResponseFor, Status, write_status};
use crate::handover::{Handover, accepted_at};
use crate::intake::{Intake, NotIn};

/// Từ chối tiếp nhận.
const REFUSED: &str = "02";
/// The door is open but for moments at the start and at the end.
const DOOR_TIME_MAX: Duration = Duration::from_secs(5);

/// What telling needs.
pub(crate) struct Refused {
    pub handover: Arc<Handover>,
    pub intake: Arc<Intake>,
    /// The gateway's door, while it is open.
    pub door: watch::Sender<Option<Arc<dyn Door>>>,
}

impl Refused {
    /// Hands the status in; durable when this returns, and the same however often it is said. Only papers are answered, and only for an agency
    /// that the adapter seals for.
    ///
    /// # Errors
    /// Why it cannot be told now.
    pub(crate) async fn tell(&self, delivery: &Delivery, detail: &str) -> Result<(), String> {
        let Some(status) = self.status(delivery, detail).map_err(|fault| fault.to_string())? else { return Ok(()) };
        let package = write_status(&status, accepted_at(delivery));
        let mut opened = self.door.subscribe();
        let door = match tokio::time::timeout(DOOR_TIME_MAX, opened.wait_for(Option::is_some)).await {
            Ok(Ok(door)) => door.clone(),
            Ok(Err(_)) | Err(_) => None,
        };
        let Some(door) = door else {
            return Err("the sender cannot be told of the refusal: the gateway's door is closed".to_owned());
        };
        let later = |refusal: Refusal| format!("the sender cannot be told of the refusal now: {}", refusal.reason);
        match self.intake.bring(package.into(), None, door.as_ref()).await.map_err(|fault| fault.to_string())? {
            Ok(_) => Ok(()),
            Err(NotIn::Busy(refusal)) => Err(later(refusal)),
            Err(NotIn::Refused(refusal)) => {
                // The gateway tells the sender by its receipt all the same; waiting would not make this better.
                tracing::error!(reason = %refusal.reason, "the sender of a refused paper cannot be told");
                Ok(())
            }
            Err(NotIn::Defect(fault)) => {
                tracing::error!(defect = %fault.defect, "the sender of a refused paper cannot be told");
                Ok(())
            }
        }
    }

    fn status(&self, delivery: &Delivery, detail: &str) -> Result<Option<Status>, adapters_sdk::AdapterError> {
        let signed = v1::SignedEnvelope::decode(delivery.signed.as_ref()).unwrap_or_default();
        let envelope = v1::Envelope::decode(signed.envelope.as_ref()).unwrap_or_default();
        let is_paper = match &envelope.content {
            Some(Content::Document(_) | Content::Dossier(_) | Content::ChangeRequest(_)) => true,
            Some(Content::Status(_) | Content::ChangeAnswer(_) | Content::Opaque(_)) | None => false,
        };
        let recipient = delivery.recipients.first().map(|recipient| recipient.serving.as_str()).unwrap_or_default();
        let organ = self.handover.organs.served(recipient).filter(|organ| is_paper && organ.sealer.is_some());
        let Some(organ) = organ else { return Ok(None) };
        let own = v1::Reference {
            sender: delivery.key.sender.to_string(),
            id: envelope.id.clone(),
            ..v1::Reference::default()
        };
        let Some(about) = self.handover.document_of(Some(&own))? else { return Ok(None) };
        Ok(Some(Status {
            from: Organ { id: organ.code().to_owned(), name: organ.name.clone() },
            response_for: ResponseFor {
                organ_id: envelope.from,
                code: about.code,
                promulgated_on: about.promulgated_on,
                document_id: about.document_id,
            },
            code: REFUSED.to_owned(),
            description: format!("Hệ thống nơi nhận không nhận / refused by the recipient's system: {detail}"),
            at: Some(accepted_at(delivery)),
        }))
    }
}
