//! The pages as HTTP: who gets in, what is taken from a form, what stands in the headers, and that no text becomes markup.

use chrono::TimeDelta;
use peak_braze::clock::Clock;
use peak_braze::run::RunState;
use reqwest::{RequestBuilder, StatusCode, header};
use serde_json::json;

use crate::support::app::{CALLBACK_SECRET, SYNC, Setup, TOKEN, TestApp, ago};

const WATCHER: &str = "token-that-may-only-ever-look";
const LIMITED: &str = "token-that-sees-another-sync";
const STARTER: &str = "token-that-may-start-but-not-look";

/// Tokens besides the one that may everything, and a second sync.
fn peopled(setup: Setup) -> Setup {
    let notify = r#"
[[tokens]]
name = "watcher"
token = "file:watcher"
scopes = ["read"]

[[tokens]]
name = "limited"
token = "file:limited"
scopes = ["read", "trigger"]
syncs = ["other"]

[[tokens]]
name = "starter"
token = "file:starter"
scopes = ["trigger"]

[[syncs]]
id = "other"
source = "warehouse"
destination = "braze"
table = "predictions"
key = "customer_id"
updated_at = "updated_at"
callback = { secrets = ["file:callback"] }
attributes = [{ column = "band", name = "peak_other" }]
"#;
    let files = vec![("watcher", WATCHER), ("limited", LIMITED), ("starter", STARTER)];
    Setup { notify: notify.to_owned(), files, ..setup }
}

/// Fields as a browser sends them.
trait Form {
    fn form(self, fields: &[(&str, &str)]) -> Self;
}

impl Form for RequestBuilder {
    fn form(self, fields: &[(&str, &str)]) -> Self {
        let mut encoded = reqwest::Url::parse("http://form").expect("an address");
        encoded.query_pairs_mut().extend_pairs(fields);
        let body = encoded.query().unwrap_or_default().to_owned();
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }
}

/// Somebody's browser, as far as HTTP goes.
struct Person<'a> {
    app: &'a TestApp,
    cookie: String,
}

struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The word that forms of this page carry.
    fn csrf(&self) -> &str {
        let (_, rest) = self.text.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split_once('"').expect("a value").0
    }
}

async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("text") }
}

async fn enter(app: &TestApp, token: &str) -> Answer {
    send(app.http.post(app.url("/sign-in")).form(&[("token", token), ("back", "/deliveries")])).await
}

impl<'a> Person<'a> {
    async fn signed_in(app: &'a TestApp, token: &str) -> Self {
        let answer = enter(app, token).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/deliveries"));
        let cookie = answer.header("set-cookie").split(';').next().expect("a cookie").to_owned();
        Self { app, cookie }
    }

    async fn get(&self, path: &str) -> Answer {
        send(self.app.http.get(self.app.url(path)).header("cookie", &self.cookie)).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        send(self.app.http.post(self.app.url(path)).header("cookie", &self.cookie).form(fields)).await
    }

