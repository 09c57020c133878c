//! The name somebody probably meant.

/// The name in `known` that differs least from `wanted`, if it differs little.
pub(super) fn nearest<'k>(wanted: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let wanted = wanted.to_lowercase();
    let allowed = (wanted.len() / 3).max(2);
    known
        .into_iter()
        .map(|name| (distance(&wanted, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name.to_owned())
}

/// Letters to add, drop or change to get from one to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_far_ones_are_not() {
        let known = ["customer_id", "updated_at", "churn_probability"];
        assert_eq!(nearest("churn_probabilty", known).as_deref(), Some("churn_probability"));
        assert_eq!(nearest("UPDATED", known).as_deref(), None);
        assert_eq!(nearest("update_at", known).as_deref(), Some("updated_at"));
        assert_eq!(nearest("tier", known), None);
    }
}
