//! The OpenAPI document: what no single route says.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::Value;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder,
    Ref, RefOr, Response, ResponseBuilder, SecurityRequirement, Type, tag::TagBuilder,
};
use utoipa::{IntoResponses, PartialSchema};

use super::completion::complete;
use super::problem::{CONTENT_TYPE, Code, Document};

pub(super) const TAG_CALLBACKS: &str = "callbacks";
pub(super) const TAG_SYNCS: &str = "syncs";
pub(super) const TAG_RUNS: &str = "runs";
pub(super) const TAG_SERVICE: &str = "service";

/// Name of the bearer-token scheme.
const SCHEME: &str = "token";

/// The OpenAPI 3.1 document of the whole API.
pub fn openapi() -> Value {
    let routes = super::routes().split_for_parts().1;
    let mut document = serde_json::to_value(routes).expect("the document is plain data");
    complete(&mut document);
    document
}

/// The same as text, as `openapi/openapi.json` holds it.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn openapi_json() -> serde_json::Result<String> {
    serde_json::to_string_pretty(&openapi())
}

/// The document without its routes.
pub(super) fn head() -> OpenApi {
    let tag = |name: &str, text: &str| TagBuilder::new().name(name).description(Some(text)).build();
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("peak-braze")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("about.md").trim()))
        .license(Some(license));
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token of the config's [[tokens]]. Scopes: read, trigger, admin; none contains another.",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme(SCHEME, SecurityScheme::Http(token))
        .schema("Problem", Document::schema());
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new(SCHEME, Vec::<String>::new())]))
        .tags(Some([
            tag(TAG_CALLBACKS, "What Peak posts, and what became of it."),
            tag(TAG_SYNCS, "How each sync stands; trigger, pause, resume."),
            tag(TAG_RUNS, "Runs, their progress and their rejections."),
            tag(TAG_SERVICE, "Probes, metrics and this reference."),
        ]))
        .build()
}

/// What a route may answer besides success. Codes of one status share a response.
fn problems(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<StatusCode, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status()).or_default().push(*code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.as_str().to_owned(), RefOr::T(response(status, &codes))))
        .collect()
}

fn response(status: StatusCode, codes: &[Code]) -> Response {
    let lines: Vec<String> =
        codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect();
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(codes.iter().map(|code| (code.as_str(), example(*code))))
        .build();
    let response = ResponseBuilder::new().description(lines.join("; ")).content(CONTENT_TYPE, content);
    let header = |text: &str, kind: Type| {
        HeaderBuilder::new()
            .description(Some(text))
            .schema(Some(ObjectBuilder::new().schema_type(kind)))
            .build()
    };
    match status {
        StatusCode::UNAUTHORIZED => {
            response.header("WWW-Authenticate", header("What would do", Type::String))
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            response.header("Retry-After", header("Seconds until another try is worth it", Type::Integer))
        }
        StatusCode::CONFLICT if codes.contains(&Code::IdempotencyInProgress) => response.header(
            "Retry-After",
            header(
                "With `idempotency_in_progress`: seconds until the first is likely answered",
                Type::Integer,
            ),
        ),
        StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => response
            .header("Connection", header("`close`: what is left of the body is not read", Type::String)),
        _ => response,
    }
    .build()
}

/// A problem document of this code.
fn example(code: Code) -> Example {
    let value = serde_json::json!({
        "type": format!("/docs#problem-{}", code.as_str()),
        "title": code.title(),
        "status": code.status().as_u16(),
        "code": code.as_str(),
        "instance": "0f4e6d1c-6c62-4c0f-9d55-3d2b1f6f2a10",
    });
    ExampleBuilder::new().value(Some(value)).build()
}

macro_rules! problem_sets {
    ($($(#[$doc:meta])* $name:ident: $($code:ident)+;)+) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                problems(&[$(Code::$code),+])
            }
        }
    )+};
}

problem_sets! {
    CallbackProblems: NotJson DuplicateKey Unauthenticated NotFound BodyTimeout IdConflict BodyTooLarge UnsupportedEncoding
        UnsupportedType WrongShape Internal LedgerUnavailable Draining;
    TriggerProblems: BadRequest BadIdempotencyKey Unauthenticated Forbidden NotFound UnknownSync BodyTimeout
        IdempotencyInProgress BodyTooLarge UnsupportedEncoding UnsupportedType IdempotencyKeyReused TooManyTriggers
        Internal LedgerUnavailable Draining;
    RetriggerProblems: BadRequest BadIdempotencyKey Unauthenticated Forbidden NotFound UnknownRun UnknownSync BodyTimeout
        WrongState
        IdempotencyInProgress BodyTooLarge UnsupportedEncoding UnsupportedType IdempotencyKeyReused TooManyTriggers
        Internal LedgerUnavailable Draining;
    CancelProblems: Unauthenticated Forbidden NotFound UnknownRun WrongState Internal LedgerUnavailable;
    PauseProblems: Unauthenticated Forbidden NotFound UnknownSync Internal LedgerUnavailable;
    SyncsProblems: Unauthenticated Forbidden Internal LedgerUnavailable;
    SyncProblems: Unauthenticated Forbidden NotFound UnknownSync Internal LedgerUnavailable;
    CustomerProblems: Unauthenticated Forbidden NotFound UnknownSync UnknownCustomer Internal LedgerUnavailable;
    RunProblems: Unauthenticated Forbidden NotFound UnknownRun Internal LedgerUnavailable;
    RunsProblems: BadRequest BadCursor Unauthenticated Forbidden Internal LedgerUnavailable;
    DeliveriesProblems: BadRequest BadCursor Unauthenticated Forbidden UnknownSync Internal LedgerUnavailable;
    RejectionsProblems: BadRequest BadCursor Unauthenticated Forbidden NotFound UnknownRun Internal LedgerUnavailable;
    StreamProblems: Unauthenticated Forbidden NotFound UnknownRun Internal LedgerUnavailable TooManyStreams;
    ReadyProblems: LedgerUnavailable Draining;
    MetricsProblems: Unauthenticated Forbidden;
}
