//! `lienthong bulk`: one action on many deliveries, planned, looked at, approved, run and stopped.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use super::msg::Filter;
use crate::connect::{Caller, Connect};
use crate::exit::Exit;
use crate::output::{self, Form, local_time, rfc3339};
use crate::{errln, outln};

/// How often progress is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Acts on many deliveries: a plan is frozen to ids, looked at, and then run.
#[derive(Args, Debug)]
pub struct Bulk {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Freezes what a filter finds now; nothing moves yet.
    Plan(Box<Plan>),
    /// Approves somebody else's plan, where the gateway asks for two persons.
    Approve(Named),
    /// Carries a plan out and waits for its end.
    Run(Named),
    /// Shows how far a plan is, and what did not move.
    Status(Named),
    /// Stops a plan that is being carried out; what is done stays done.
    Stop(Named),
    /// Lists plans, newest first.
    Ls(Ls),
}

/// What is done to each delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum What {
    Retry,
    Hold,
    Release,
    Return,
}

#[derive(Args, Debug)]
struct Plan {
    /// What to do with each delivery.
    #[arg(value_enum)]
    what: What,
    /// Why; written into the evidence log with your name.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    connect: Connect,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

#[derive(Args, Debug)]
struct Named {
    /// Plan, from `bulk plan`.
    plan: String,
    #[command(flatten)]
    connect: Connect,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

#[derive(Args, Debug)]
struct Ls {
    #[command(flatten)]
    connect: Connect,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

impl Bulk {
    /// Does it.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        match self.action {
            Action::Plan(plan) => plan.run(language).await,
            Action::Approve(named) => {
                let (mut client, bulk_id) = named.open(language).await?;
                let plan = client.approve_bulk(v1::ApproveBulkRequest { bulk_id }).await?.into_inner().plan;
                show(plan.as_slice(), &[], named.output, language)
            }
            Action::Run(named) => named.carry_out(language).await,
            Action::Status(named) => {
                let (mut client, bulk_id) = named.open(language).await?;
                let answer = client.get_bulk(v1::GetBulkRequest { bulk_id }).await?.into_inner();
                show(answer.plan.as_slice(), &answer.failures, named.output, language)
            }
            Action::Stop(named) => {
                let (mut client, bulk_id) = named.open(language).await?;
                let plan = client.stop_bulk(v1::StopBulkRequest { bulk_id }).await?.into_inner().plan;
                show(plan.as_slice(), &[], named.output, language)
            }
            Action::Ls(ls) => {
                let mut client = OperateServiceClient::new(ls.connect.open(language).await?);
                let plans = client.list_bulks(v1::ListBulksRequest {}).await?.into_inner().plans;
                show(&plans, &[], ls.output, language)
            }
        }
    }
}

impl Plan {
    async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let action = match self.what {
            What::Retry => v1::BulkAction::Retry,
            What::Hold => v1::BulkAction::Hold,
            What::Release => v1::BulkAction::Release,
            What::Return => v1::BulkAction::Return,
        };
        let filter = Some(self.filter.request(0, String::new())?);
        let request = v1::PlanBulkRequest { action: action.into(), reason: self.reason, filter };
        let plan = client.plan_bulk(request).await?.into_inner().plan;
        if self.output == Form::Table {
            let id = plan.as_ref().map(|plan| plan.bulk_id.clone()).unwrap_or_default();
            errln!("{} lienthong bulk run {id}", language.pick("tiếp theo:", "next:"));
        }
        show(plan.as_slice(), &[], self.output, language)
    }
}

impl Named {
    async fn open(&self, language: Language) -> anyhow::Result<(OperateServiceClient<Caller>, String)> {
        Ok((OperateServiceClient::new(self.connect.open(language).await?), self.plan.clone()))
    }

