//! hello-rust: writes each delivery into a folder.

use std::path::PathBuf;
use std::process::ExitCode;

use adapters_sdk::{Adapter, Delivery, Health, Outcome, Scope};
use gateway_model::Reason;
use gateway_model::envelope::ContentKind;

mod worker;

struct Hello(PathBuf);

#[async_trait::async_trait]
impl Adapter for Hello {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        if delivery.envelope.content.kind == ContentKind::Opaque {
            let detail = "this folder takes documents, dossiers and statuses".to_owned();
            return Outcome::Refused { reason: Reason::AdapterRefused, detail };
        }
        match self.write(delivery).await {
            Ok(()) => Outcome::Taken { receipt: None },
            Err(cause) => {
                let (reason, detail) = (Reason::AdapterUnavailable, cause.kind().to_string());
                Outcome::Deferred { reason, detail, retry_after: None, scope: Scope::Delivery }
            }
        }
    }

    async fn check(&self) -> Health {
        Health::Up
    }
}

impl Hello {
    async fn write(&self, delivery: &Delivery) -> std::io::Result<()> {
        let id = delivery.ids.first().map(ToString::to_string).unwrap_or_default();
        let (early, target) = (self.0.join(format!(".{id}")), self.0.join(&id));
        if !tokio::fs::try_exists(&target).await? {
            worker::write_durably(delivery, &early).await?;
            tokio::fs::rename(&early, &target).await?;
        }
        worker::sync(&self.0).await
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    worker::run("hello-rust", |settings| Some(Hello(settings.required_text("out")?.into()))).await
}
