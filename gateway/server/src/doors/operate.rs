//! OperateService: the door of operators. Viewers see, operators move; every action is a leaf of the evidence log.

mod asked;
mod audit;
mod bulk;
mod custody;
mod export;
mod neighbours;
mod statistics;
mod stuck;
mod told;
pub(super) mod trace;
pub(crate) mod trust;

use std::time::Duration;

use gateway_engine::lane::Party;
use gateway_engine::operate::{About, Action, Operate};
use gateway_engine::pause::Pausable;
use gateway_evidence::ActKind;
use gateway_model::agency::OperatorRole;
use gateway_model::id::{GatewayId, OperatorId};
use gateway_model::{Reason, Refusal, limits};
use gateway_store::rows::{DeliveryRow, EnvelopeRow};
use proto::v1;
use proto::v1::operate_service_server::OperateService;
use tonic::{Request, Response, Status};

pub(crate) use self::custody::files;
use self::neighbours::Neighbours;
use self::told::Teller;
pub(crate) use self::trace::known_here;
use super::gates::Gates;
use super::pipeline::Answers;
use super::{Caller, Doors, adapter, wire};

/// Incidents and trust entries in one answer.
const ENTRIES_MAX: u32 = 500;
/// How long another gateway has to answer a ping.
const PING_TIME: Duration = Duration::from_secs(5);

/// The service.
#[derive(Clone)]
pub struct OperateDoor(pub Doors);

