//! What to do where nothing has happened yet.

use axum::http::{HeaderMap, header};
use maud::{Markup, html};

use super::state::Pages;
use crate::config::{self, CallbackScheme, SecretRef};

/// The address people reach us at, as their browser has it; for commands to copy.
pub(super) fn origin(pages: &Pages, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // It goes into a command: only what an address is made of.
    let is_plain =
        |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte));
    let host = host.filter(is_plain).unwrap_or("127.0.0.1:8080");
    let https = pages.setup.tls || headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    format!("{}://{host}", if https { "https" } else { "http" })
}

/// How to send this sync its first callback.
pub(super) fn callback(sync: &config::Sync, origin: &str) -> Markup {
    let Some(callback) =
        sync.callback.as_ref().filter(|callback| callback.scheme == CallbackScheme::Standard)
    else {
        return html! { p { "Start a run with " b { "Sync now" } ", or wait for Peak's callback or the schedule." } };
    };
    let secret = match callback.secrets.first() {
        Some(SecretRef::Env(name)) => name.as_str(),
        _ => "PEAK_CALLBACK_SECRET",
    };
    let command = format!(
        "body='{{\"type\":\"model.run.completed\",\"data\":{{}}}}'\n\
         curl -i -X POST {origin}/v1/callbacks/{} -H 'content-type: application/json' \\\n  \
         $(printf %s \"$body\" | peak-braze sign --secret-env {secret}) -d \"$body\"",
        sync.id
    );
    html! {
        p { "Start a run with " b { "Sync now" } ", or send a first callback as Peak would, with the secret in "
            code { (secret) } ":" }
        pre tabindex="0" role="region" aria-label="Command" { code { (command) } }
        p.quiet { code { "deploy/peak" } " has the workflow that makes Peak call by itself; "
            code { "peak-braze check" } " looks at everything a run needs." }
    }
}
