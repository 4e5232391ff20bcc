//! What a directory holds, in a screen.

use gateway_model::directory::{AnchorPurpose, Directory, DirectoryContent};
use gateway_model::language::Language;
use gateway_model::time::Timestamp;

use crate::{certificate, shape};

/// A directory in numbers and names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Rises with every issue.
    pub version: u64,
    /// When it was made.
    pub issued_at: Timestamp,
    /// After this nobody trusts it.
    pub expires_at: Timestamp,
    /// Whether its time is over.
    pub expired: bool,
    /// Agencies alive now.
    pub agencies_alive: usize,
    /// Agencies that have ended, or have not begun.
    pub agencies_other: usize,
    /// Agencies alive now that no gateway serves.
    pub agencies_without_gateway: usize,
    /// Agencies alive now for which no certificate may sign now.
    pub agencies_without_signer: usize,
    /// Systems.
    pub systems: usize,
    /// Operators.
    pub operators: usize,
    /// Id, address and parent of every gateway.
    pub gateways: Vec<String>,
    /// Purpose of every anchor; its subject and end.
    pub anchors: Vec<(AnchorPurpose, String)>,
    /// Subject and end of every intermediate.
    pub intermediates: Vec<String>,
    /// Issuer and times of every revocation list.
    pub revocation_lists: Vec<String>,
}

/// Sums `directory` up as of `now`.
pub fn summarize(directory: &Directory, now: Timestamp) -> Summary {
    let content = directory.content();
    let alive = || content.agencies.iter().filter(|agency| agency.is_alive(now));
    let agencies_alive = alive().count();
    Summary {
        version: content.version,
        issued_at: content.issued_at,
        expires_at: content.expires_at,
        expired: now >= content.expires_at,
        agencies_alive,
        agencies_other: content.agencies.len() - agencies_alive,
        agencies_without_gateway: alive().filter(|agency| directory.gateway_of(&agency.id).is_none()).count(),
        agencies_without_signer: alive().filter(|a| !a.signers.iter().any(|s| s.validity.contains(now))).count(),
        systems: content.systems.len(),
        operators: content.operators.len(),
        gateways: gateways(content),
        anchors: content
            .anchors
            .iter()
            .map(|anchor| (anchor.purpose, certificate::describe_certificate(&anchor.certificate)))
            .collect(),
        intermediates: content.intermediates.iter().map(|der| certificate::describe_certificate(der)).collect(),
        revocation_lists: content.crls.iter().map(|der| certificate::describe_revocation_list(der)).collect(),
    }
}

impl Summary {
    /// The summary in lines.
    pub fn lines(&self, language: Language) -> Vec<String> {
        let pick = |vi, en| language.pick(vi, en);
        let expiry = if self.expired { pick(" (ĐÃ HẾT HẠN)", " (EXPIRED)") } else { "" };
        let mut lines = vec![
            format!("{}: {}", pick("phiên bản", "version"), self.version),
            format!("{}: {}", pick("ban hành lúc", "issued at"), self.issued_at),
            format!("{}: {}{expiry}", pick("có hiệu lực đến", "expires at"), self.expires_at),
            format!("{}: {}", pick("cơ quan đang hoạt động", "agencies alive"), self.agencies_alive),
            format!(
                "{}: {}",
                pick("cơ quan đã chấm dứt hoặc chưa bắt đầu hoạt động", "agencies ended or not begun"),
                self.agencies_other
            ),
            format!(
                "{}: {}",
                pick("cơ quan chưa có trục liên thông phục vụ", "agencies without a gateway"),
                self.agencies_without_gateway
            ),
            format!(
                "{}: {}",
                pick("cơ quan chưa có chứng thư số", "agencies without a certificate"),
                self.agencies_without_signer
            ),
            format!("{}: {}", pick("hệ thống", "systems"), self.systems),
            format!("{}: {}", pick("người vận hành", "operators"), self.operators),
        ];
        let anchors: Vec<String> = self
            .anchors
            .iter()
            .map(|(purpose, text)| format!("{}: {text}", purpose_words(*purpose, language)))
            .collect();
        let lists = [
            (pick("trục liên thông", "gateways"), &self.gateways),
            (pick("chứng thư số gốc", "anchors"), &anchors),
            (pick("chứng thư số trung gian", "intermediates"), &self.intermediates),
            (pick("danh sách thu hồi", "revocation lists"), &self.revocation_lists),
        ];
        for (title, items) in lists {
            lines.push(format!("{title}: {}", items.len()));
            lines.extend(items.iter().map(|item| format!("  {item}")));
        }
        lines
    }
}

fn purpose_words(purpose: AnchorPurpose, language: Language) -> &'static str {
    match (purpose, language) {
        (AnchorPurpose::Sign, Language::Vi) => "ký số",
        (AnchorPurpose::Tls, Language::Vi) => "kết nối TLS",
        (_, Language::En) => shape::purpose_name(purpose),
    }
}

fn gateways(content: &DirectoryContent) -> Vec<String> {
    let line = |gateway: &gateway_model::agency::Gateway| match &gateway.parent {
        Some(parent) => format!("{} {} ↑ {parent}", gateway.id, gateway.address),
        None => format!("{} {}", gateway.id, gateway.address),
    };
    content.gateways.iter().map(line).collect()
}
