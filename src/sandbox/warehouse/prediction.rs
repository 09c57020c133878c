//! One customer's made-up predictions, consistent in themselves.

use crate::sandbox::chance::Chance;

const CATEGORIES: [&str; 8] =
    ["womenswear", "menswear", "footwear", "beauty", "homeware", "kids", "sport", "accessories"];

/// The values of one row.
#[derive(Debug, PartialEq)]
pub(super) struct Prediction {
    pub(super) churn_probability: f64,
    pub(super) predicted_clv_12m: f64,
    pub(super) value_tier: &'static str,
    /// None for customers not expected back.
    pub(super) next_purchase_date: Option<String>,
    pub(super) purchase_propensity_30d: f64,
    pub(super) predicted_orders_12m: f64,
    pub(super) discount_affinity: f64,
    pub(super) lifecycle_segment: &'static str,
    /// None for the few who never bought.
    pub(super) favourite_category: Option<&'static str>,
    /// A JSON array of product ids.
    pub(super) recommended_products: String,
    pub(super) is_reactivation_candidate: bool,
}

impl Prediction {
    pub(super) fn of(seed: u64, number: u32) -> Self {
        let mut chance = Chance::new(seed ^ (u64::from(number) << 24));
        // Squares and products of chances lean to the low end, as churn and spend do.
        let churn = rounded(chance.unit() * chance.unit().sqrt(), 4);
        let orders = rounded(12.0 * (1.0 - churn) * chance.unit() + 0.2, 2);
        let clv = rounded(orders * (18.0 + 90.0 * chance.unit() * chance.unit()), 2);
        let never_bought = chance.below(50) == 0;
        Self {
            churn_probability: churn,
            predicted_clv_12m: clv,
            value_tier: tier(clv),
            next_purchase_date: (churn < 0.85).then(|| date(1 + chance.below(120) as i64)),
            purchase_propensity_30d: rounded((1.0 - churn) * chance.unit(), 4),
            predicted_orders_12m: orders,
            discount_affinity: rounded(chance.unit(), 3),
            lifecycle_segment: segment(churn, never_bought),
            favourite_category: (!never_bought)
                .then(|| CATEGORIES[chance.below(CATEGORIES.len() as u64) as usize]),
            recommended_products: products(&mut chance),
            is_reactivation_candidate: churn >= 0.6 && clv >= 100.0,
        }
    }
}

/// The risk band of a churn probability.
pub(super) fn band(churn_probability: f64) -> &'static str {
    match churn_probability {
        churn if churn < 0.3 => "low",
        churn if churn < 0.6 => "medium",
        _ => "high",
    }
}

/// `value` to so many decimals.
pub(super) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

fn tier(clv: f64) -> &'static str {
    match clv {
        clv if clv < 100.0 => "bronze",
        clv if clv < 300.0 => "silver",
        clv if clv < 600.0 => "gold",
        _ => "vip",
    }
}

fn segment(churn: f64, never_bought: bool) -> &'static str {
    match churn {
        _ if never_bought => "new",
        churn if churn < 0.4 => "active",
        churn if churn < 0.75 => "lapsing",
        _ => "lapsed",
    }
}

/// The date so many days after the sample's first model run.
fn date(days: i64) -> String {
    let first = chrono::DateTime::from_timestamp(super::FIRST_RUN_EPOCH, 0).expect("a date of our time");
    (first + chrono::TimeDelta::days(days)).format("%Y-%m-%d").to_string()
}

fn products(chance: &mut Chance) -> String {
    let ids: Vec<String> = (0..3).map(|_| format!("\"sku-{:05}\"", chance.below(40_000))).collect();
    format!("[{}]", ids.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_stay_within_their_ranges() {
        for number in 1..2_000 {
            let row = Prediction::of(1, number);
            assert!((0.0..=1.0).contains(&row.churn_probability));
            assert!((0.0..=1.0).contains(&row.purchase_propensity_30d));
            assert!(row.predicted_clv_12m > 0.0 && row.predicted_orders_12m > 0.0);
            let products: Vec<String> =
                serde_json::from_str(&row.recommended_products).expect("a JSON array");
            assert_eq!(products.len(), 3);
        }
    }

    #[test]
    fn neighbours_differ() {
        assert_ne!(Prediction::of(1, 1), Prediction::of(1, 2));
        assert_ne!(Prediction::of(1, 1), Prediction::of(2, 1));
    }
}
