//! `lienthong adapter ls`, `pause` and `resume`: the adapters of a running gateway.

use clap::Args;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::outln;
use crate::output::{self, Form, local_time, rfc3339};
use crate::verbs::pausing::{Pausing, flow_json, flow_row, flow_title, pause_json};

#[derive(Args, Debug)]
pub struct Ls {
    #[command(flatten)]
    connect: Connect,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

#[derive(Args, Debug)]
pub struct Named {
    /// Name of the adapter in the gateway's configuration.
    name: String,
    #[command(flatten)]
    pausing: Pausing,
}

impl Named {
    pub async fn pause(self, language: Language) -> anyhow::Result<Exit> {
        self.pausing.pause(format!("adapter:{}", self.name), language).await
    }

    pub async fn resume(self, language: Language) -> anyhow::Result<Exit> {
        self.pausing.resume(format!("adapter:{}", self.name), language).await
    }
}

impl Ls {
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let adapters = client.list_adapters(v1::ListAdaptersRequest {}).await?.into_inner().adapters;
        if self.output != Form::Table {
            output::print_json(self.output, &adapters.iter().map(json).collect::<Vec<_>>())?;
            return Ok(Exit::Success);
        }
        let mut title = vec![language.pick("Bộ kết nối", "Adapter"), language.pick("Cơ quan", "Agency")];
        title.extend(flow_title(language));
        let mut table = output::table(&title);
        for adapter in &adapters {
            for agency in &adapter.agencies {
                let name = format!("{} ({})", adapter.name, adapter.kind);
                let mut row = vec![name, format!("{}\n{}", agency.agency, agency.name)];
                row.extend(flow_row(agency.flow.as_ref(), language));
                table.add_row(row);
            }
        }
        outln!("{table}");
        for adapter in &adapters {
            print_more(adapter, language);
        }
        Ok(Exit::Success)
    }
}

fn print_more(adapter: &v1::AdapterState, language: Language) {
    let name = &adapter.name;
    if !adapter.healthy {
        outln!(
            "{name}: {} {}",
            language.pick("hệ thống phía sau không sẵn sàng:", "its system is not ready:"),
            adapter.detail
        );
    }
    if let Some(pause) = &adapter.paused {
        outln!("{name}: {} {}: {}", language.pick("tạm dừng bởi", "paused by"), pause.operator, pause.reason);
    }
    if adapter.quarantined_count > 0 {
        let words =
            language.pick("không nhận vào được, để riêng kèm lý do", "not taken in, kept aside with the reasons");
        outln!("{name}: {} {words}", adapter.quarantined_count);
    }
    for one in &adapter.quarantined {
        outln!("{name}:   {}  {}  {}  {}", local_time(one.since.as_ref(), language), one.reason, one.name, one.detail);
    }
    for worker in &adapter.workers {
        outln!(
            "{name}: {} {} {} ({}), {} {}",
            language.pick("tiến trình", "worker"),
            worker.instance,
            worker.version,
            worker.system,
            language.pick("hỏi việc lần cuối", "last asked"),
            local_time(worker.last_poll_at.as_ref(), language)
        );
        for problem in &worker.problems {
            outln!(
                "{name}: {} {}",
                language.pick("cấu hình của tiến trình sai:", "its configuration is wrong:"),
                problem
            );
        }
    }
}

fn json(adapter: &v1::AdapterState) -> serde_json::Value {
    let quarantined = |one: &v1::Quarantined| serde_json::json!({ "name": one.name, "reason": one.reason, "detail": one.detail, "since": rfc3339(one.since.as_ref()) });
    let agency = |agency: &v1::AgencyFlow| serde_json::json!({ "agency": agency.agency, "name": agency.name, "flow": flow_json(agency.flow.as_ref()) });
    serde_json::json!({
        "name": adapter.name, "kind": adapter.kind, "healthy": adapter.healthy, "detail": adapter.detail,
        "paused": pause_json(adapter.paused.as_ref()),
        "agencies": adapter.agencies.iter().map(agency).collect::<Vec<_>>(),
        "workers": adapter.workers.iter().map(worker_json).collect::<Vec<_>>(),
        "quarantined_count": adapter.quarantined_count,
        "quarantined": adapter.quarantined.iter().map(quarantined).collect::<Vec<_>>(),
    })
}

/// A worker, for machines.
pub fn worker_json(worker: &v1::WorkerState) -> serde_json::Value {
    serde_json::json!({
        "queue": worker.queue, "system": worker.system, "instance": worker.instance, "name": worker.name,
        "version": worker.version, "registered_at": rfc3339(worker.registered_at.as_ref()),
        "heard_at": rfc3339(worker.heard_at.as_ref()), "last_poll_at": rfc3339(worker.last_poll_at.as_ref()),
        "leases": worker.leases, "draining": worker.draining, "problems": worker.problems,
    })
}
