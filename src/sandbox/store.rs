//! The profiles, and what an accepted object does to them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::catalog::Catalog;
use super::check::is_value_key;
use super::identity::Identity;
use super::settings::Settings;
use super::value::{Effect, data_points, detect, effect};

/// Attributes Braze keeps apart from custom ones. Braze docs, "Standard attributes".
const STANDARD: [&str; 25] = [
    "alias_label",
    "alias_name",
    "country",
    "current_location",
    "date_of_first_session",
    "date_of_last_session",
    "dob",
    "email",
    "email_click_tracking_disabled",
    "email_open_tracking_disabled",
    "email_subscribe",
    "facebook",
    "first_name",
    "gender",
    "home_city",
    "image_url",
    "language",
    "last_name",
    "marked_email_as_spam_at",
    "phone",
    "push_subscribe",
    "push_tokens",
    "subscription_groups",
    "time_zone",
    "twitter",
];

/// Standard attributes that cost a data point. Braze docs, "Data points (Legacy)".
const BILLED: [&str; 10] = [
    "country",
    "dob",
    "email",
    "first_name",
    "gender",
    "home_city",
    "language",
    "last_name",
    "phone",
    "time_zone",
];

/// One accepted object, on its way to the store.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) identity: Identity,
    pub(super) object: Map<String, Value>,
}

/// What updates did that no answer tells.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) unchanged: u64,
    pub(super) drops: BTreeMap<&'static str, u64>,
}

/// One customer.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) external_id: Option<String>,
    alias: Option<(String, String)>,
    /// Custom attributes by their number in the catalog: a million profiles need not repeat the names.
    custom: Vec<(u32, Value)>,
    pub(super) standard: BTreeMap<String, Value>,
    /// The latest request that updated it; 0: none.
    pub(super) last_request: u64,
}

impl Profile {
    /// Label and name of its alias.
    pub(super) fn alias(&self) -> Option<&(String, String)> {
        self.alias.as_ref()
    }
}

/// All profiles. A deleted one leaves its place empty.
#[derive(Debug, Default)]
pub(super) struct Store {
    profiles: Vec<Option<Profile>>,
    primary: HashMap<Identity, usize>,
    contacts: HashMap<Identity, Vec<usize>>,
    pub(super) catalog: Catalog,
    live: usize,
}

impl Store {
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Finds the profile `identity` names. Of several with one email: the latest updated with an external id.
    pub(super) fn find(&self, identity: &Identity) -> Option<usize> {
        match identity {
            Identity::BrazeId(id) => {
                let index = usize::from_str_radix(id, 16).ok()?.checked_sub(1)?;
                self.profiles.get(index)?.as_ref().map(|_| index)
            }
            Identity::Email(_) | Identity::Phone(_) => {
                let rank = |index: &usize| {
                    let profile = self.profiles[*index].as_ref();
                    profile.map(|profile| (profile.external_id.is_some(), profile.last_request))
                };
                self.contacts.get(identity)?.iter().copied().max_by_key(rank)
            }
            primary => self.primary.get(primary).copied(),
        }
    }

    pub(super) fn profile(&self, identity: &Identity) -> Option<&Profile> {
        self.profiles[self.find(identity)?].as_ref()
    }

    /// The id Braze would have given the profile: 24 hexadecimal digits.
    pub(super) fn braze_id(&self, identity: &Identity) -> Option<String> {
        self.find(identity).map(|index| format!("{:024x}", index + 1))
    }

    /// The custom attributes of `profile` by name.
    pub(super) fn custom(&self, profile: &Profile) -> Map<String, Value> {
        let named = |(number, value): &(u32, Value)| (self.catalog.name(*number).to_owned(), value.clone());
        profile.custom.iter().map(named).collect()
    }

    /// Makes sure there is a profile.
    pub(super) fn ensure(&mut self, identity: Identity) -> usize {
        if let Some(index) = self.find(&identity) {
            return index;
        }
        let index = self.profiles.len();
        let mut profile = Profile::default();
        match &identity {
            Identity::External(id) => profile.external_id = Some(id.clone()),
            Identity::Alias { label, name } => profile.alias = Some((label.clone(), name.clone())),
            Identity::Email(email) => drop(profile.standard.insert("email".into(), email.clone().into())),
            Identity::Phone(phone) => drop(profile.standard.insert("phone".into(), phone.clone().into())),
            Identity::BrazeId(_) => {}
        }
        self.profiles.push(Some(profile));
        self.live += 1;
        match identity {
            contact @ (Identity::Email(_) | Identity::Phone(_)) => {
                self.contacts.entry(contact).or_default().push(index);
            }
            primary => drop(self.primary.insert(primary, index)),
        }
        index
    }

