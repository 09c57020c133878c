//! How updates are encoded: one object per customer, written once, straight into the request's own bytes.

use std::fmt;
use std::ops::Range;

use hyper::body::Bytes;

use crate::config::Identifier;

/// What stands before the objects of a request.
const HEAD: &[u8] = b"{\"attributes\":[";
/// What stands after them.
const TAIL: &[u8] = b"]}";

/// What the update objects of a sync have in common, written as JSON once.
///
/// `_update_existing_only` is always spelled out: its default differs between identifiers (Braze docs, User
/// attributes object).
#[derive(Clone, Debug)]
pub struct Template {
    before_key: Vec<u8>,
    after_key: Vec<u8>,
    names: Vec<Vec<u8>>,
}

impl Template {
    /// For the attributes `names`, addressed by their position.
    pub fn new(identifier: &Identifier, update_existing_only: bool, names: &[&str]) -> Self {
        let (before_key, mut after_key) = match identifier {
            Identifier::ExternalId => (b"{\"external_id\":".to_vec(), Vec::new()),
            Identifier::BrazeId => (b"{\"braze_id\":".to_vec(), Vec::new()),
            Identifier::Email => (b"{\"email\":".to_vec(), Vec::new()),
            Identifier::Alias(label) => {
                let mut after = b",\"alias_label\":".to_vec();
                write_str(label, &mut after);
                after.push(b'}');
                (b"{\"user_alias\":{\"alias_name\":".to_vec(), after)
            }
        };
        after_key.extend_from_slice(b",\"_update_existing_only\":");
        after_key.extend_from_slice(if update_existing_only { b"true" } else { b"false" });
        Self { before_key, after_key, names: names.iter().map(|name| write_name(name)).collect() }
    }
}

fn write_name(name: &str) -> Vec<u8> {
    let mut out = vec![b','];
    write_str(name, &mut out);
    out.push(b':');
    out
}

fn write_str(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes every write, and a string is JSON");
}

/// The updates of one request, encoded. The objects lie in one buffer, commas included, so any range of them is
/// one slice; once sealed, that buffer is the body that carries them all.
#[derive(Clone, Default)]
pub struct Batch {
    /// Head, objects, and once sealed nothing: the body has them.
    open: Vec<u8>,
    sealed: Option<Bytes>,
    /// Where each object starts and ends.
    spans: Vec<(u32, u32)>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for about as much as this one holds.
    pub fn another(&self) -> Self {
        let (bytes, updates) = (self.bytes(), self.len());
        let open = Vec::with_capacity(bytes + bytes / 16);
        Self { open, sealed: None, spans: Vec::with_capacity(updates + updates / 16) }
    }

    /// How many updates it holds.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of the request's body.
    pub fn bytes(&self) -> usize {
        self.body_bytes(&(0..self.len()))
    }

    /// Starts the update of the customer `key`. [`Batch::end`] ends it.
    pub fn begin(&mut self, template: &Template, key: &str) {
        match self.spans.is_empty() {
            true => self.open.extend_from_slice(HEAD),
            false => self.open.push(b','),
        }
        let start = self.position();
        self.spans.push((start, start));
        self.open.extend_from_slice(&template.before_key);
        write_str(key, &mut self.open);
        self.open.extend_from_slice(&template.after_key);
    }

    /// Adds an attribute, by its position in the template's names, with its value as JSON; `null` removes it.
    pub fn set(&mut self, template: &Template, attribute: usize, json: &[u8]) {
        self.open.extend_from_slice(&template.names[attribute]);
        self.open.extend_from_slice(json);
    }

    /// Ends the update begun last.
    pub fn end(&mut self) {
        self.open.push(b'}');
        let end = self.position();
        self.spans.last_mut().expect("an update was begun").1 = end;
    }

    /// Nothing more is added: the body stands, and is shared by whoever sends it.
    pub fn seal(&mut self) {
        if self.sealed.is_none() && !self.is_empty() {
            self.open.extend_from_slice(TAIL);
            self.sealed = Some(std::mem::take(&mut self.open).into());
        }
    }

