//! The OpenAPI document: what no single route says.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder,
    Ref, RefOr, Response, ResponseBuilder, SecurityRequirement, Type, tag::TagBuilder,
};
use utoipa::{IntoResponses, PartialSchema};

use super::problem::{CONTENT_TYPE, Code, Document};

pub(super) const TAG_CALLBACKS: &str = "callbacks";
pub(super) const TAG_SYNCS: &str = "syncs";
pub(super) const TAG_RUNS: &str = "runs";
pub(super) const TAG_SERVICE: &str = "service";

/// Name of the bearer-token scheme.
const SCHEME: &str = "token";

/// The OpenAPI 3.1 document of the whole API.
pub fn openapi() -> OpenApi {
    super::routes().split_for_parts().1
}

/// The same as text, as `openapi/openapi.json` holds it.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn openapi_json() -> serde_json::Result<String> {
    openapi().to_pretty_json()
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
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
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
        _ => response,
    }
    .build()
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
    CallbackProblems: NotJson DuplicateKey Unauthenticated BodyTimeout IdConflict BodyTooLarge UnsupportedEncoding
        UnsupportedType WrongShape LedgerUnavailable Draining;
    StartProblems: BadRequest BadIdempotencyKey Unauthenticated Forbidden UnknownSync UnknownRun BodyTimeout WrongState
        IdempotencyInProgress BodyTooLarge UnsupportedEncoding UnsupportedType IdempotencyKeyReused TooManyTriggers
        LedgerUnavailable Draining;
    ActionProblems: Unauthenticated Forbidden UnknownSync UnknownRun WrongState LedgerUnavailable;
    ReadProblems: Unauthenticated Forbidden UnknownSync UnknownRun UnknownCustomer LedgerUnavailable;
    ListProblems: BadRequest BadCursor Unauthenticated Forbidden UnknownSync UnknownRun LedgerUnavailable;
    StreamProblems: Unauthenticated Forbidden UnknownRun TooManyStreams LedgerUnavailable;
    ReadyProblems: LedgerUnavailable Draining;
    MetricsProblems: Unauthenticated Forbidden;
}