    /// Removes the profile: whether there was one.
    pub(super) fn delete(&mut self, identity: &Identity) -> bool {
        let Some(index) = self.find(identity) else { return false };
        self.profiles[index] = None;
        self.live -= 1;
        self.primary.retain(|_, at| *at != index);
        self.contacts.values_mut().for_each(|places| places.retain(|at| *at != index));
        true
    }

    /// Applies the updates of one request in order.
    pub(super) fn apply(&mut self, settings: &Settings, request: u64, updates: Vec<Update>) -> Applied {
        let mut applied = Applied::default();
        for update in updates {
            self.apply_one(settings, request, update, &mut applied);
        }
        applied
    }

    fn apply_one(&mut self, settings: &Settings, request: u64, update: Update, applied: &mut Applied) {
        let Update { identity, object } = update;
        if self.find(&identity).is_none() && !creates(&identity, &object) {
            return applied.dropped("no_such_profile");
        }
        let index = self.ensure(identity.clone());
        let merge = object.get("_merge_objects") == Some(&Value::Bool(true));
        let mut profile = self.profiles[index].take().expect("a found profile is in its place");
        profile.last_request = request;
        for (key, value) in object.into_iter().filter(|(key, _)| is_sent(&identity, key)) {
            let name = key.trim();
            match name {
                "bio" => applied.dropped("bio"),
                name if STANDARD.contains(&name) => {
                    self.set_standard(&mut profile, index, name, value, applied)
                }
                name if settings.blocklist.contains(name) => applied.dropped("blocklisted"),
                name => self.set_custom(settings, &mut profile, name, value, merge, applied),
            }
        }
        self.profiles[index] = Some(profile);
    }

    fn set_standard(
        &mut self,
        profile: &mut Profile,
        index: usize,
        name: &str,
        value: Value,
        applied: &mut Applied,
    ) {
        applied.unchanged += u64::from(same(profile.standard.get(name), &value));
        let contact = |value: &Value| match (name, value.as_str()) {
            ("email", Some(email)) => Some(Identity::Email(email.to_owned())),
            ("phone", Some(phone)) => Some(Identity::Phone(phone.to_owned())),
            _ => None,
        };
        if let Some(old) = profile.standard.get(name).and_then(contact) {
            self.contacts.entry(old).or_default().retain(|at| *at != index);
        }
        if let Some(new) = contact(&value) {
            self.contacts.entry(new).or_default().push(index);
        }
        match value {
            Value::Null => drop(profile.standard.remove(name)),
            value => drop(profile.standard.insert(name.to_owned(), value)),
        }
    }

    fn set_custom(
        &mut self,
        settings: &Settings,
        profile: &mut Profile,
        name: &str,
        value: Value,
        merge: bool,
        applied: &mut Applied,
    ) {
        let number = self.catalog.number(name);
        let place = profile.custom.iter().position(|(known, _)| *known == number);
        let stored = place.map(|place| &profile.custom[place].1);
        applied.unchanged += u64::from(same(stored, &value));
        match (effect(stored, value, merge, settings.forced_types.get(name).copied()), place) {
            (Effect::Dropped(reason), _) => applied.dropped(reason),
            (Effect::Remove, Some(place)) => drop(profile.custom.swap_remove(place)),
            (Effect::Remove, None) => {}
            (Effect::Set(value), place) => {
                self.catalog.saw(number, detect(&value));
                match place {
                    Some(place) => profile.custom[place].1 = value,
                    None => profile.custom.push((number, value)),
                }
            }
        }
    }
}

impl Applied {
    fn dropped(&mut self, reason: &'static str) {
        *self.drops.entry(reason).or_default() += 1;
    }
}

/// Values and data points of an object: both count what is sent, whether or not it changes anything.
pub(super) fn meter(
    settings: &Settings,
    identity: Option<&Identity>,
    object: &Map<String, Value>,
) -> (u64, u64) {
    let (mut values, mut points) = (0, 0);
    for (key, value) in object {
        let name = key.trim();
        if identity.is_some_and(|identity| !is_sent(identity, key)) || !is_value_key(key) {
            continue;
        }
        values += 1;
        points += match name {
            name if STANDARD.contains(&name) => u64::from(BILLED.contains(&name)),
            name if settings.blocklist.contains(name) => 0,
            _ => data_points(value),
        };
    }
    (values, points)
}