    async fn carry_out(self, language: Language) -> anyhow::Result<Exit> {
        let (mut client, bulk_id) = self.open(language).await?;
        let mut plan = client.run_bulk(v1::RunBulkRequest { bulk_id: bulk_id.clone() }).await?.into_inner().plan;
        let bar = match std::io::stderr().is_terminal() {
            true => indicatif::ProgressBar::new(plan.as_ref().map_or(0, |plan| u64::from(plan.count))),
            false => indicatif::ProgressBar::hidden(),
        };
        let mut failures = Vec::new();
        while plan.as_ref().is_some_and(|plan| plan.status() == v1::BulkStatus::Running) {
            tokio::time::sleep(LOOK_EVERY).await;
            let answer = client.get_bulk(v1::GetBulkRequest { bulk_id: bulk_id.clone() }).await?.into_inner();
            (plan, failures) = (answer.plan, answer.failures);
            bar.set_position(plan.as_ref().map_or(0, |plan| u64::from(plan.tried)));
        }
        bar.finish_and_clear();
        show(plan.as_slice(), &failures, self.output, language)
    }
}

fn show(plans: &[v1::BulkPlan], failures: &[v1::BulkFailure], form: Form, language: Language) -> anyhow::Result<Exit> {
    if form != Form::Table {
        output::print_json(form, &plans.iter().map(|plan| json(plan, failures)).collect::<Vec<_>>())?;
        return Ok(Exit::Success);
    }
    let pick = |vi, en| language.pick(vi, en);
    let mut table = output::table(&[
        pick("Kế hoạch", "Plan"),
        pick("Việc", "What"),
        pick("Số lượng", "Count"),
        pick("Tình trạng", "State"),
        pick("Đã làm", "Moved"),
        pick("Người lập", "Planned by"),
        pick("Lý do", "Why"),
    ]);
    for plan in plans {
        table.add_row([
            plan.bulk_id.clone(),
            name(plan.action().as_str_name(), "BULK_ACTION_"),
            format!("{}{}", plan.count, if plan.cut { "+" } else { "" }),
            status(plan, language),
            format!("{}/{}", plan.moved, plan.tried),
            format!("{} {}", plan.planned_by, local_time(plan.planned_at.as_ref(), language)),
            plan.reason.clone(),
        ]);
    }
    outln!("{table}");
    for failure in failures {
        outln!("{}: {}", failure.delivery_id, failure.reason);
    }
    Ok(Exit::Success)
}

fn status(plan: &v1::BulkPlan, language: Language) -> String {
    let text = match plan.status() {
        v1::BulkStatus::Planned if plan.needs_approval => {
            language.pick("chờ người thứ hai phê duyệt", "waits for a second person")
        }
        v1::BulkStatus::Planned => language.pick("đã lập, chưa chạy", "planned, nothing moved"),
        v1::BulkStatus::Running => language.pick("đang chạy", "running"),
        v1::BulkStatus::Done => language.pick("đã xong", "done"),
        v1::BulkStatus::Stopped => language.pick("đã dừng", "stopped"),
        v1::BulkStatus::Unspecified => language.pick("(không rõ)", "(unknown)"),
    };
    text.to_owned()
}

fn name(text: &str, prefix: &str) -> String {
    text.trim_start_matches(prefix).to_lowercase()
}

fn json(plan: &v1::BulkPlan, failures: &[v1::BulkFailure]) -> serde_json::Value {
    let failure =
        |failure: &v1::BulkFailure| serde_json::json!({ "delivery_id": failure.delivery_id, "reason": failure.reason });
    serde_json::json!({
        "bulk_id": plan.bulk_id, "action": name(plan.action().as_str_name(), "BULK_ACTION_"), "reason": plan.reason,
        "planned_by": plan.planned_by, "planned_at": rfc3339(plan.planned_at.as_ref()), "count": plan.count, "cut": plan.cut,
        "sample": plan.sample, "status": name(plan.status().as_str_name(), "BULK_STATUS_"), "approved_by": plan.approved_by,
        "needs_approval": plan.needs_approval, "tried": plan.tried, "moved": plan.moved,
        "failures": failures.iter().map(failure).collect::<Vec<_>>(),
    })
}
