//! The web pages: how every sync stands, what every run did, what arrived, and the few actions a person needs.
//!
//! Everything is drawn here, in the process that knows, and works without a script: actions are forms, pages refresh
//! plainly. One small script keeps what is shown up to date. Style and script are served from here under names that
//! change with their content; nothing is fetched from anywhere else, and the Content-Security-Policy says so.

mod actions;
mod asset;
mod chart;
mod deliveries;
mod first;
mod form;
mod headers;
mod history;
mod live;
mod overview;
mod progress;
mod reason;
mod receipt;
mod refusal;
mod rejections;
mod run;
mod shell;
mod sign_in;
mod state;
mod sync;
mod timeline;
mod visitor;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

pub use state::{Pages, Prepared, Setup};

/// Every page, action and asset.
pub fn router(pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/", get(overview::show))
        .route("/sign-in", get(sign_in::form).post(sign_in::enter))
        .route("/sign-out", post(sign_in::leave))
        .route("/syncs/{id}", get(sync::show))
        .route("/syncs/{id}/run", post(actions::run))
        .route("/syncs/{id}/pause", post(actions::pause))
        .route("/syncs/{id}/resume", post(actions::resume))
        .route("/runs/{id}", get(run::show))
        .route("/runs/{id}/live", get(live::watch))
        .route("/runs/{id}/rejections", get(rejections::list))
        .route("/runs/{id}/rejections.csv", get(rejections::sheet))
        .route("/runs/{id}/retrigger", post(actions::retrigger))
        .route("/runs/{id}/cancel", post(actions::cancel))
        .route("/deliveries", get(deliveries::list))
        .route("/assets/{name}", get(asset::serve))
        .layer(middleware::from_fn(headers::secure))
        .with_state(pages)
}

/// Answers a person who follows a link to nowhere with a page, where a program gets a problem document.
pub fn with_lost_page(router: Router) -> Router {
    router.layer(middleware::from_fn(refusal::for_people))
}
