//! The rules in force: which of them fires for a request.

use std::sync::Arc;

use serde_json::Value;

use super::call::{Body, Call, TrackBody};
use super::chance::Chance;
use super::rule::{Rule, When};

/// A rule with its counts.
#[derive(Debug)]
struct Active {
    rule: Arc<Rule>,
    chance: Chance,
    seen: u64,
    fired: u64,
}

/// The rules in force, in the order they were added.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Active>);

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) {
        let chance = Chance::new(rule.when.seed);
        self.0.push(Active { rule: Arc::new(rule), chance, seen: 0, fired: 0 });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts the request with every rule, and gives the first that fires.
    pub(super) fn fire(&mut self, call: &Call) -> Option<Arc<Rule>> {
        let mut firing: Option<&mut Active> = None;
        for active in &mut self.0 {
            if active.rule.when.matches(call) && active.due() && firing.is_none() {
                firing = Some(active);
            }
        }
        let active = firing?;
        active.fired += 1;
        Some(Arc::clone(&active.rule))
    }

    /// Each rule with how often it matched and fired.
    pub(super) fn list(&self) -> Value {
        let each = self.0.iter();
        each.map(|a| serde_json::json!({"rule": *a.rule, "seen": a.seen, "fired": a.fired})).collect()
    }
}

impl Active {
    /// Counts one matching request: whether the rule is due for it.
    fn due(&mut self) -> bool {
        self.seen += 1;
        let when = &self.rule.when;
        let Some(number) = self.seen.checked_sub(when.after_requests).filter(|number| *number > 0) else {
            return false;
        };
        when.times.is_none_or(|times| self.fired < times)
            && when.nth.is_none_or(|nth| number == nth)
            && when.every.is_none_or(|every| number.is_multiple_of(every.max(1)))
            && when.probability.is_none_or(|probability| self.chance.unit() < probability)
    }
}

impl When {
    fn matches(&self, call: &Call) -> bool {
        self.path.as_ref().is_none_or(|path| *path == call.path)
            && self.min_objects.is_none_or(|least| call.body.count().objects >= least)
            && (!self.looks_inside() || matches!(&call.body, Body::Track(body) if self.finds(body)))
    }

    fn looks_inside(&self) -> bool {
        self.external_id.is_some() || self.attribute.is_some() || self.value.is_some()
    }

    /// Whether one object meets all three conditions.
    fn finds(&self, body: &TrackBody) -> bool {
        body.objects().any(|(customer, object)| {
            self.external_id.as_deref().is_none_or(|id| customer.external() == Some(id))
                && self.attribute.as_ref().is_none_or(|name| object.contains_key(name))
                && self.value.as_ref().is_none_or(|value| object.values().any(|found| found == value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::route::Route;
    use crate::sandbox::rule::Answer;
    use hyper::{HeaderMap, Method, body::Bytes};

    fn call(body: &'static str) -> Call {
        let route = Some(Route::Track);
        Call {
            method: Method::POST,
            path: "/users/track".into(),
            query: None,
            route,
            headers: HeaderMap::new(),
            bytes: Bytes::from_static(body.as_bytes()),
            body: Body::read(route, body.as_bytes(), false),
        }
    }

    fn firings(rule: Rule, requests: usize) -> Vec<usize> {
        let mut rules = Rules::default();
        rules.add(rule);
        (1..=requests).filter(|_| rules.fire(&call("{}")).is_some()).collect()
    }

    #[test]
    fn counts_decide_which_request_breaks() {
        let rule = || Rule::new(Answer::Empty);
        assert_eq!(firings(rule().nth(2), 5), [2]);
        assert_eq!(firings(rule().times(2), 5), [1, 2]);
        assert_eq!(firings(rule().every(2), 5), [2, 4]);
        assert_eq!(firings(rule().after(3).times(1), 5), [4]);
        assert_eq!(firings(rule().path("/users/delete"), 5), [0; 0]);
    }

    #[test]
    fn chance_is_repeatable() {
        let rule = || Rule::new(Answer::Empty).probability(0.3, 9);
        let fired = firings(rule(), 1_000);
        assert_eq!(fired, firings(rule(), 1_000));
        assert!((250..350).contains(&fired.len()));
    }

    #[test]
    fn bodies_decide_too() {
        let mut rules = Rules::default();
        rules.add(Rule::new(Answer::Empty).external_id("c-2").attribute("s").value(0.5).min_objects(1));
        assert!(rules.fire(&call(r#"{"attributes":[{"external_id":"c-1","s":0.5}]}"#)).is_none());
        assert!(rules.fire(&call(r#"{"attributes":[{"external_id":"c-2","s":0.5}]}"#)).is_some());
    }
}
