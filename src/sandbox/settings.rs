//! Every knob of the sandbox, with the value Braze's public pages give it.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

/// How one sandbox behaves. The default is a classic contract that applies updates at once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The one key accepted; none: any non-empty key.
    pub api_key: Option<String>,
    /// Permissions the key lacks; a route that needs one answers 403.
    pub denied: BTreeSet<Permission>,
    /// Most objects in one `/users/track` request.
    pub cap: Cap,
    /// Most objects in one `/users/track/bulk` request. Braze docs, "Create and update users (bulk)": 1,000.
    pub bulk_cap: usize,
    /// Most objects of one user in one bulk request. Same page: 100.
    pub bulk_per_user: usize,
    /// The rate limit of `/users/track`. `Off` turns the limits of all routes off.
    pub rate: Rate,
    /// How a refused object is named.
    pub style: ErrorStyle,
    /// Shortest and longest time between the answer and the update. Braze FAQ: normally 10 to 100 ms.
    pub apply_delay: (Duration, Duration),
    /// Lets updates of separate requests overtake each other within `apply_delay`, as Braze reserves to do.
    pub reorder: bool,
    /// Time between an arrival and its answer.
    pub latency: Duration,
    /// Answers `errors: []` where nothing was refused.
    pub empty_errors_array: bool,
    /// The status for a `/users/track` body over 4 MB: 413 or 400, the docs name both.
    pub track_size_status: u16,
    /// Custom attributes that are dropped in silence.
    pub blocklist: BTreeSet<String>,
    /// External ids that are refused as blocklisted profiles.
    pub blocked_ids: BTreeSet<String>,
    /// Types forced in the dashboard: a value of another type is dropped in silence.
    pub forced_types: BTreeMap<String, DataType>,
    /// Counts objects and values and keeps nothing else, for load tests: no profiles, ids, per-object checks or
    /// rules that look into bodies.
    pub counting_only: bool,
    /// How many of the latest request bodies the log keeps.
    pub bodies_kept: usize,
    /// How long after a 429 further requests may still have been under way when it was answered; later ones that
    /// come before the announced reset are violations.
    pub reset_grace: Duration,
    /// Decides delays.
    pub seed: u64,
    /// The wall clock at the start, in seconds since 1970; from then on time runs by tokio's clock.
    pub now_epoch: fn() -> f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_key: None,
            denied: BTreeSet::new(),
            cap: Cap::default(),
            bulk_cap: 1_000,
            bulk_per_user: 100,
            rate: Rate::default(),
            style: ErrorStyle::default(),
            apply_delay: (Duration::ZERO, Duration::ZERO),
            reorder: false,
            latency: Duration::ZERO,
            empty_errors_array: false,
            track_size_status: 413,
            blocklist: BTreeSet::new(),
            blocked_ids: BTreeSet::new(),
            forced_types: BTreeMap::new(),
            counting_only: false,
            bodies_kept: 100,
            reset_grace: Duration::from_millis(250),
            seed: 1,
            now_epoch: wall_clock,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox stands for another machine, with a clock of its own"
)]
fn wall_clock() -> f64 {
    chrono::Utc::now().timestamp_micros() as f64 / 1e6
}

/// How objects are counted against the cap. Braze docs, "Rate limits".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// All three arrays together; 75 for most contracts today.
    Combined(usize),
    /// Each array for itself; 75 on legacy contracts.
    PerArray(usize),
}

impl Default for Cap {
    fn default() -> Self {
        Self::Combined(75)
    }
}

impl Cap {
    /// Whether arrays of these lengths are within the cap.
    pub(super) fn allows(self, lengths: [usize; 3]) -> bool {
        match self {
            Self::Combined(most) => lengths.iter().sum::<usize>() <= most,
            Self::PerArray(most) => lengths.iter().all(|length| *length <= most),
        }
    }
}

