//! The HTTP surface: callbacks in, runs and syncs out.
//!
//! A handler extracts, makes one ledger call, responds. Errors are problem documents with a stable code; every
//! wait and every size has a bound, listed in [`Limits`]. The server has its own accept loop, because it must
//! outlive slow and silent clients ([`Server`]).

mod auth;
mod callbacks;
mod completion;
mod connections;
mod customers;
mod deliveries;
mod docs;
mod document;
mod envelope;
mod events;
mod extract;
mod health;
mod idempotency;
mod limits;
mod measure;
mod problem;
mod rejections;
mod runs;
mod server;
mod stall;
mod state;
mod syncs;
mod tls;
mod triggers;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::response::IntoResponse;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use measure::Requests;

pub use document::{openapi, openapi_json};
pub use limits::Limits;
pub use server::{Server, ServerError};
pub use state::{Api, ApiError, OnTrigger, Setup};

/// Every route of the API, the reference and the probes.
pub fn router(api: Arc<Api>) -> Router {
    joined(api, lost(Router::new()))
}

/// A neighbour's routes, and what whoever asks for anything else is told.
pub fn lost(neighbour: Router) -> Router {
    neighbour.fallback(envelope::not_found).method_not_allowed_fallback(envelope::method_not_allowed)
}

/// The same as [`router`], with what [`lost`] made of a neighbour's routes, which share its bounds, ids and counts.
pub fn joined(api: Arc<Api>, neighbour: Router) -> Router {
    let (router, _) = routes().split_for_parts();
    let panicked = |_| problem::Problem::from(problem::Code::Internal).into_response();
    // In one layer: each takes a route apart and puts it together anew, for every request.
    let around = ServiceBuilder::new()
        .layer(middleware::from_fn_with_state(Arc::<Requests>::default(), envelope::wrap))
        .layer(CatchPanicLayer::custom(panicked));
    router
        .method_not_allowed_fallback(envelope::method_not_allowed)
        .with_state(api)
        .merge(neighbour)
        .layer(around)
}

fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(document::head())
        .routes(routes!(callbacks::receive))
        .routes(routes!(deliveries::list))
        .routes(routes!(syncs::list))
        .routes(routes!(syncs::show))
        .routes(routes!(triggers::trigger))
        .routes(routes!(triggers::pause))
        .routes(routes!(triggers::resume))
        .routes(routes!(customers::show))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(events::watch))
        .routes(routes!(rejections::list))
        .routes(routes!(triggers::retrigger))
        .routes(routes!(triggers::cancel))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(docs::json))
        .routes(routes!(docs::html))
}