    fn position(&self) -> u32 {
        u32::try_from(self.open.len()).expect("a batch stays far under 4 GiB")
    }

    /// Bytes of the body that carries `updates` alone.
    pub(super) fn body_bytes(&self, updates: &Range<usize>) -> usize {
        HEAD.len() + self.slice(updates).len() + TAIL.len()
    }

    /// The body that carries `updates` alone.
    pub(super) fn body(&self, updates: &Range<usize>) -> Bytes {
        match &self.sealed {
            Some(body) if *updates == (0..self.len()) => body.clone(),
            _ => [HEAD, self.slice(updates), TAIL].concat().into(),
        }
    }

    fn slice(&self, updates: &Range<usize>) -> &[u8] {
        let written = self.sealed.as_deref().unwrap_or(&self.open);
        match self.spans.get(updates.clone()) {
            Some([(start, end)] | [(start, _), .., (_, end)]) => &written[*start as usize..*end as usize],
            Some([]) | None => &[],
        }
    }
}

/// Shows sizes only: the content is customers' data.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("updates", &self.len()).field("bytes", &self.bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(batch: &Batch, updates: Range<usize>) -> String {
        String::from_utf8(batch.body(&updates).into()).expect("JSON is UTF-8")
    }

    fn three(template: &Template) -> Batch {
        let mut batch = Batch::new();
        for (key, json) in [("a\"1", "0.5"), ("b", "null"), ("c", "\"x\"")] {
            batch.begin(template, key);
            batch.set(template, 1, json.as_bytes());
            batch.end();
        }
        batch
    }

    #[test]
    fn body_is_the_wire_form() {
        let template = Template::new(&Identifier::ExternalId, true, &["first", "sc\"ore"]);
        let batch = three(&template);
        assert_eq!(
            text(&batch, 0..3),
            "{\"attributes\":[\
             {\"external_id\":\"a\\\"1\",\"_update_existing_only\":true,\"sc\\\"ore\":0.5},\
             {\"external_id\":\"b\",\"_update_existing_only\":true,\"sc\\\"ore\":null},\
             {\"external_id\":\"c\",\"_update_existing_only\":true,\"sc\\\"ore\":\"x\"}]}"
        );
        assert_eq!(batch.bytes(), text(&batch, 0..3).len());
    }

    #[test]
    fn alias_spells_out_label_and_creation() {
        let template = Template::new(&Identifier::Alias("crm".to_owned()), false, &["first", "score"]);
        assert_eq!(
            text(&three(&template), 1..2),
            "{\"attributes\":[{\"user_alias\":{\"alias_name\":\"b\",\"alias_label\":\"crm\"},\
             \"_update_existing_only\":false,\"score\":null}]}"
        );
    }

    #[test]
    fn parts_rejoined_are_the_batch() {
        let open = three(&Template::new(&Identifier::BrazeId, true, &["first", "score"]));
        let mut sealed = open.clone();
        sealed.seal();
        let objects = |batch: &Batch, range: Range<usize>| {
            let body: serde_json::Value = serde_json::from_slice(&batch.body(&range)).expect("JSON");
            assert_eq!(batch.body_bytes(&range), batch.body(&range).len());
            body["attributes"].as_array().expect("an array").clone()
        };
        for cut in 0..=3 {
            let parts = [objects(&open, 0..cut), objects(&sealed, cut..3)].concat();
            assert_eq!((&parts, &parts), (&objects(&open, 0..3), &objects(&sealed, 0..3)));
        }
    }

    #[test]
    fn debug_shows_no_customer() {
        let batch = three(&Template::new(&Identifier::Email, true, &["first", "score"]));
        assert_eq!(format!("{batch:?}"), format!("Batch {{ updates: 3, bytes: {} }}", batch.bytes()));
    }
}