#[tonic::async_trait]
impl OperateService for OperateDoor {
    type ExportStream = Answers<v1::ExportResponse>;

    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        let caller = self.viewer(&request)?;
        let query = asked::query(&caller, request.get_ref()).map_err(|refusal| caller.status(&refusal))?;
        let operate = self.operate();
        let page = self.0.within(&caller, operate.list(&query)).await?;
        let teller = Teller::new(&self.0, caller.language);
        Ok(Response::new(v1::ListResponse {
            deliveries: page.rows.iter().map(|row| teller.summary(row)).collect(),
            next_page_token: page.next.map(asked::write_token).unwrap_or_default(),
        }))
    }

    async fn timeline(&self, request: Request<v1::TimelineRequest>) -> Result<Response<v1::TimelineResponse>, Status> {
        let caller = self.viewer(&request)?;
        let whole = trace::whole(&self.0, &caller, request.get_ref());
        Ok(Response::new(self.0.within(&caller, whole).await?))
    }

    async fn retry(&self, request: Request<v1::RetryRequest>) -> Result<Response<v1::RetryResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let (operate, action) = (self.acting(&caller), self.action(&caller, &named.delivery_id, named.reason)?);
        let row = self.0.within(&caller, operate.retry(&action)).await?;
        Ok(Response::new(v1::RetryResponse { state: Some(self.state(&row, &caller)) }))
    }

    async fn hold(&self, request: Request<v1::HoldRequest>) -> Result<Response<v1::HoldResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let (operate, action) = (self.acting(&caller), self.action(&caller, &named.delivery_id, named.reason)?);
        let row = self.0.within(&caller, operate.hold(&action)).await?;
        Ok(Response::new(v1::HoldResponse { state: Some(self.state(&row, &caller)) }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Result<Response<v1::ReleaseResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let (operate, action) = (self.acting(&caller), self.action(&caller, &named.delivery_id, named.reason)?);
        let row = self.0.within(&caller, operate.release(&action)).await?;
        Ok(Response::new(v1::ReleaseResponse { state: Some(self.state(&row, &caller)) }))
    }

    async fn return_to_sender(
        &self,
        request: Request<v1::ReturnToSenderRequest>,
    ) -> Result<Response<v1::ReturnToSenderResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let (operate, action) = (self.acting(&caller), self.action(&caller, &named.delivery_id, named.reason)?);
        let row = self.0.within(&caller, operate.give_back(&action)).await?;
        Ok(Response::new(v1::ReturnToSenderResponse { state: Some(self.state(&row, &caller)) }))
    }

    async fn reroute(&self, request: Request<v1::RerouteRequest>) -> Result<Response<v1::RerouteResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let (operate, action) = (self.acting(&caller), self.action(&caller, &named.delivery_id, named.reason)?);
        let via = gateway(&named.via, "via").map_err(|refusal| caller.status(&refusal))?;
        let row = self.0.within(&caller, operate.reroute(&action, &via)).await?;
        Ok(Response::new(v1::RerouteResponse { state: Some(self.state(&row, &caller)) }))
    }

    async fn export(&self, request: Request<v1::ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        let (caller, named) = self.asked(request)?;
        let operator = self.operator(&caller, OperatorRole::Operator)?;
        let exported = async {
            let row = self.envelope(&caller, &named).await?;
            let subject = format!("envelope:{}/{}", row.key.sender, row.key.id);
            self.acting(&caller).note_reasoned(ActKind::Exported, &operator, subject, &named.reason).await?;
            export::export(&self.0, &caller, row).await
        };
        Ok(Response::new(self.0.within(&caller, exported).await?))
    }

    async fn list_stuck(
        &self,
        request: Request<v1::ListStuckRequest>,
    ) -> Result<Response<v1::ListStuckResponse>, Status> {
        let caller = self.viewer(&request)?;
        Ok(Response::new(stuck::list(&self.0, &caller).await))
    }

    async fn list_incidents(
        &self,
        request: Request<v1::ListIncidentsRequest>,
    ) -> Result<Response<v1::ListIncidentsResponse>, Status> {
        let caller = self.viewer(&request)?;
        let named = request.into_inner();
        let since = named.since.as_ref().map(|at| asked::instant(at, "since")).transpose();
        let since = since.map_err(|refusal| caller.status(&refusal))?;
        let incidents = self.operate().incidents(since, asked::rows(named.limit, ENTRIES_MAX));
        Ok(Response::new(v1::ListIncidentsResponse { incidents: incidents.into_iter().map(stuck::incident).collect() }))
    }

    async fn list_peers(
        &self,
        request: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        let caller = self.viewer(&request)?;
        let is_peer = |party: &Party| matches!(party, Party::Gateway(_));
        let look = Neighbours::look(&self.0, caller.directory(), caller.language, is_peer);
        let peers = self.0.within(&caller, look).await?.peers();
        Ok(Response::new(v1::ListPeersResponse { peers }))
    }

    async fn list_adapters(
        &self,
        request: Request<v1::ListAdaptersRequest>,
    ) -> Result<Response<v1::ListAdaptersResponse>, Status> {
        let caller = self.viewer(&request)?;
        let is_served = |party: &Party| matches!(party, Party::Agency(_));
        let look = async {
            let neighbours = Neighbours::look(&self.0, caller.directory(), caller.language, is_served).await?;
            Ok(neighbours.adapters().await)
        };
        let adapters = self.0.within(&caller, look).await?;
        Ok(Response::new(v1::ListAdaptersResponse { adapters }))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Result<Response<v1::PauseResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let operator = self.operator(&caller, OperatorRole::Operator)?;
        let operate = self.acting(&caller);
        let pause = async { operate.pause(&Pausable::parse(&named.destination)?, &operator, &named.reason).await };
        let paused = self.0.within(&caller, pause).await?;
        Ok(Response::new(v1::PauseResponse { paused: Some(neighbours::pause(paused)) }))
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Result<Response<v1::ResumeResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let operator = self.operator(&caller, OperatorRole::Operator)?;
        let operate = self.acting(&caller);
        let resume = async { operate.resume(&Pausable::parse(&named.destination)?, &operator, &named.reason).await };
        self.0.within(&caller, resume).await?;
        Ok(Response::new(v1::ResumeResponse {}))
    }

    async fn ping_peer(&self, request: Request<v1::PingPeerRequest>) -> Result<Response<v1::PingPeerResponse>, Status> {
        let caller = self.viewer(&request)?;
        let began = std::time::Instant::now();
        let ping = async {
            let gateway = gateway(&request.get_ref().gateway, "gateway")?;
            let peers = self.0.peers.as_ref().ok_or(Reason::PeerUnreachable)?;
            peers.ping(&gateway, PING_TIME).await.map_err(|fault| Refusal::new(fault.reason).saw(fault.detail))
        };
        let v1::PingResponse { gateway, version, directory_version } = self.0.within(&caller, ping).await?;
        let milliseconds = began.elapsed().as_secs_f64() * 1_000.0;
        Ok(Response::new(v1::PingPeerResponse { gateway, version, directory_version, milliseconds }))
    }

    async fn list_trust(
        &self,
        request: Request<v1::ListTrustRequest>,
    ) -> Result<Response<v1::ListTrustResponse>, Status> {
        let caller = self.viewer(&request)?;
        let named = request.into_inner();
        let agency = asked::agency(&caller, &named.agency, "agency", Reason::NotFound);
        let agency = agency.map_err(|refusal| caller.status(&refusal))?;
        let limit = asked::rows(named.limit, ENTRIES_MAX);
        let directory = caller.directory();
        Ok(Response::new(trust::list(&self.0, directory, agency.as_ref(), named.within_days, limit, caller.language)))
    }

    async fn plan_bulk(&self, request: Request<v1::PlanBulkRequest>) -> Result<Response<v1::PlanBulkResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let operator = self.operator(&caller, OperatorRole::Operator)?;
        let operate = self.acting(&caller);
        let plan = async {
            let action = bulk::action(&named)?;
            let filter = asked::query(&caller, &named.filter.unwrap_or_default())?;
            operate.plan_bulk(&operator, action, &filter, &named.reason).await
        };
        let plan = self.0.within(&caller, plan).await?;
        Ok(Response::new(v1::PlanBulkResponse { plan: Some(bulk::plan(&operate, &plan)) }))
    }

    async fn approve_bulk(
        &self,
        request: Request<v1::ApproveBulkRequest>,
    ) -> Result<Response<v1::ApproveBulkResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let operator = self.operator(&caller, OperatorRole::Operator)?;
        let operate = self.acting(&caller);
        let plan = self.0.within(&caller, operate.approve_bulk(&operator, &named.bulk_id)).await?;
        Ok(Response::new(v1::ApproveBulkResponse { plan: Some(bulk::plan(&operate, &plan)) }))
    }

    async fn run_bulk(&self, request: Request<v1::RunBulkRequest>) -> Result<Response<v1::RunBulkResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let operator = self.operator(&caller, OperatorRole::Operator)?;
        let operate = self.acting(&caller);
        let plan = self.0.within(&caller, operate.run_bulk(&operator, &named.bulk_id)).await?;
        Ok(Response::new(v1::RunBulkResponse { plan: Some(bulk::plan(&operate, &plan)) }))
    }

    async fn stop_bulk(&self, request: Request<v1::StopBulkRequest>) -> Result<Response<v1::StopBulkResponse>, Status> {
        let (caller, named) = self.asked(request)?;
        let operator = self.operator(&caller, OperatorRole::Operator)?;
        let operate = self.acting(&caller);
        let plan = self.0.within(&caller, operate.stop_bulk(&operator, &named.bulk_id)).await?;
        Ok(Response::new(v1::StopBulkResponse { plan: Some(bulk::plan(&operate, &plan)) }))
    }

    async fn get_bulk(&self, request: Request<v1::GetBulkRequest>) -> Result<Response<v1::GetBulkResponse>, Status> {
        let caller = self.viewer(&request)?;
        let operate = self.operate();
        let plan = operate.bulk(&request.get_ref().bulk_id).await.map_err(|refusal| caller.status(&refusal))?;
        let failures = bulk::failures(&plan);
        Ok(Response::new(v1::GetBulkResponse { plan: Some(bulk::plan(&operate, &plan)), failures }))
    }

    async fn list_bulks(
        &self,
        request: Request<v1::ListBulksRequest>,
    ) -> Result<Response<v1::ListBulksResponse>, Status> {
        let caller = self.viewer(&request)?;
        let operate = self.operate();
        let plans = operate.bulks().await.map_err(|refusal| caller.status(&refusal))?;
        let plans = plans.iter().map(|plan| bulk::plan(&operate, plan)).collect();
        Ok(Response::new(v1::ListBulksResponse { plans }))
    }

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let caller = self.viewer(&request)?;
        let query = audit::query(request.get_ref()).map_err(|refusal| caller.status(&refusal))?;
        let operate = self.operate();
        Ok(Response::new(self.0.within(&caller, audit::page(&operate, &query)).await?))
    }

    async fn get_statistics(
        &self,
        request: Request<v1::GetStatisticsRequest>,
    ) -> Result<Response<v1::GetStatisticsResponse>, Status> {
        let caller = self.viewer(&request)?;
        let counted = statistics::count(&self.0, &caller, request.get_ref());
        Ok(Response::new(self.0.within(&caller, counted).await?))
    }

    async fn create_console_link(
        &self,
        request: Request<v1::CreateConsoleLinkRequest>,
    ) -> Result<Response<v1::CreateConsoleLinkResponse>, Status> {
        let caller = self.viewer(&request)?;
        let operator = self.operator(&caller, OperatorRole::Viewer)?;
        let missing =
            || caller.status(&Refusal::new(Reason::NotFound).at("console").saw("this gateway serves no console"));
        let console = self.0.console.as_ref().ok_or_else(missing)?;
        let (url, expires_at) = console.link(&operator, self.0.engine.clock().now());
        Ok(Response::new(v1::CreateConsoleLinkResponse { url, expires_at: Some(wire::timestamp(expires_at)) }))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let caller = self.viewer(&request)?;
        let (operate, operator) = (self.operate(), self.operator(&caller, OperatorRole::Viewer)?);
        let status = self.0.within(&caller, operate.status()).await?;
        let role = caller.directory().operator(&operator).map(|operator| operator.role.as_str()).unwrap_or_default();
        Ok(Response::new(v1::GetStatusResponse {
            gateway: self.0.engine.gateway().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            directory_version: status.directory_version.unwrap_or(0),
            directory_expires_at: status.directory_expires_at.map(wire::timestamp),
            envelopes: status.counts.envelopes,
            waiting: status.counts.waiting,
            held: status.counts.held,
            log_size: status.counts.log_size,
            free_bytes: status.counts.free_bytes,
            busy: status.busy.is_some(),
            busy_reason: status.busy.map(|(reason, _)| reason.code().to_owned()).unwrap_or_default(),
            gates: Gates::of(&self.0.engine).to_wire(),
            accepted: status.accepted,
            delivered: status.delivered,
            started_at: Some(wire::timestamp(status.started_at)),
            acknowledge_p99_milliseconds: status.acknowledge_p99.as_secs_f64() * 1_000.0,
            operator: operator.to_string(),
            role: role.to_owned(),
            workers: adapter::workers(&self.0),
            accepted_per_minute: status.per_minute.map(|minute| minute.accepted),
            delivered_per_minute: status.per_minute.map(|minute| minute.delivered),
            backlog: operate.stuck().backlog.iter().map(told::backlog).collect(),
            disk_lasts: status.disk_lasts.and_then(|lasts| lasts.try_into().ok()),
            evidence_gap: status.counts.forwarded.saturating_add(status.counts.returns),
            directory_file: self.0.kept_directory.file.display().to_string(),
            directory_authority: self.0.kept_directory.authority.clone(),
        }))
    }

    async fn list_refusals(
        &self,
        request: Request<v1::ListRefusalsRequest>,
    ) -> Result<Response<v1::ListRefusalsResponse>, Status> {
        self.viewer(&request)?;
        let limit =
            asked::rows(request.into_inner().limit, u32::try_from(limits::REFUSALS_REMEMBERED).unwrap_or(u32::MAX));
        let refusals = self.operate().refusals(limit).into_iter().map(told::refusal).collect();
        Ok(Response::new(v1::ListRefusalsResponse { refusals }))
    }
}