    /// Presses a button of `page`.
    async fn press(&self, page: &str, action: &str) -> Answer {
        let page = self.get(page).await;
        assert!(page.text.contains(&format!("action=\"{action}\"")), "no such button: {action}");
        self.post(action, &[("csrf", page.csrf())]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_has_the_headers_that_keep_it_to_itself() {
    let app = TestApp::start(Setup::customers(3)).await;
    let run = app.run("delta").await;
    let person = Person::signed_in(&app, TOKEN).await;
    let run = format!("/runs/{}", run.id);
    let rejections = format!("{run}/rejections");
    for path in ["/", "/deliveries", "/syncs/predictions", &run, &rejections, "/sign-in", "/syncs/nowhere"] {
        let page = person.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{path}: {policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert!(!page.header("x-request-id").is_empty());
        assert!(
            !page.text.contains(" style=")
                && !page.text.contains("<style")
                && !page.text.contains(" onclick")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_kept_for_good_under_names_that_change_with_them() {
    let app = TestApp::start(Setup::default()).await;
    let page = send(app.http.get(app.url("/sign-in"))).await;
    let (_, rest) = page.text.split_once("href=\"/assets/").expect("a stylesheet");
    let name = rest.split_once('"').expect("a name").0;
    let style = send(app.http.get(app.url(&format!("/assets/{name}")))).await;
    assert_eq!((style.status, style.header("content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    assert_eq!(style.header("cache-control"), "public, max-age=31536000, immutable");
    let stale = send(app.http.get(app.url("/assets/style-0000000000000000.css"))).await;
    assert_eq!((stale.status, stale.header("cache-control")), (StatusCode::NOT_FOUND, "no-store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_page_without_a_token_that_may_read() {
    let app = TestApp::start(peopled(Setup::customers(3))).await;
    let page = send(app.http.get(app.url("/syncs/predictions?cursor=x"))).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.header("location"), "/sign-in?back=/syncs/predictions%3Fcursor%3Dx");
    let wrong = enter(&app, "a-token-that-nobody-has-given").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (StatusCode::FORBIDDEN, ""));
    assert!(wrong.text.contains("No token in force is like this one"));
    let blind = enter(&app, STARTER).await;
    assert_eq!((blind.status, blind.header("set-cookie")), (StatusCode::FORBIDDEN, ""));
    assert!(blind.text.contains("lacks the scope read"));
    let forged = Person { app: &app, cookie: "peak_braze_session=1.b3Bz.1.x.y".to_owned() };
    assert!(forged.get("/").await.header("location").ends_with("why=expired"));
    let away =
        send(app.http.post(app.url("/sign-in")).form(&[("token", TOKEN), ("back", "//evil.example")])).await;
    assert_eq!(away.header("location"), "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_out_of_reach_and_secure_behind_tls() {
    let app = TestApp::start(Setup::default()).await;
    let plain = enter(&app, TOKEN).await;
    let cookie = plain.header("set-cookie");
    assert!(cookie.starts_with("peak_braze_session=1."), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(TOKEN));
    let request =
        app.http.post(app.url("/sign-in")).header("x-forwarded-proto", "https").form(&[("token", TOKEN)]);
    let secure = send(request).await;
    let cookie = secure.header("set-cookie");
    assert!(cookie.starts_with("__Host-peak_braze_session=1.") && cookie.ends_with("; Secure"), "{cookie}");
    let secure = cookie.split(';').next().expect("a cookie");
    let page = send(app.http.get(app.url("/")).header("cookie", secure).header("x-forwarded-proto", "https"));
    assert_eq!(page.await.status, StatusCode::OK);
    let person = Person::signed_in(&app, TOKEN).await;
    let left = person.press("/", "/sign-out").await;
    let forgotten: Vec<&[u8]> =
        left.headers.get_all("set-cookie").iter().map(header::HeaderValue::as_bytes).collect();
    assert_eq!(
        forgotten,
        [
            &b"peak_braze_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"[..],
            b"__Host-peak_braze_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_here_has_its_own_cookie_and_takes_no_other() {
    let app = TestApp::start(Setup::default()).await;
    let plain = Person::signed_in(&app, TOKEN).await.cookie;
    let secure = format!("__Host-{plain}");
    for (proto, cookie, status) in [
        ("http", &plain, StatusCode::OK),
        ("http", &secure, StatusCode::SEE_OTHER),
        ("https", &secure, StatusCode::OK),
        ("https", &plain, StatusCode::SEE_OTHER),
        ("https", &format!("{plain}; {secure}"), StatusCode::OK),
    ] {
        let page = app.http.get(app.url("/")).header("cookie", cookie).header("x-forwarded-proto", proto);
        assert_eq!(send(page).await.status, status, "{proto}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_after_twelve_hours_and_when_its_token_changes() {
    let clock = Clock::manual(Clock::system().now());
    let app = TestApp::start(Setup { clock: clock.clone(), ..peopled(Setup::default()) }).await;
    let person = Person::signed_in(&app, TOKEN).await;
    clock.advance(TimeDelta::hours(12) - TimeDelta::seconds(2));
    assert_eq!(person.get("/").await.status, StatusCode::OK);
    clock.advance(TimeDelta::seconds(3));
    assert_eq!(person.get("/").await.header("location"), "/sign-in?back=/&why=expired");

    let (person, other) = (Person::signed_in(&app, TOKEN).await, Person::signed_in(&app, WATCHER).await);
    std::fs::write(app.path("token"), "another-token-in-its-place").expect("a secret file");
    app.app().reload().await.expect("the config is as good as before");
    assert_eq!(person.get("/").await.status, StatusCode::SEE_OTHER);
    assert_eq!(other.get("/").await.status, StatusCode::OK, "another token's session stays");
    assert_eq!(enter(&app, TOKEN).await.status, StatusCode::FORBIDDEN);
    assert_eq!(enter(&app, "another-token-in-its-place").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_or_session_does_nothing() {
    let app = TestApp::start(Setup::customers(3)).await;
    let (person, other) = (Person::signed_in(&app, TOKEN).await, Person::signed_in(&app, TOKEN).await);
    let theirs = other.get("/").await;
    for fields in [&[][..], &[("csrf", "")], &[("csrf", theirs.csrf())]] {
        let refused = person.post("/syncs/predictions/run", fields).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(refused.text.contains("Nothing was done"));
    }
    let mine = person.get("/").await;
    let request = app.http.post(app.url("/syncs/predictions/run")).header("cookie", &person.cookie);
    let request = request.form(&[("csrf", mine.csrf())]);
    let copy = request.try_clone().expect("no stream");
    assert_eq!(send(copy.header("sec-fetch-site", "cross-site")).await.status, StatusCode::FORBIDDEN);
    let login =
        app.http.post(app.url("/sign-in")).header("sec-fetch-site", "cross-site").form(&[("token", TOKEN)]);
    assert_eq!(send(login).await.status, StatusCode::FORBIDDEN);
    assert_eq!(app.get("/v1/runs").await["runs"], json!([]), "no run came of it");
    let signed_out =
        send(app.http.post(app.url("/syncs/predictions/run")).form(&[("csrf", mine.csrf())])).await;
    assert_eq!(signed_out.header("location"), "/sign-in?back=/syncs/predictions");
    assert_eq!(send(request).await.status, StatusCode::SEE_OTHER);
    assert_eq!(app.get("/v1/runs").await["runs"].as_array().expect("a list").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_only_look_finds_no_button_and_is_refused() {
    let app = TestApp::start(peopled(Setup::customers(3))).await;
    let run = app.run("delta").await.id;
    let person = Person::signed_in(&app, WATCHER).await;
    for path in ["/".to_owned(), format!("/syncs/{SYNC}"), format!("/runs/{run}")] {
        let page = person.get(&path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.text.matches("method=\"post\"").count(), 1, "signing out alone: {path}");
    }
    let csrf = person.get("/").await.csrf().to_owned();
    for what in ["syncs/predictions/run", "syncs/predictions/pause", "syncs/predictions/resume"] {
        let refused = person.post(&format!("/{what}"), &[("csrf", &csrf)]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}");
        assert!(refused.text.contains("scope trigger"));
    }
    for what in ["retrigger", "cancel"] {
        let refused = person.post(&format!("/runs/{run}/{what}"), &[("csrf", &csrf)]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}");
    }
    assert_eq!(app.get("/v1/runs").await["runs"].as_array().expect("a list").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_outside_a_tokens_list_are_not_there() {
    let app = TestApp::start(peopled(Setup::customers(3))).await;
    let run = app.deliver_and_finish("evt_theirs").await.id;
    let person = Person::signed_in(&app, LIMITED).await;
    for path in ["/", "/deliveries", "/deliveries?outcome=accepted"] {
        let page = person.get(path).await.text;
        assert!(!page.contains("predictions") && !page.contains("evt_theirs"), "{path}");
    }
    let csrf = person.get("/").await.csrf().to_owned();
    for path in ["/syncs/predictions", "/deliveries?sync=predictions"] {
        assert_eq!(person.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for rest in ["", "/rejections", "/rejections.csv", "/live"] {
        assert_eq!(person.get(&format!("/runs/{run}{rest}")).await.status, StatusCode::NOT_FOUND, "{rest}");
    }
    for path in ["/syncs/predictions/run", "/syncs/predictions/pause"] {
        assert_eq!(person.post(path, &[("csrf", &csrf)]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(person.press("/", "/syncs/other/run").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_sync_that_is_configured_no_more_is_not_repeated() {
    let mut app = TestApp::start(peopled(Setup::customers(3))).await;
    let (status, started) = app.post("/v1/syncs/other/runs", &json!({})).await;
    assert_eq!(status, 202);
    let run = started["run_id"].as_str().expect("an id").to_owned();
    app.finished(run.parse().expect("an id")).await;
    app.change(|setup| setup.notify.clear());
    app.app().reload().await.expect("a config");
    let (status, problem) = app.post(&format!("/v1/runs/{run}/retrigger"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND.as_u16(), &json!("unknown_sync")));
    let person = Person::signed_in(&app, TOKEN).await;
    let page = person.get(&format!("/runs/{run}")).await;
    assert!(page.status == StatusCode::OK && !page.text.contains("retrigger"), "{}", page.text);
    let refused = person.post(&format!("/runs/{run}/retrigger"), &[("csrf", page.csrf())]).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert_eq!(app.get("/v1/runs").await["runs"].as_array().expect("a list").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_from_elsewhere_stays_text() {
    let nasty = "<script>alert(1)</script>\"'&";
    let mut setup = peopled(Setup::customers(1));
    setup.seed += &format!(
        "insert into predictions values ('{}', '{}', 'soon', 'low');",
        nasty.replace('\'', "''"),
        ago(60)
    );
    setup.callback = format!("events = [\"model.run.completed\", {}]", json!(nasty));
    let app = TestApp::start(setup).await;
    let body = json!({ "type": nasty, "data": { "model": nasty, "model_version": "<b>\r\n" } });
    assert_eq!(app.post_callback("evt_<img>", &body).await.status(), 202);
    let run = app.get("/v1/runs").await["runs"][0]["id"].as_str().expect("a run").to_owned();
    let done = app.finished(run.parse().expect("an id")).await;
    assert_eq!(done.state, RunState::Partial);
    let body = json!({ "mode": "delta", "reason": format!("{nasty}\r\n{nasty}") });
    let reasoned = app.trigger(&body).await;
    app.finished(reasoned).await;
    let person = Person::signed_in(&app, TOKEN).await;
    let (run, reasoned) = (format!("/runs/{run}"), format!("/runs/{reasoned}"));
    let (live, list) = (format!("{reasoned}/live"), format!("{run}/rejections"));
    for path in ["/", "/deliveries", "/syncs/predictions", &run, &list, &reasoned, &live] {
        let page = person.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!page.text.contains("<script>alert") && !page.text.contains("<img>"), "{path}");
    }
    assert!(person.get("/deliveries").await.text.contains("&lt;script&gt;alert(1)"));
    assert!(person.get(&list).await.text.contains("&lt;script&gt;alert(1)"));
    assert!(person.get(&reasoned).await.text.contains("&lt;script&gt;alert(1)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejections_come_as_a_list_and_as_the_apis_own_sheet() {
    let mut setup = Setup::customers(120);
    setup.seed += "update predictions set churn = 'soon';";
    let app = TestApp::start(setup).await;
    let run = app.run("delta").await;
    let person = Person::signed_in(&app, TOKEN).await;
    let path = format!("/runs/{}/rejections", run.id);
    let (mut next, mut seen) = (Some(path.clone()), 0);
    while let Some(path) = next {
        let page = person.get(&path).await.text;
        seen += page.matches("wrong_type").count();
        let link = page.split("<a class=\"button\" href=\"").skip(1).find(|link| link.contains(">Next<"));
        let link = link.filter(|link| link.find(">Next<") < link.find("</a>"));
        next = link.map(|link| link.split_once('"').expect("an address").0.to_owned());
    }
    assert_eq!(seen, 120);
    let sheet = person.get(&format!("{path}.csv")).await;
    assert_eq!(sheet.header("content-type"), "text/csv; charset=utf-8");
    assert!(sheet.header("content-disposition").starts_with("attachment; filename=\"rejections-"));
    let request =
        app.http.get(app.url(&format!("/v1{path}"))).bearer_auth(TOKEN).header("accept", "text/csv");
    assert_eq!((sheet.text.lines().count(), sheet.text), (121, send(request).await.text));
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_told_apart_and_explained() {
    let app = TestApp::start(peopled(Setup::customers(3))).await;
    app.deliver_and_finish("evt_good").await;
    app.post_callback("evt_good", &json!({ "type": "model.run.completed", "data": {} })).await;
    app.post_callback("evt_odd", &json!({ "type": "something.else" })).await;
    let forged =
        app.http.post(app.url("/v1/callbacks/predictions")).header("content-type", "application/json");
    let forged =
        forged.header("webhook-id", "evt_bad").header("webhook-timestamp", Clock::system().now().timestamp());
    let forged = forged.header("webhook-signature", format!("v1,{}=", "A".repeat(43))).body("{}");
    assert_eq!(send(forged).await.status, StatusCode::UNAUTHORIZED);
    let person = Person::signed_in(&app, TOKEN).await;
    for (outcome, word) in [
        ("accepted", "evt_good"),
        ("duplicate", "evt_good"),
        ("ignored", "none of the sync&#39;s callback.events"),
        ("refused", "Signed with another secret"),
    ] {
        let page = person.get(&format!("/deliveries?sync=&outcome={outcome}")).await;
        let word = word.replace("&#39;", "'");
        assert!(page.text.contains(&word), "{outcome}: {}", page.text);
        assert_eq!(page.text.matches("class=\"badge ").count(), 1, "{outcome} alone");
    }
    assert!(!person.get("/deliveries").await.text.contains(CALLBACK_SECRET));
    assert_eq!(person.get("/deliveries?outcome=odd").await.status, StatusCode::NOT_FOUND);
    assert_eq!(person.get("/deliveries?cursor=odd").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_has_a_bound() {
    let app = TestApp::start(Setup::default()).await;
    let mut refused = 0;
    for _ in 0..40 {
        let answer = enter(&app, "a-token-that-nobody-has-given").await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(!answer.header("retry-after").is_empty());
            refused += 1;
        }
    }
    assert_eq!(refused, 10);
    assert_eq!(enter(&app, TOKEN).await.status, StatusCode::TOO_MANY_REQUESTS, "the right one waits, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_are_lost_get_a_page_and_programs_a_problem() {
    let app = TestApp::start(Setup::default()).await;
    let ask = |path: &str, accept: &str| send(app.http.get(app.url(path)).header("accept", accept));
    let page = ask("/nowhere", "text/html,*/*").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (StatusCode::NOT_FOUND, "text/html; charset=utf-8")
    );
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(!page.header("x-request-id").is_empty());
    for (path, accept) in [("/nowhere", "application/json"), ("/v1/nowhere", "text/html")] {
        assert_eq!(ask(path, accept).await.header("content-type"), "application/problem+json");
    }
    let followed = app.http.get(app.url("/runs/x?y=z")).header("sec-fetch-site", "cross-site");
    let moment = send(followed).await;
    assert_eq!(moment.status, StatusCode::OK);
    assert!(moment.text.contains("http-equiv=\"refresh\" content=\"0; url=/runs/x?y=z\""), "{}", moment.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_has_happened_the_next_step_stands() {
    let mut app = TestApp::start(Setup::customers(3)).await;
    app.change(|setup| setup.cadence = "cron = \"0 6 * * *\"\n  stale_after = \"26h\"".to_owned());
    app.app().reload().await.expect("a config");
    let person = Person::signed_in(&app, TOKEN).await;
    for path in ["/", "/syncs/predictions", "/deliveries"] {
        let page = person.get(path).await.text;
        let host = app.url("").replace("http://", "");
        assert!(
            page.contains(&format!("curl -i -X POST http://{host}/v1/callbacks/predictions")),
            "{path}: {page}"
        );
        assert!(page.contains("peak-braze sign --secret-env PEAK_CALLBACK_SECRET"), "{path}");
    }
    let page = person.get("/syncs/predictions").await.text;
    assert!(page.contains("0 6 * * *") && page.contains("26 h") && page.contains("peak_churn"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_sync_from_running_is_said_with_the_next_step() {
    let mut app = TestApp::start(Setup::customers(3)).await;
    std::fs::write(app.path("braze"), "another-key-of-another-workspace").expect("a secret file");
    app.app().reload().await.expect("a config");
    assert_eq!(app.run("delta").await.state, RunState::Failed);
    let person = Person::signed_in(&app, TOKEN).await;
    let page = person.get("/").await.text;
    assert!(page.contains("Blocked") && page.contains("Braze refuses the API key"), "{page}");
    let paused = person.press("/", "/syncs/predictions/pause").await;
    assert_eq!(paused.header("location"), "/");
    assert!(person.get("/").await.text.contains("Paused"));
    assert_eq!(app.sync_state().await["paused"], true);
    let queued = app.trigger(&json!({})).await;
    let cancelled = person.press(&format!("/runs/{queued}"), &format!("/runs/{queued}/cancel")).await;
    assert_eq!(cancelled.header("location"), format!("/runs/{queued}?said=cancelling"));
    let csrf = person.get("/").await.csrf().to_owned();
    let late = person.post(&format!("/runs/{queued}/cancel"), &[("csrf", &csrf)]).await;
    assert_eq!(late.header("location"), format!("/runs/{queued}?said=over"));
    person.press("/", "/syncs/predictions/resume").await;
    assert_eq!(app.sync_state().await["paused"], false);
    app.drain().await;
}
