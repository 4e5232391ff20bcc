//! `lienthong peer`: the gateways that a gateway speaks with.

use clap::{Args, Subcommand};
use gateway_model::Timestamp;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use super::pausing::{Pausing, flow_json, flow_row, flow_title};
use crate::connect::Connect;
use crate::exit::Exit;
use crate::outln;
use crate::output::{self, Form, rfc3339};
use crate::trusted;

const DAY_SECONDS: u64 = 24 * 3600;

/// Lists, pauses, resumes and pings the gateways that a gateway speaks with.
#[derive(Args, Debug)]
pub struct Peer {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Lists them: who answers, what waits for whom.
    Ls(Ls),
    /// Lets nothing more go to a gateway until it is resumed.
    Pause(Named),
    /// Lets it go on.
    Resume(Named),
    /// Asks a gateway whether it is there.
    Ping(Ping),
}

#[derive(Args, Debug)]
struct Ls {
    #[command(flatten)]
    connect: Connect,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

#[derive(Args, Debug)]
struct Named {
    /// Gateway id.
    #[arg(value_name = "GATEWAY")]
    peer: String,
    #[command(flatten)]
    pausing: Pausing,
}

#[derive(Args, Debug)]
struct Ping {
    /// Gateway id.
    #[arg(value_name = "GATEWAY")]
    peer: String,
    #[command(flatten)]
    connect: Connect,
}

impl Peer {
    /// Does it.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        match self.action {
            Action::Ls(ls) => ls.run(language).await,
            Action::Pause(named) => named.pausing.pause(format!("gateway:{}", named.peer), language).await,
            Action::Resume(named) => named.pausing.resume(format!("gateway:{}", named.peer), language).await,
            Action::Ping(ping) => ping.run(language).await,
        }
    }
}

impl Ls {
    async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let peers = client.list_peers(v1::ListPeersRequest {}).await?.into_inner().peers;
        if self.output != Form::Table {
            let json = |peer: &v1::PeerState| {
                serde_json::json!({
                    "gateway": peer.gateway, "relation": peer.relation, "address": peer.address,
                    "flow": flow_json(peer.flow.as_ref()), "version": peer.version,
                    "certificate_expires_at": rfc3339(peer.certificate_expires_at.as_ref()),
                })
            };
            output::print_json(self.output, &peers.iter().map(json).collect::<Vec<_>>())?;
            return Ok(Exit::Success);
        }
        let mut title = vec![language.pick("Trục liên thông", "Gateway"), language.pick("Quan hệ", "Relation")];
        title.extend(flow_title(language));
        title.extend([
            language.pick("Phiên bản", "Version"),
            language.pick("Chứng thư số còn (ngày)", "Certificate days left"),
        ]);
        let now = trusted::now();
        let mut table = output::table(&title);
        for peer in &peers {
            let relation = match peer.relation.as_str() {
                "parent" => language.pick("cấp trên", "parent"),
                "child" => language.pick("cấp dưới", "child"),
                _ => language.pick("trực tiếp", "direct"),
            };
            let mut row = vec![peer.gateway.clone(), relation.to_owned()];
            row.extend(flow_row(peer.flow.as_ref(), language));
            row.extend([known(&peer.version), days_left(peer.certificate_expires_at.as_ref(), now)]);
            table.add_row(row);
        }
        outln!("{table}");
        Ok(Exit::Success)
    }
}

/// What a gateway showed of itself; a dash when it was not met since the start.
fn known(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { text.to_owned() }
}

/// Whole days; a dash when nobody knows.
fn days_left(end: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let end = end.and_then(|end| Timestamp::from_parts(end.seconds, end.nanos));
    end.map_or_else(|| known(""), |end| (end.since(now).as_secs() / DAY_SECONDS).to_string())
}

impl Ping {
    async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let answer = client.ping_peer(v1::PingPeerRequest { gateway: self.peer }).await?.into_inner();
        outln!(
            "{} {} {}, {} {}: {:.1} ms",
            answer.gateway,
            language.pick("phiên bản", "version"),
            answer.version,
            language.pick("danh bạ", "directory"),
            answer.directory_version,
            answer.milliseconds
        );
        Ok(Exit::Success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_ones_and_nothing_is_left_of_what_has_ended() {
        let (now, at) = (Timestamp::from_seconds(1_000_000), |seconds| prost_types::Timestamp { seconds, nanos: 0 });
        assert_eq!(days_left(None, now), "–");
        assert_eq!(days_left(Some(&at(1_000_000 + 3 * 86_400 - 1)), now), "2");
        assert_eq!(days_left(Some(&at(10)), now), "0");
    }
}
