//! The checks before a body is looked at: key, content type, rate. All routes share them.

use super::call::Call;
use super::reply::Reply;
use super::route::Route;
use super::shared::Shared;

/// Lets the request through with the rate headers its answer carries, or refuses it.
pub(super) fn enter(
    shared: &Shared,
    call: &Call,
    route: Route,
) -> Result<Vec<(&'static str, String)>, Reply> {
    authorize(shared, call, route)?;
    if route.has_body() && !is_json(call) {
        return Err(Reply::message(415, "Unsupported Media Type"));
    }
    let now = shared.epoch();
    let admission = shared.limiter.lock().expect("no holder of the limiter panics").admit(route, now);
    let Some(until) = admission.refused_until else { return Ok(admission.headers) };
    shared.books(|books| books.announce(route, now, until));
    Err(with_headers(Reply::message(429, "Rate Limited"), &admission.headers))
}

pub(super) fn with_headers(reply: Reply, headers: &[(&'static str, String)]) -> Reply {
    headers.iter().fold(reply, |reply, (name, value)| reply.with_header(name, value))
}

/// The key of the request, if it comes as `Bearer <key>`. The docs: quotes around it, or no `Bearer`, are 401.
pub(super) fn key(call: &Call) -> Option<&str> {
    let header = call.headers.get("authorization")?.to_str().ok()?;
    header.strip_prefix("Bearer ").map(str::trim).filter(|key| !key.is_empty() && !key.starts_with('"'))
}

fn authorize(shared: &Shared, call: &Call, route: Route) -> Result<(), Reply> {
    let known =
        key(call).is_some_and(|key| shared.settings.api_key.as_deref().is_none_or(|known| known == key));
    if !known {
        return Err(Reply::message(401, "Invalid API key"));
    }
    if shared.settings.denied.contains(&route.permission()) {
        return Err(Reply::message(403, "Access Denied"));
    }
    Ok(())
}

fn is_json(call: &Call) -> bool {
    let content_type =
        call.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}