/// Whether `key` holds a value to set, given the identifier the object was looked up by.
fn is_sent(identity: &Identity, key: &str) -> bool {
    let looked_up_by = match identity {
        Identity::Email(_) => key == "email",
        Identity::Phone(_) => key == "phone",
        _ => false,
    };
    is_value_key(key) && !looked_up_by
}

/// Whether an unknown customer gets a profile: by default with an external id, not with an alias.
fn creates(identity: &Identity, object: &Map<String, Value>) -> bool {
    let update_only = object.get("_update_existing_only").and_then(Value::as_bool);
    match identity {
        Identity::BrazeId(_) => false,
        Identity::Alias { .. } => update_only == Some(false),
        _ => update_only != Some(true),
    }
}

/// Whether sending `incoming` changes nothing. Numbers compare by value: 1 and 1.0 are equal.
fn same(stored: Option<&Value>, incoming: &Value) -> bool {
    match (stored, incoming) {
        (None, incoming) => incoming.is_null(),
        (Some(Value::Number(stored)), Value::Number(incoming)) => {
            stored == incoming || stored.as_f64() == incoming.as_f64()
        }
        (Some(stored), incoming) => stored == incoming,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn apply(store: &mut Store, settings: &Settings, object: Value) -> Applied {
        let Value::Object(object) = object else { panic!("an object") };
        let identity = Identity::of(&object).expect("an identifier");
        store.apply(settings, 1, vec![Update { identity, object }])
    }

    fn custom(store: &Store, id: &str) -> Value {
        let profile = store.profile(&Identity::External(id.into())).expect("a profile");
        Value::Object(store.custom(profile))
    }

    #[test]
    fn external_ids_create_profiles_unless_told_otherwise() {
        let (mut store, settings) = (Store::default(), Settings::default());
        let miss =
            apply(&mut store, &settings, json!({"external_id": "a", "_update_existing_only": true, "x": 1}));
        assert_eq!((store.len(), miss.drops["no_such_profile"]), (0, 1));
        apply(&mut store, &settings, json!({"external_id": "a", " x ": 1}));
        assert_eq!(custom(&store, "a"), json!({"x": 1}));
    }

    #[test]
    fn aliases_create_profiles_only_when_told_so() {
        let (mut store, settings) = (Store::default(), Settings::default());
        let alias = json!({"alias_label": "crm", "alias_name": "7"});
        apply(&mut store, &settings, json!({"user_alias": alias, "x": 1}));
        assert_eq!(store.len(), 0);
        apply(&mut store, &settings, json!({"user_alias": alias, "_update_existing_only": false, "x": 1}));
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_known_email_finds_the_profile() {
        let (mut store, settings) = (Store::default(), Settings::default());
        apply(&mut store, &settings, json!({"external_id": "a", "email": "a@example.com"}));
        apply(&mut store, &settings, json!({"email": "a@example.com", "x": 2}));
        assert_eq!((store.len(), custom(&store, "a")), (1, json!({"x": 2})));
    }

    #[test]
    fn unchanged_values_are_counted() {
        let (mut store, settings) = (Store::default(), Settings::default());
        apply(&mut store, &settings, json!({"external_id": "a", "x": 1, "y": "b"}));
        let again = apply(&mut store, &settings, json!({"external_id": "a", "x": 1.0, "y": "c", "z": null}));
        assert_eq!(again.unchanged, 2);
    }

    #[test]
    fn blocklisted_attributes_and_bio_vanish() {
        let settings = Settings { blocklist: ["x".to_owned()].into(), ..Settings::default() };
        let mut store = Store::default();
        let applied = apply(&mut store, &settings, json!({"external_id": "a", "x": 1, "bio": "b", "y": 2}));
        assert_eq!(custom(&store, "a"), json!({"y": 2}));
        assert_eq!((applied.drops["blocklisted"], applied.drops["bio"]), (1, 1));
    }

    #[test]
    fn the_meter_counts_what_is_sent() {
        let settings = Settings { blocklist: ["blocked".to_owned()].into(), ..Settings::default() };
        let object = json!({"external_id": "a", "x": 1, "n": {"a": 1, "b": 2}, "first_name": "F",
                            "push_subscribe": "opted_in", "blocked": 1, "_merge_objects": true});
        let object = object.as_object().expect("an object");
        assert_eq!(meter(&settings, Identity::of(object).as_ref(), object), (5, 4));
    }

    #[test]
    fn deleted_profiles_are_gone() {
        let (mut store, settings) = (Store::default(), Settings::default());
        apply(&mut store, &settings, json!({"external_id": "a", "x": 1}));
        assert!(store.delete(&Identity::External("a".into())));
        assert!(!store.delete(&Identity::External("a".into())));
        assert_eq!(store.len(), 0);
    }
}
