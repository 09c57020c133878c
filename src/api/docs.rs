//! The reference page, made from the OpenAPI document: no scripts, nothing from elsewhere.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::document::{TAG_SERVICE, openapi};
use super::problem::Code;

const STYLE: &str = include_str!("docs.css");

/// Styles are inline, so their digest is what the policy lets through; nothing else may load or run.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi().to_string());

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(&DOCUMENT).expect("the document is JSON");
    page(&document)
});

/// OpenAPI document
#[utoipa::path(
    get, path = "/openapi.json", tag = TAG_SERVICE, operation_id = "openapi", security(()),
    responses((status = 200, description = "This document", body = Object, content_type = "application/json")),
)]
pub(super) async fn json() -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    (headers, DOCUMENT.as_str()).into_response()
}

/// Reference
///
/// This document for people.
#[utoipa::path(
    get, path = "/docs", tag = TAG_SERVICE, operation_id = "docs", security(()),
    responses((status = 200, description = "The reference page", body = String, content_type = "text/html")),
)]
pub(super) async fn html() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE.as_str()).into_response()
}

fn page(document: &Value) -> String {
    let title = text(&document["info"]["title"]);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} API</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head><body>\
         <header><h1>{title} API</h1><p class=\"quiet\">version {} · <a href=\"/openapi.json\">OpenAPI document</a></p>",
        text(&document["info"]["version"])
    );
    for part in document["info"]["description"].as_str().unwrap_or_default().split("\n\n") {
        push(&mut out, format_args!("<p>{}</p>", prose(part)));
    }
    out.push_str("</header>");
    contents(&mut out, document);
    out.push_str("<main>");
    for tag in list(&document["tags"]) {
        section(&mut out, document, tag);
    }
    schemas(&mut out, document);
    problems(&mut out);
    out.push_str("</main></body></html>\n");
    out
}

fn contents(out: &mut String, document: &Value) {
    out.push_str("<nav aria-label=\"Routes\">");
    for tag in list(&document["tags"]) {
        push(out, format_args!("<h2>{}</h2><ul>", text(&tag["name"])));
        for (path, method, operation) in operations(document, &tag["name"]) {
            let id = text(&operation["operationId"]);
            push(out, format_args!("<li><a href=\"#{id}\"><b>{method}</b> {}</a></li>", escape(path)));
        }
        out.push_str("</ul>");
    }
    out.push_str("<h2>more</h2><ul><li><a href=\"#schemas\">Schemas</a></li><li><a href=\"#problems\">Problems</a></li></ul></nav>");
}

fn section(out: &mut String, document: &Value, tag: &Value) {
    push(out, format_args!("<section><h2>{}</h2><p>{}</p>", text(&tag["name"]), text(&tag["description"])));
    for (path, method, operation) in operations(document, &tag["name"]) {
        push(
            out,
            format_args!(
                "<article id=\"{}\"><h3><code><b>{method}</b> {}</code></h3><p><strong>{}.</strong> {}</p>",
                text(&operation["operationId"]),
                escape(path),
                text(&operation["summary"]),
                prose(operation["description"].as_str().unwrap_or_default()),
            ),
        );
        parameters(out, operation);
        body(out, &operation["requestBody"]);
        responses(out, operation);
        examples(out, operation);
        out.push_str("</article>");
    }
    out.push_str("</section>");
}

fn parameters(out: &mut String, operation: &Value) {
    let parameters = list(&operation["parameters"]);
    if parameters.is_empty() {
        return;
    }
    out.push_str(
        "<table><thead><tr><th>Parameter</th><th>In</th><th>Type</th><th>Meaning</th></tr></thead><tbody>",
    );
    for parameter in parameters {
        push(
            out,
            format_args!(
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                kind(&parameter["schema"]),
                prose(parameter["description"].as_str().unwrap_or_default()),
            ),
        );
    }
    out.push_str("</tbody></table>");
}

fn body(out: &mut String, body: &Value) {
    for (media, content) in entries(&body["content"]) {
        push(
            out,
            format_args!(
                "<p>Body: {} <span class=\"quiet\">{}</span></p>",
                kind(&content["schema"]),
                escape(media)
            ),
        );
    }
}

fn responses(out: &mut String, operation: &Value) {
    out.push_str(
        "<table><thead><tr><th>Status</th><th>Body</th><th>Meaning</th><th>Headers</th></tr></thead><tbody>",
    );
    for (status, response) in entries(&operation["responses"]) {
        let bodies: Vec<String> =
            entries(&response["content"]).map(|(_, content)| kind(&content["schema"])).collect();
        let meaning = prose(response["description"].as_str().unwrap_or_default());
        push(
            out,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{meaning}</td><td>{}</td></tr>",
                escape(status),
                bodies.join(" or "),
                headers(&response["headers"]),
            ),
        );
    }
    out.push_str("</tbody></table>");
}

