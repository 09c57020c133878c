//! What a rule's answer does to a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::call::{ARRAYS, Call};
use super::gate;
use super::reply::{Content, Reply};
use super::route::Route;
use super::rule::{Announce, Answer, Rule};
use super::server::{Cut, take_in};
use super::shared::Shared;
use super::track::Tamper;

/// 2099-01-01 in epoch seconds.
const YEAR_2099: f64 = 4_070_908_800.0;

/// An answer, and whether it carries the usual rate headers.
pub(super) struct Played {
    pub(super) reply: Reply,
    pub(super) rate_headers: bool,
}

/// Plays `rule` on one request, its waits included. A request held before it is applied is so in a task of its own:
/// it happens even if the client goes.
pub(super) async fn play(
    shared: Arc<Shared>,
    rule: Arc<Rule>,
    route: Route,
    call: Call,
    number: u64,
) -> Result<Played, Cut> {
    shared.books(|books| books.stats.faults += 1);
    if rule.hold_before_apply {
        let task = held_before(Arc::clone(&shared), rule, route, call, number);
        let stop = shared.stop.clone();
        let outcome = shared.tasks.spawn(stop.run_until_cancelled_owned(task)).await;
        return outcome.ok().flatten().unwrap_or(Err(Cut));
    }
    let outcome = act(&shared, &rule, route, call, number);
    tokio::time::sleep(Duration::from_millis(rule.delay_ms)).await;
    hold(&shared, rule.hold.as_deref()).await;
    outcome
}

async fn held_before(
    shared: Arc<Shared>,
    rule: Arc<Rule>,
    route: Route,
    call: Call,
    number: u64,
) -> Result<Played, Cut> {
    hold(&shared, rule.hold.as_deref()).await;
    tokio::time::sleep(Duration::from_millis(rule.delay_ms)).await;
    act(&shared, &rule, route, call, number)
}

async fn hold(shared: &Shared, name: Option<&str>) {
    /// Counts itself out however the wait ends.
    struct Held<'a>(&'a Shared);
    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.books(|books| books.stats.held -= 1);
        }
    }
    if let Some(name) = name {
        let mut held = None;
        shared.holds.wait(name, || held = Some(count_held(shared))).await;
        drop(held);
    }

    fn count_held(shared: &Shared) -> Held<'_> {
        shared.books(|books| books.stats.held += 1);
        Held(shared)
    }
}

fn act(shared: &Shared, rule: &Rule, route: Route, call: Call, number: u64) -> Result<Played, Cut> {
    if let Some(tamper) = tamper(&rule.answer) {
        let sent = call.body.count().objects;
        let mut reply = take_in(shared, route, call, number, &tamper);
        distort(&rule.answer, &mut reply, sent);
        return Ok(Played { reply, rate_headers: true });
    }
    let mut outcome = dictated(shared, &rule.answer, route, &call);
    let status = outcome.as_ref().map_or(0, |reply| reply.status);
    let by_default = (200..300).contains(&status) || rule.answer == Answer::ResetAfterApply;
    if rule.apply.unwrap_or(by_default) {
        let usual = take_in(shared, route, call, number, &Tamper::default());
        if let Ok(reply) = &mut outcome {
            complete(&rule.answer, reply, &usual);
        }
    }
    let rate_headers = !matches!(rule.answer, Answer::RateLimited { .. });
    outcome.map(|reply| Played { reply, rate_headers })
}

/// How the handling changes under answers that start from the usual one; none for the others.
fn tamper(answer: &Answer) -> Option<Tamper> {
    let leave_out = match answer {
        Answer::Pass | Answer::ExtraFields | Answer::SlowBody { .. } => 0,
        Answer::Unindexed | Answer::IndexOutOfRange | Answer::WrongArray | Answer::StringError => 1,
        Answer::Unaccounted { missing } => *missing,
        Answer::Refuse { external_ids, error } => {
            return Some(Tamper { refuse: external_ids.clone(), error: error.clone(), leave_out: 0 });
        }
        _ => return None,
    };
    Some(Tamper { leave_out, ..Tamper::default() })
}

