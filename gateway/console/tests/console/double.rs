//! A double of the operators' door: answers with invented values, remembers who asked what, refuses what a viewer may not do.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use gateway_console::SignedIn;
use gateway_model::Reason;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_server::OperateService;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::sample;

/// Clones share what was asked.
#[derive(Clone)]
pub struct Double {
    role: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Operator.
    pub operator: String,
    /// Language of the extension, and of the metadata.
    pub languages: (Language, String),
    /// The message, as Rust writes it.
    pub message: String,
}

impl Double {
    /// A door for callers of this role.
    pub fn new(role: &'static str) -> Self {
        Self { role, asked: Arc::default() }
    }

    /// Calls with a message of this name.
    pub fn asked(&self, name: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|asked| asked.message.split(' ').next() == Some(name)).cloned().collect()
    }

    fn see<T: Debug, A>(&self, request: &Request<T>, answer: A) -> Result<Response<A>, Status> {
        let signed_in = request.extensions().get::<SignedIn>().ok_or_else(|| Status::unauthenticated("nobody"))?;
        let spoken = request.metadata().get("accept-language").and_then(|value| value.to_str().ok());
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked {
            operator: signed_in.operator.to_string(),
            languages: (signed_in.language, spoken.unwrap_or_default().to_owned()),
            message: format!("{:?}", request.get_ref()),
        });
        Ok(Response::new(answer))
    }

    fn act<T: Debug, A>(&self, request: &Request<T>, answer: A) -> Result<Response<A>, Status> {
        let language = request.extensions().get::<SignedIn>().map_or(Language::Vi, |signed_in| signed_in.language);
        if self.role == "viewer" {
            return Err(refusal(Reason::HopNotAllowed, language));
        }
        self.see(request, answer)
    }
}

/// As the server writes refusals.
pub fn refusal(reason: Reason, language: Language) -> Status {
    let mut details = ErrorDetails::new();
    let facts = HashMap::from([("detail".to_owned(), "role <operator> is needed".to_owned())]);
    details.set_error_info(reason.code(), "lienthong.gov.vn", facts);
    details.set_localized_message(language.tag(), reason.message(language));
    Status::with_error_details(Code::PermissionDenied, "refused", details)
}

/// Methods that answer with a value, and how the double takes the call.
macro_rules! answers {
    ($self:ident; $($name:ident($request:ident: $asked:ident) -> $answer:ident by $how:ident { $value:expr })*) => {
        #[tonic::async_trait]
        impl OperateService for Double {
            type ExportStream = tokio_stream::Empty<Result<v1::ExportResponse, Status>>;

            async fn export(&self, _: Request<v1::ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
                Err(Status::unimplemented("the console does not export"))
            }

            $(async fn $name(&$self, $request: Request<v1::$asked>) -> Result<Response<v1::$answer>, Status> {
                let value = $value;
                $self.$how(&$request, value)
            })*
        }
    };
}

answers! { self;
    list(request: ListRequest) -> ListResponse by see { sample::list(request.get_ref()) }
    timeline(request: TimelineRequest) -> TimelineResponse by see { sample::timeline(request.get_ref()) }
    retry(request: RetryRequest) -> RetryResponse by act { v1::RetryResponse::default() }
    hold(request: HoldRequest) -> HoldResponse by act { v1::HoldResponse::default() }
    release(request: ReleaseRequest) -> ReleaseResponse by act { v1::ReleaseResponse::default() }
    return_to_sender(request: ReturnToSenderRequest) -> ReturnToSenderResponse by act { v1::ReturnToSenderResponse::default() }
    reroute(request: RerouteRequest) -> RerouteResponse by act { v1::RerouteResponse::default() }
    list_stuck(request: ListStuckRequest) -> ListStuckResponse by see { sample::stuck() }
    list_incidents(request: ListIncidentsRequest) -> ListIncidentsResponse by see { sample::incidents() }
    list_peers(request: ListPeersRequest) -> ListPeersResponse by see { sample::peers() }
    list_adapters(request: ListAdaptersRequest) -> ListAdaptersResponse by see { sample::adapters() }
    pause(request: PauseRequest) -> PauseResponse by act { v1::PauseResponse::default() }
    resume(request: ResumeRequest) -> ResumeResponse by act { v1::ResumeResponse::default() }
    ping_peer(request: PingPeerRequest) -> PingPeerResponse by act { sample::pong(request.get_ref()) }
    list_trust(request: ListTrustRequest) -> ListTrustResponse by see { sample::trust() }
    plan_bulk(request: PlanBulkRequest) -> PlanBulkResponse by act { v1::PlanBulkResponse { plan: Some(sample::plan()) } }
    approve_bulk(request: ApproveBulkRequest) -> ApproveBulkResponse by act { v1::ApproveBulkResponse::default() }
    run_bulk(request: RunBulkRequest) -> RunBulkResponse by act { v1::RunBulkResponse::default() }
    stop_bulk(request: StopBulkRequest) -> StopBulkResponse by act { v1::StopBulkResponse::default() }
    get_bulk(request: GetBulkRequest) -> GetBulkResponse by see { sample::bulk(&request.get_ref().bulk_id) }
    list_bulks(request: ListBulksRequest) -> ListBulksResponse by see { sample::bulks() }
    list_audit(request: ListAuditRequest) -> ListAuditResponse by see { sample::audit() }
    get_statistics(request: GetStatisticsRequest) -> GetStatisticsResponse by see { sample::statistics(request.get_ref()) }
    create_console_link(request: CreateConsoleLinkRequest) -> CreateConsoleLinkResponse by see { v1::CreateConsoleLinkResponse::default() }
    get_status(request: GetStatusRequest) -> GetStatusResponse by see { sample::status(self.role) }
    list_refusals(request: ListRefusalsRequest) -> ListRefusalsResponse by see { sample::refusals() }
}
