//! Which address shows which page. GETs change nothing; POSTs come from our own forms only.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use proto::v1::operate_service_server::OperateService;

use crate::fault;
use crate::look::Look;
use crate::page::{self, Page};
use crate::screens::{
    act, audit, bulk, health, incidents, papers, peers, search, sign_in, statistics, stuck, timeline, trust,
};
use crate::{Console, assets, guard};

/// The pages of a console. Each request carries a [`Caller`](crate::Caller) among its extensions; without one nobody is signed in.
pub fn router<D: OperateService>(console: Console<D>) -> Router {
    Router::new()
        .route("/", get(stuck::show::<D>))
        .route("/incidents", get(incidents::show::<D>))
        .route("/search", get(search::show::<D>))
        .route("/timeline", get(timeline::show::<D>))
        .route("/receipts.bin", get(timeline::receipts::<D>))
        .route("/control-slip", get(papers::control_slip::<D>))
        .route("/apology", get(papers::apology::<D>))
        .route("/deliveries/{delivery}/{action}", post(act::delivery::<D>))
        .route("/peers", get(peers::show::<D>))
        .route("/destinations/{action}", post(act::destination::<D>))
        .route("/trust", get(trust::show::<D>))
        .route("/bulk", get(bulk::list::<D>).post(bulk::plan::<D>))
        .route("/bulk/new", get(bulk::new::<D>))
        .route("/bulk/{bulk}", get(bulk::show::<D>))
        .route("/bulk/{bulk}/{action}", post(bulk::act::<D>))
        .route("/statistics", get(statistics::show::<D>))
        .route("/statistics.csv", get(statistics::csv::<D>))
        .route("/audit", get(audit::show::<D>))
        .route("/health", get(health::show::<D>))
        .route("/sign-in", get(sign_in::show::<D>).post(sign_in::redeem::<D>))
        .route("/sign-out", post(sign_in::sign_out::<D>))
        .route("/preferences", post(sign_in::preferences::<D>))
        .route("/assets/{name}", get(assets::serve))
        .fallback(missing::<D>)
        .method_not_allowed_fallback(method::<D>)
        .layer(middleware::from_fn(guard::headers))
        .with_state(console)
}

async fn missing<D: OperateService>(State(console): State<Console<D>>, request: Request) -> Response {
    outside(&console, request, StatusCode::NOT_FOUND, fault::missing)
}

async fn method<D: OperateService>(State(console): State<Console<D>>, request: Request) -> Response {
    outside(&console, request, StatusCode::METHOD_NOT_ALLOWED, fault::method)
}

/// A page that needs nobody to be signed in.
fn outside<D: OperateService>(
    console: &Console<D>,
    request: Request,
    status: StatusCode,
    page: impl Fn(gateway_model::language::Language) -> Page,
) -> Response {
    let (parts, _) = request.into_parts();
    let look = Look::of(&parts, console.parts.language);
    (status, page::render(&look, None, &page(look.language))).into_response()
}
