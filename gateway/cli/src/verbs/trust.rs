//! `lienthong trust`: certificates, revocation lists and the directory, by when they end.

use clap::{Args, Subcommand};
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::outln;
use crate::output::{self, Form, local_time, rfc3339};

/// Days that `expiring` looks ahead when it is not told.
const DAYS_DEFAULT: u32 = 30;

/// Lists what a gateway trusts, by when it ends.
#[derive(Args, Debug)]
pub struct Trust {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Lists certificates, revocation lists and the directory, the nearest end first.
    Ls(Ls),
    /// Lists what ends soon. Exit codes: 0 nothing does, 10 something does.
    Expiring(Expiring),
}

#[derive(Args, Debug)]
struct Ls {
    /// Only this agency (id or code).
    #[arg(long, default_value = "")]
    agency: String,
    /// Rows at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    connect: Connect,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

#[derive(Args, Debug)]
struct Expiring {
    /// Within this many days.
    #[arg(long, default_value_t = DAYS_DEFAULT)]
    days: u32,
    #[command(flatten)]
    ls: Ls,
}

impl Trust {
    /// Asks and prints.
    ///
    /// # Errors
    /// When the gateway does not answer or the caller is no operator.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        match self.action {
            Action::Ls(ls) => ls.run(0, language).await.map(|_| Exit::Success),
            Action::Expiring(expiring) => {
                let rows = expiring.ls.run(expiring.days, language).await?;
                Ok(if rows == 0 { Exit::Success } else { Exit::Stuck })
            }
        }
    }
}

impl Ls {
    async fn run(self, within_days: u32, language: Language) -> anyhow::Result<usize> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let request = v1::ListTrustRequest { within_days, agency: self.agency, limit: self.limit };
        let answer = client.list_trust(request).await?.into_inner();
        if self.output != Form::Table {
            output::print_json(self.output, &answer.entries.iter().map(json).collect::<Vec<_>>())?;
            return Ok(answer.entries.len());
        }
        let pick = |vi, en| language.pick(vi, en);
        let mut table = output::table(&[
            pick("Hết hiệu lực", "Ends"),
            pick("Loại", "Kind"),
            pick("Tên", "Name"),
            pick("SHA-256", "SHA-256"),
        ]);
        for entry in &answer.entries {
            let name = if entry.agency.is_empty() {
                entry.name.clone()
            } else {
                format!("{} {}", entry.agency, entry.agency_name)
            };
            table.add_row([
                local_time(entry.valid_until.as_ref(), language),
                kind(entry.kind(), language).to_owned(),
                name,
                hex::encode(entry.sha256.get(..8).unwrap_or_default()),
            ]);
        }
        outln!("{table}");
        if answer.cut {
            outln!("{}", pick("còn nhiều hơn những gì hiện ở đây", "there is more than is shown here"));
        }
        Ok(answer.entries.len())
    }
}

fn kind(kind: v1::TrustKind, language: Language) -> &'static str {
    match kind {
        v1::TrustKind::Signer => language.pick("chứng thư số của cơ quan", "an agency's certificate"),
        v1::TrustKind::Anchor => language.pick("chứng thư số gốc", "trust anchor"),
        v1::TrustKind::Intermediate => language.pick("chứng thư số CA trung gian", "intermediate certificate"),
        v1::TrustKind::RevocationList => language.pick("danh sách thu hồi", "revocation list"),
        v1::TrustKind::Directory => language.pick("danh bạ", "directory"),
        v1::TrustKind::Tls => language.pick("chứng thư số TLS của trục này", "this gateway's TLS certificate"),
        v1::TrustKind::Unspecified => language.pick("(không rõ)", "(unknown)"),
    }
}

fn json(entry: &v1::TrustEntry) -> serde_json::Value {
    serde_json::json!({
        "kind": entry.kind().as_str_name().trim_start_matches("TRUST_KIND_").to_lowercase().replace('_', "-"),
        "agency": entry.agency, "agency_name": entry.agency_name, "name": entry.name, "sha256": hex::encode(&entry.sha256),
        "valid_from": rfc3339(entry.valid_from.as_ref()), "valid_until": rfc3339(entry.valid_until.as_ref()),
        "roles": entry.roles,
    })
}
