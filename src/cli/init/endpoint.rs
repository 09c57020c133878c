//! Braze's REST endpoints by the name of the instance, as the dashboard's address bar shows it.

/// Instances and their REST endpoints. Source: Braze docs, API overview.
const INSTANCES: [(&str, &str); 15] = [
    ("us-01", "https://rest.iad-01.braze.com"),
    ("us-02", "https://rest.iad-02.braze.com"),
    ("us-03", "https://rest.iad-03.braze.com"),
    ("us-04", "https://rest.iad-04.braze.com"),
    ("us-05", "https://rest.iad-05.braze.com"),
    ("us-06", "https://rest.iad-06.braze.com"),
    ("us-07", "https://rest.iad-07.braze.com"),
    ("us-08", "https://rest.iad-08.braze.com"),
    ("us-10", "https://rest.us-10.braze.com"),
    ("eu-01", "https://rest.fra-01.braze.eu"),
    ("eu-02", "https://rest.fra-02.braze.eu"),
    ("au-01", "https://rest.au-01.braze.com"),
    ("id-01", "https://rest.id-01.braze.com"),
    ("jp-01", "https://rest.jp-01.braze.com"),
    ("kr-01", "https://rest.kr-01.braze.com"),
];

/// The endpoint of an instance's name; anything else as it stands.
pub(super) fn endpoint(text: &str) -> String {
    let name = text.trim().to_ascii_lowercase();
    let known = INSTANCES.iter().find(|(instance, _)| *instance == name);
    known.map_or_else(|| text.trim().to_owned(), |(_, endpoint)| (*endpoint).to_owned())
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn an_instance_is_known_by_its_name() {
        assert_eq!(endpoint("EU-01"), "https://rest.fra-01.braze.eu");
        assert_eq!(endpoint(" https://rest.iad-05.braze.com "), "https://rest.iad-05.braze.com");
    }
}