/// Those beside the request's id, which every answer has.
fn headers(headers: &Value) -> String {
    let told = entries(headers).filter(|(name, _)| *name != "x-request-id");
    let told = told.map(|(name, header)| {
        let about = prose(header["description"].as_str().unwrap_or_default());
        format!("<code>{}</code> {about}", escape(name))
    });
    told.collect::<Vec<_>>().join("<br>")
}

/// A request and its answer as they may look; problems have theirs at the end of the page.
fn examples(out: &mut String, operation: &Value) {
    let request = entries(&operation["requestBody"]["content"]).map(|(_, content)| ("Request", content));
    let answers = entries(&operation["responses"]).flat_map(|(status, response)| {
        entries(&response["content"]).map(move |(_, content)| (status, content))
    });
    for (name, content) in request.chain(answers) {
        let example = match &content["example"] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            value => format!("{value:#}"),
        };
        push(
            out,
            format_args!(
                "<details><summary>{}, for example</summary><pre>{}</pre></details>",
                escape(name),
                escape(example.trim_end())
            ),
        );
    }
}

fn schemas(out: &mut String, document: &Value) {
    out.push_str("<section id=\"schemas\"><h2>Schemas</h2>");
    for (name, schema) in entries(&document["components"]["schemas"]) {
        let name = escape(name);
        let about = prose(schema["description"].as_str().unwrap_or_default());
        push(out, format_args!("<article id=\"schema-{name}\"><h3><code>{name}</code></h3><p>{about}</p>"));
        if schema["properties"].is_object() {
            out.push_str("<table><thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead><tbody>");
            for (field, of) in entries(&schema["properties"]) {
                let about = prose(of["description"].as_str().unwrap_or_default());
                push(
                    out,
                    format_args!(
                        "<tr><td><code>{}</code></td><td>{}</td><td>{about}</td></tr>",
                        escape(field),
                        kind(of)
                    ),
                );
            }
            out.push_str("</tbody></table>");
        } else {
            push(out, format_args!("<p>{}</p>", kind(schema)));
        }
        out.push_str("</article>");
    }
    out.push_str("</section>");
}

fn problems(out: &mut String) {
    out.push_str("<section id=\"problems\"><h2>Problems</h2>");
    let example = serde_json::json!({
        "type": "/docs#problem-unknown_run", "title": Code::UnknownRun.title(), "status": 404, "code": "unknown_run",
        "instance": "0f4e6d1c-6c62-4c0f-9d55-3d2b1f6f2a10",
    });
    push(
        out,
        format_args!(
            "<details><summary>For example</summary><pre>{}</pre></details>",
            escape(&format!("{example:#}"))
        ),
    );
    out.push_str("<table><thead><tr><th>Code</th><th>Status</th><th>Title</th></tr></thead><tbody>");
    for code in Code::ALL {
        let word = code.as_str();
        push(
            out,
            format_args!(
                "<tr id=\"problem-{word}\"><td><code>{word}</code></td><td>{}</td><td>{}</td></tr>",
                code.status().as_u16(),
                escape(code.title())
            ),
        );
    }
    out.push_str("</tbody></table></section>");
}

/// A schema in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(of) = schema[choice].as_array() {
            return of.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        return words
            .iter()
            .map(|word| format!("<code>{}</code>", text(word)))
            .collect::<Vec<_>>()
            .join(", ");
    }
    match (&schema["type"], &schema["format"]) {
        (Value::Array(kinds), _) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        (Value::String(kind_), _) if kind_ == "array" => format!("list of {}", kind(&schema["items"])),
        (Value::String(_), Value::String(format)) => escape(format),
        (Value::String(kind), _) => escape(kind),
        _ => String::from("any"),
    }
}

fn operations<'a>(document: &'a Value, tag: &'a Value) -> impl Iterator<Item = (&'a str, String, &'a Value)> {
    let all = entries(&document["paths"]).flat_map(|(path, item)| {
        entries(item).map(move |(method, operation)| (path, method.to_uppercase(), operation))
    });
    all.filter(move |(_, _, operation)| list(&operation["tags"]).contains(tag))
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    value.as_object().unwrap_or(&EMPTY).iter().map(|(key, value)| (key.as_str(), value))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

/// Escaped, with `code` between backticks.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(n, part)| if n % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) })
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_names_every_route_and_problem() {
        let document: Value = serde_json::from_str(&DOCUMENT).expect("JSON");
        for (path, _) in entries(&document["paths"]) {
            assert!(PAGE.contains(&escape(path)), "{path}");
        }
        for code in Code::ALL {
            assert!(PAGE.contains(&format!("id=\"problem-{}\"", code.as_str())));
        }
        assert!(!PAGE.contains("<script") && !PAGE.contains("src="));
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(prose("a `<b>` & \"c\""), "a <code>&lt;b&gt;</code> &amp; &quot;c&quot;");
    }
}
