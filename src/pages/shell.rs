//! What stands around every page.

use maud::{DOCTYPE, Markup, html};

use super::asset::{ICON, SCRIPT, STYLE};
use super::form;
use super::visitor::Visitor;

/// Where in the pages somebody is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Syncs,
    Deliveries,
    Elsewhere,
}

/// How a page keeps up with what it shows.
pub(super) enum Upkeep {
    /// It does not change.
    None,
    /// The script fetches it again every so many seconds.
    Every(u32),
    /// The script is told by this stream of events.
    Events(String),
}

/// Seconds between plain refreshes where there is no script: seldom enough to read in between.
const PLAIN_REFRESH_SECS: u32 = 10;

/// A page for somebody who is signed in.
pub(super) fn page(visitor: &Visitor, title: &str, here: Here, upkeep: &Upkeep, main: Markup) -> Markup {
    let every = if let Upkeep::Every(secs) = upkeep { Some(*secs) } else { None };
    let events = if let Upkeep::Events(path) = upkeep { Some(path.as_str()) } else { None };
    let head = html! {
        @if !matches!(upkeep, Upkeep::None) {
            noscript { meta http-equiv="refresh" content=(PLAIN_REFRESH_SECS); }
        }
        script src=(SCRIPT.path()) defer {}
    };
    document(
        title,
        head,
        html! {
            a.skip href="#main" { "Skip to the content" }
            header.top {
                a.mark href="/" { img src=(ICON.path()) alt="" width="22" height="22"; "peak-braze" }
                nav aria-label="Pages" {
                    (place("/", "Syncs", here == Here::Syncs))
                    (place("/deliveries", "Deliveries", here == Here::Deliveries))
                    a href="/docs" { "API" }
                }
                div.who {
                    span { span.quiet { "signed in as " } b { (visitor.caller().name()) } }
                    (form::button(visitor, "/sign-out", "sign-out", "plain", html! { "Sign out" }))
                }
            }
            main #main tabindex="-1" data-every=[every] data-events=[events] { (main) }
            p.aside #announce role="status" aria-live="polite" {}
            (foot())
        },
    )
}

fn place(path: &str, name: &str, is_here: bool) -> Markup {
    html! { a href=(path) aria-current=[is_here.then_some("page")] { (name) } }
}

/// A page for anybody; `onto` leads on to another by itself.
pub(super) fn alone(title: &str, onto: Option<&str>, main: Markup) -> Markup {
    let head = html! {
        @if let Some(onto) = onto { meta http-equiv="refresh" content={ "0; url=" (onto) }; }
    };
    document(
        title,
        head,
        html! {
            header.top { a.mark href="/" { img src=(ICON.path()) alt="" width="22" height="22"; "peak-braze" } }
            main #main.alone tabindex="-1" { (main) }
            (foot())
        },
    )
}

fn foot() -> Markup {
    html! { footer { "peak-braze " (env!("CARGO_PKG_VERSION")) " · times in UTC" } }
}

fn document(title: &str, head: Markup, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " · peak-braze" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="stylesheet" href=(STYLE.path());
                link rel="icon" type="image/svg+xml" href=(ICON.path());
                (head)
            }
            body { (body) }
        }
    }
}

/// What an action came to, by the word in the address. Only these words say anything.
pub(super) fn said(word: Option<&str>) -> Option<&'static str> {
    match word? {
        "joined" => Some("A run was queued already: it answers for this, too."),
        "cancelling" => Some("Asked to stop. What Braze has accepted by now stays recorded."),
        "over" => Some("The run had already come to its end."),
        _ => None,
    }
}
