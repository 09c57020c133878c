//! What `/metrics` shows, read.

use std::collections::{BTreeMap, BTreeSet};

/// Every series of one scrape.
#[derive(Debug, Default)]
pub struct Exposition {
    /// Kind by family.
    pub kinds: BTreeMap<String, String>,
    /// Family, labels and value; of a histogram `_count` alone.
    pub series: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Exposition {
    pub fn read(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a kind");
                read.kinds.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                read.line(line);
            }
        }
        read
    }

    fn line(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let is_histogram = |name: &str| self.kinds.get(name).is_some_and(|kind| kind == "histogram");
        let family = match name.rsplit_once('_') {
            Some((family, "bucket" | "sum")) if is_histogram(family) => return,
            Some((family, "count")) if is_histogram(family) => family,
            _ => name,
        };
        let labels = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (label, value) = pair.split_once("=\"").expect("a label and its value");
            (label.to_owned(), value.trim_end_matches('"').to_owned())
        };
        self.series.push((family.to_owned(), labels.map(pair).collect(), value.parse().expect("a number")));
    }

    /// The sum of the series of a family with these labels; none where there is none.
    pub fn sum(&self, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let is_meant = |of: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| of.get(*label).is_some_and(|known| known == value))
        };
        let values: Vec<f64> = self
            .series
            .iter()
            .filter(|(name, of, _)| name == family && is_meant(of))
            .map(|(_, _, value)| *value)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    pub fn families(&self) -> BTreeSet<&str> {
        self.series.iter().map(|(name, ..)| name.as_str()).collect()
    }
}