/// Spoils the usual answer. Errors of the request's own stay as they are.
fn distort(answer: &Answer, reply: &mut Reply, sent: usize) {
    if let Answer::SlowBody { every_ms } = answer {
        reply.body = Content::Slow(reply.text(), Duration::from_millis(*every_ms));
        return;
    }
    let Content::Json(Value::Object(body)) = &mut reply.body else { return };
    let error = match answer {
        Answer::Unindexed => json!({"type": "invalid object", "input_array": ARRAYS[0]}),
        Answer::IndexOutOfRange => json!({"type": "invalid object", "input_array": ARRAYS[0], "index": sent}),
        Answer::WrongArray => {
            json!({"type": "invalid object", "input_array": ARRAYS[1], "index": sent.saturating_sub(1)})
        }
        Answer::StringError => json!("invalid object"),
        Answer::ExtraFields => {
            body.insert("trace_id".into(), "0f3a".into());
            body.insert("warnings".into(), json!([{"level": 1}]));
            return;
        }
        _ => return,
    };
    if let Some(errors) = body.entry("errors").or_insert_with(|| json!([])).as_array_mut() {
        errors.push(error);
    }
}

/// The answers that do not depend on the body.
fn dictated(shared: &Shared, answer: &Answer, route: Route, call: &Call) -> Result<Reply, Cut> {
    let empty =
        |status, headers| Reply { status, headers, body: Content::Text("application/json", String::new()) };
    Ok(match answer {
        Answer::Reply { status, headers, body } => reply(*status, headers, body),
        Answer::Status { status } => Reply::message(*status, usual_message(*status)),
        Answer::Html { status } => {
            let page =
                format!("<html><body><h1>{status}</h1><p>{}</p></body></html>", usual_message(*status));
            Reply { status: *status, headers: Vec::new(), body: Content::Text("text/html", page) }
        }
        Answer::RateLimited { announce } => rate_limited(shared, *announce, route),
        Answer::Message { message } => Reply::message(201, message),
        Answer::Queued => Reply::message(202, "queued"),
        Answer::Huge { bytes, every_ms } => {
            let body = Content::Huge(*bytes, Duration::from_millis(*every_ms));
            Reply { status: 201, headers: Vec::new(), body }
        }
        Answer::GzipBomb { bytes } => {
            Reply { status: 201, headers: Vec::new(), body: Content::GzipBomb(*bytes) }
        }
        Answer::EchoKey { status } => {
            let key = gate::key(call).unwrap_or_default();
            Reply::message(*status, &format!("Invalid API key: {key}")).with_header("x-received-key", key)
        }
        Answer::Redirect { status, location } => empty(*status, vec![("location".into(), location.clone())]),
        Answer::ResetBeforeApply | Answer::ResetAfterApply => return Err(Cut),
        // Empty, Truncated, Cut: completed from the usual answer. The rest never comes here.
        _ => empty(201, Vec::new()),
    })
}

/// Fills the answers that show a part of the usual one.
fn complete(answer: &Answer, reply: &mut Reply, usual: &Reply) {
    let text = usual.text();
    match answer {
        Answer::Truncated => {
            let half = text[..text.floor_char_boundary(text.len() / 2)].to_owned();
            reply.body = Content::Text("application/json", half);
        }
        Answer::Cut => reply.body = Content::Cut(text),
        _ => {}
    }
}

fn reply(status: u16, headers: &BTreeMap<String, String>, body: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Reply { status, headers, body: Content::Text("application/json", body.to_owned()) }
}

fn usual_message(status: u16) -> &'static str {
    match status {
        401 => "Invalid API key",
        403 => "Access Denied",
        404 => "Not Found",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        429 => "Rate Limited",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}

fn rate_limited(shared: &Shared, announce: Announce, route: Route) -> Reply {
    let now = shared.epoch();
    let reply = Reply::message(429, "Rate Limited");
    let (name, value, until) = match announce {
        Announce::Nothing => return reply,
        Announce::Epoch { secs } => {
            let until = (now + secs as f64).ceil();
            ("x-ratelimit-reset", format!("{until:.0}"), until)
        }
        Announce::SecondsLeft { secs } => ("x-ratelimit-reset", secs.to_string(), now + secs as f64),
        Announce::RetryAfter { secs } => ("x-ratelimit-retry-after", secs.to_string(), now + secs as f64),
        Announce::StandardRetryAfter { secs } => ("retry-after", secs.to_string(), now + secs as f64),
        Announce::Past => ("x-ratelimit-reset", format!("{:.0}", now - 60.0), now - 60.0),
        Announce::Year2099 => ("x-ratelimit-reset", format!("{YEAR_2099:.0}"), YEAR_2099),
    };
    shared.books(|books| books.announce(route, now, until));
    reply.with_header(name, &value)
}
