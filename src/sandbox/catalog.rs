//! The custom attributes a workspace has seen, and `GET /custom_attributes`.

use std::collections::{BTreeSet, HashMap};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::call::Call;
use super::reply::Reply;
use super::settings::{DataType, Settings};

/// Attributes per page. Braze docs, "Export custom attributes".
const PAGE: usize = 50;

/// Attribute names, each with a number, and the type of the first value seen.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    names: Vec<(String, Option<DataType>)>,
    numbers: HashMap<String, u32>,
}

impl Catalog {
    pub(super) fn name(&self, number: u32) -> &str {
        &self.names[number as usize].0
    }

    /// The number of `name`, which is new from now on no more.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).expect("far fewer than four billion names");
        self.names.push((name.to_owned(), None));
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// The first value's type stays.
    pub(super) fn saw(&mut self, number: u32, data_type: Option<DataType>) {
        let known = &mut self.names[number as usize].1;
        *known = known.or(data_type);
    }

    /// One page, with a link to the next.
    pub(super) fn page(&self, settings: &Settings, call: &Call) -> Reply {
        let Ok(after) = cursor(call.query.as_deref().unwrap_or_default()) else {
            return Reply::message(400, "'cursor' is not valid");
        };
        let seen = self.names.iter().filter(|(_, data_type)| data_type.is_some()).map(|(name, _)| name);
        let names: BTreeSet<&String> =
            seen.chain(&settings.blocklist).chain(settings.forced_types.keys()).collect();
        let mut rest =
            names.into_iter().filter(|name| after.as_ref().is_none_or(|after| *name > after)).peekable();
        let page: Vec<&String> = rest.by_ref().take(PAGE).collect();
        let items: Vec<Value> = page.iter().map(|name| self.item(settings, name)).collect();
        let reply = Reply::json(200, json!({"message": "success", "attributes": items}));
        match (rest.peek(), page.last()) {
            (Some(_), Some(last)) => reply.with_header("link", &next_link(call, last)),
            _ => reply,
        }
    }

    fn item(&self, settings: &Settings, name: &str) -> Value {
        let detected = self.numbers.get(name).and_then(|number| self.names[*number as usize].1);
        let data_type = settings.forced_types.get(name).copied().or(detected).unwrap_or(DataType::String);
        let status = if settings.blocklist.contains(name) { "Blocklisted" } else { "Active" };
        let array_length = (data_type == DataType::Array).then_some(500);
        json!({"name": name, "data_type": data_type.label(), "description": "", "status": status,
               "array_length": array_length, "tag_names": []})
    }
}

fn cursor(query: &str) -> Result<Option<String>, ()> {
    let Some(cursor) = query.split('&').find_map(|pair| pair.strip_prefix("cursor=")) else {
        return Ok(None);
    };
    let name = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| ())?;
    String::from_utf8(name).map(Some).map_err(|_| ())
}

fn next_link(call: &Call, last: &str) -> String {
    let host = call.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("<http://{host}{}?cursor={}>; rel=\"next\"", call.path, URL_SAFE_NO_PAD.encode(last))
}