impl FromStr for Cap {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, most) = text.split_once(':').unwrap_or(("combined", text));
        match (kind, most.parse()) {
            ("combined", Ok(most)) => Ok(Self::Combined(most)),
            ("per_array", Ok(most)) => Ok(Self::PerArray(most)),
            _ => Err("expected combined:N or per_array:N, such as combined:75".to_owned()),
        }
    }
}

/// The rate limit of `/users/track`, and with it the style of the rate headers of every route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// No limit and no headers.
    Off,
    /// Contracts with data points. Braze docs, "Rate limits": 3,000 requests per 3 s. The reset is announced in
    /// epoch seconds, on every answer.
    Classic {
        /// Requests per window of 3 s.
        per_3s: u32,
    },
    /// Contracts by monthly active users: an hourly share that resets on the clock hour, and a burst limit. The
    /// reset is announced in seconds left, on a 429 by `x-ratelimit-retry-after` alone.
    Mau {
        /// Requests per clock hour.
        hourly: u32,
        /// Requests per window of 3 s.
        burst_per_3s: u32,
    },
}

impl Default for Rate {
    fn default() -> Self {
        Self::Classic { per_3s: 3_000 }
    }
}

/// How a refused object's `type` reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorStyle {
    /// A sentence, as live workspaces answer.
    #[default]
    Sentence,
    /// A word in capitals, as the documentation lists them.
    Enum,
}

/// The type of a custom attribute, detected or forced. Braze docs, "Data types".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// Text.
    String,
    /// Integer or fraction.
    Number,
    /// True or false; forced, it also takes 1, t, 0, f and the words.
    Boolean,
    /// An instant or a date.
    Time,
    /// A list of scalars.
    Array,
    /// A nested object.
    Object,
    /// A list of nested objects.
    ObjectArray,
}

impl DataType {
    /// The name under which `GET /custom_attributes` lists it.
    pub fn label(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Number => "Number",
            Self::Boolean => "Boolean",
            Self::Time => "Time",
            Self::Array => "Array",
            Self::Object => "Object",
            Self::ObjectArray => "Object Array",
        }
    }
}

impl FromStr for DataType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::String, Self::Number, Self::Boolean, Self::Time, Self::Array, Self::Object, Self::ObjectArray]
            .into_iter()
            .find(|data_type| data_type.label().replace(' ', "_").eq_ignore_ascii_case(text))
            .ok_or_else(|| "expected string, number, boolean, time, array, object or object_array".to_owned())
    }
}

/// What a key may do, by Braze's own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// `users.track`
    UsersTrack,
    /// `users.track.bulk`
    UsersTrackBulk,
    /// `users.track.sync`
    UsersTrackSync,
    /// `users.export.ids`
    UsersExportIds,
    /// `users.delete`
    UsersDelete,
    /// `custom_attributes.get`
    CustomAttributesGet,
}

impl FromStr for Permission {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "users.track" => Ok(Self::UsersTrack),
            "users.track.bulk" => Ok(Self::UsersTrackBulk),
            "users.track.sync" => Ok(Self::UsersTrackSync),
            "users.export.ids" => Ok(Self::UsersExportIds),
            "users.delete" => Ok(Self::UsersDelete),
            "custom_attributes.get" => Ok(Self::CustomAttributesGet),
            _ => Err("expected users.track, users.track.bulk, users.track.sync, users.export.ids, users.delete or \
                      custom_attributes.get"
                .to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_count_together_or_apart() {
        assert!(Cap::Combined(75).allows([75, 0, 0]));
        assert!(!Cap::Combined(75).allows([74, 1, 1]));
        assert!(Cap::PerArray(75).allows([75, 75, 75]));
        assert!(!Cap::PerArray(75).allows([0, 76, 0]));
    }

    #[test]
    fn words_on_the_command_line_are_read() {
        assert_eq!("50".parse(), Ok(Cap::Combined(50)));
        assert_eq!("per_array:75".parse(), Ok(Cap::PerArray(75)));
        assert!("each:75".parse::<Cap>().is_err());
        assert_eq!("object_array".parse(), Ok(DataType::ObjectArray));
        assert_eq!("users.track".parse(), Ok(Permission::UsersTrack));
    }
}
