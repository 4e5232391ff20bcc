//! `lienthong console`: a link that opens the operators' console in a browser, once.

use clap::Args;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::output::local_time;
use crate::{errln, outln};

/// Prints a link that opens the console once. Whoever opens it is you.
#[derive(Args, Debug)]
pub struct Console {
    #[command(flatten)]
    connect: Connect,
}

impl Console {
    /// Asks and prints.
    ///
    /// # Errors
    /// When the gateway does not answer, serves no console, or the caller is no operator.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let link = client.create_console_link(v1::CreateConsoleLinkRequest {}).await?.into_inner();
        outln!("{}", link.url);
        errln!(
            "{} {}",
            language.pick("mở trong trình duyệt, dùng một lần, trước", "open it in a browser, once, before"),
            local_time(link.expires_at.as_ref(), language)
        );
        Ok(Exit::Success)
    }
}
