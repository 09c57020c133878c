//! Names that are almost the same.

/// Whether `name` and another are told apart only by case, white space, separators or one letter.
pub(super) fn is_alike(name: &str, other: &str) -> bool {
    name != other && (folded(name) == folded(other) || is_one_edit(name, other))
}

fn folded(name: &str) -> String {
    let kept = name.chars().filter(|letter| !letter.is_whitespace() && !matches!(letter, '_' | '-' | '.'));
    kept.flat_map(char::to_lowercase).collect()
}

/// One letter added, dropped or changed.
fn is_one_edit(name: &str, other: &str) -> bool {
    let (name, other): (Vec<char>, Vec<char>) = (name.chars().collect(), other.chars().collect());
    let (short, long) = if name.len() <= other.len() { (name, other) } else { (other, name) };
    let same = short.iter().zip(&long).take_while(|(one, two)| one == two).count();
    match long.len() - short.len() {
        0 => same < short.len() && short[same + 1..] == long[same + 1..],
        1 => short[same..] == long[same + 1..],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_alike;

    #[test]
    fn slips_are_alike_and_other_names_are_not() {
        for other in [
            "Peak_Churn",
            "peak_churn ",
            "peak churn",
            "peak-churn",
            "peak_chrn",
            "peak_churns",
            "peak_chorn",
        ] {
            assert!(is_alike("peak_churn", other), "{other}");
        }
        for other in ["peak_churn", "peak_chrun_x", "churn", "peak_ltv", ""] {
            assert!(!is_alike("peak_churn", other), "{other}");
        }
        assert!(is_alike("a", "b") && is_alike("", "a"));
    }
}