impl OperateDoor {
    fn viewer<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = self.0.caller(request)?;
        caller.operator(OperatorRole::Viewer, self.0.engine.gateway())?;
        Ok(caller)
    }

    /// The caller of an action, which names its role itself.
    fn asked<T>(&self, request: Request<T>) -> Result<(Caller, T), Status> {
        Ok((self.0.caller(&request)?, request.into_inner()))
    }

    fn operator(&self, caller: &Caller, role: OperatorRole) -> Result<OperatorId, Status> {
        caller.operator(role, self.0.engine.gateway()).cloned()
    }

    fn operate(&self) -> Operate {
        self.0.engine.operate()
    }

    /// The same for an operator who acts: what is done says from where.
    fn acting(&self, caller: &Caller) -> Operate {
        self.operate().acting_from(caller.address)
    }

    fn action(&self, caller: &Caller, delivery_id: &str, note: String) -> Result<Action, Status> {
        let operator = self.operator(caller, OperatorRole::Operator)?;
        let delivery = asked::delivery_id(delivery_id).map_err(|refusal| caller.status(&refusal))?;
        Ok(Action { operator, delivery, note })
    }

    fn state(&self, row: &DeliveryRow, caller: &Caller) -> v1::DeliveryState {
        Teller::new(&self.0, caller.language).state(row)
    }

    async fn envelope(&self, caller: &Caller, named: &v1::ExportRequest) -> Result<EnvelopeRow, Refusal> {
        let request = v1::TimelineRequest {
            sender: named.sender.clone(),
            envelope_id: named.envelope_id.clone(),
            ..v1::TimelineRequest::default()
        };
        let found = match asked::about(caller, &request)? {
            About::Envelope(key) => self.0.engine.store().find(&key).await.map(|row| row.into_iter().collect()),
            About::EnvelopeId(id) => self.0.engine.store().by_envelope_id(id).await,
            About::FileCode(_) | About::DocumentCode(_) => Ok(Vec::new()),
        };
        let rows: Vec<EnvelopeRow> = found.map_err(|_| Refusal::new(Reason::StoreUnavailable))?;
        match <[EnvelopeRow; 1]>::try_from(rows) {
            Ok([row]) => Ok(row),
            Err(rows) if rows.is_empty() => Err(Refusal::new(Reason::NotFound).at("envelope_id")),
            Err(_) => Err(asked::malformed("sender", "the sender, since several have an envelope of this id,")),
        }
    }
}

fn gateway(text: &str, field: &str) -> Result<GatewayId, Refusal> {
    GatewayId::parse(text).map_err(|_| asked::malformed(field, "a gateway id"))
}
