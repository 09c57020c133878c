//! What a sample came to, by attribute. Without being asked it names no customer and no value.

use serde::Serialize;
use serde_json::Value;

use crate::cli::print::{Ink, Paper};
use crate::cli::receipt::{bare, right_align};
use crate::figures::{counted, grouped};

/// Examples shown of what is not confirmed.
const EXAMPLES: usize = 20;

/// What became of one accepted value; the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Found {
    /// Braze has it.
    Confirmed,
    /// A document that cannot be compared, for the source has moved on since it was sent.
    Unclear,
    /// Braze has another value.
    Different,
    /// Braze has none.
    Missing,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Counts {
    attribute: String,
    confirmed: u64,
    different: u64,
    missing: u64,
    unclear: u64,
}

#[derive(Debug, Serialize)]
struct Example {
    customer_id: String,
    attribute: String,
    found: Found,
    /// What was accepted, where the source still says so.
    accepted: Option<Value>,
    braze: Option<Value>,
}

/// The counts.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    sync: String,
    /// Customers compared.
    customers: u64,
    /// Those of them that Braze does not know.
    unknown_to_braze: u64,
    /// Drawn, but in doubt: not compared.
    in_doubt: u64,
    attributes: Vec<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_confirmed: Option<Vec<Example>>,
}

impl Report {
    pub(super) fn new(sync: &str, names: &[&str], in_doubt: usize, show_values: bool) -> Self {
        let counts = |name: &&str| Counts { attribute: (*name).to_owned(), ..Counts::default() };
        Self {
            sync: sync.to_owned(),
            customers: 0,
            unknown_to_braze: 0,
            in_doubt: in_doubt as u64,
            attributes: names.iter().map(counts).collect(),
            not_confirmed: show_values.then(Vec::new),
        }
    }

    pub(super) fn customer(&mut self, is_known: bool) {
        self.customers += 1;
        self.unknown_to_braze += u64::from(!is_known);
    }

    pub(super) fn value(
        &mut self,
        customer_id: &str,
        at: usize,
        found: Found,
        accepted: Option<&Value>,
        braze: Option<&Value>,
    ) {
        let counts = &mut self.attributes[at];
        match found {
            Found::Confirmed => counts.confirmed += 1,
            Found::Unclear => counts.unclear += 1,
            Found::Different => counts.different += 1,
            Found::Missing => counts.missing += 1,
        }
        if let Some(examples) = &mut self.not_confirmed
            && found != Found::Confirmed
            && examples.len() < EXAMPLES
        {
            examples.push(Example {
                customer_id: customer_id.to_owned(),
                attribute: counts.attribute.clone(),
                found,
                accepted: accepted.cloned(),
                braze: braze.cloned(),
            });
        }
    }

    /// Whether nothing is different or missing.
    pub(super) fn is_well(&self) -> bool {
        self.attributes.iter().all(|counts| counts.different + counts.missing == 0)
    }

    /// For people.
    pub(super) fn text(&self, paper: Paper) -> String {
        if self.customers == 0 {
            let doubt = if self.in_doubt > 0 { ": every customer drawn is in doubt" } else { "" };
            return format!("sync {}: nothing to compare{doubt}; a run comes first\n", self.sync);
        }
        let (word, ink) = if self.is_well() { ("confirmed", Ink::Good) } else { ("not confirmed", Ink::Bad) };
        let mut text = format!(
            "sync {}: {} read back, {}\n",
            self.sync,
            counted(self.customers, "customer"),
            paper.ink(word, ink)
        );
        text += &self.table();
        if self.unknown_to_braze > 0 {
            text += &format!(
                "{} unknown to Braze: updates of them vanish in silence while update_existing_only holds\n",
                counted(self.unknown_to_braze, "customer")
            );
        }
        if self.in_doubt > 0 {
            text += &format!("{} in doubt not compared\n", counted(self.in_doubt, "customer"));
        }
        if !self.is_well() {
            text += "peak-braze check looks for blocklisted attributes and forced types; a run with --mode force sends \
                     everything again. Values sent in the last minutes may not be applied yet.\n";
        }
        text + &self.examples()
    }

    fn table(&self) -> String {
        let mut table = bare();
        table.add_row(["  attribute", "confirmed", "different", "missing", "unclear"]);
        for Counts { attribute, confirmed, different, missing, unclear } in &self.attributes {
            let counts = [confirmed, different, missing, unclear].map(|count| grouped(*count));
            table.add_row([format!("  {attribute}")].into_iter().chain(counts));
        }
        right_align(&mut table, 1..5);
        format!("{}\n", table.trim_fmt())
    }

    fn examples(&self) -> String {
        let shown =
            |value: &Option<Value>, none: &str| value.as_ref().map_or(none.to_owned(), Value::to_string);
        let lines = self.not_confirmed.iter().flatten().map(|example| {
            let accepted = shown(&example.accepted, "something the source no longer has");
            let braze = shown(&example.braze, "nothing");
            format!(
                "  {} {}: accepted {accepted}, Braze has {braze}\n",
                example.customer_id, example.attribute
            )
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sample_reads_like_this() {
        let mut report = Report::new("customer-predictions", &["peak_churn", "peak_segment"], 1, true);
        for customer in ["c-1", "c-2"] {
            report.customer(customer == "c-1");
            report.value(customer, 0, Found::Confirmed, None, None);
        }
        report.value("c-2", 1, Found::Missing, Some(&json!("loyal")), None);
        insta::assert_snapshot!(report.text(Paper::plain()));
        assert!(!report.is_well());
    }
}
