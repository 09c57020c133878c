//! The cheap reading of a body: counts objects and values without keeping any.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::check::is_value_key;

/// What one body holds, array by array.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Counted {
    pub(super) attributes: Option<Count>,
    pub(super) events: Option<Count>,
    pub(super) purchases: Option<Count>,
}

/// The length of one array, and the attribute values in its objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) objects: usize,
    pub(super) values: u64,
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Objects;
        impl<'de> Visitor<'de> for Objects {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an array of objects")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<Count, A::Error> {
                let mut count = Count::default();
                while let Some(Keys(values)) = objects.next_element()? {
                    count.objects += 1;
                    count.values += values;
                }
                Ok(count)
            }
        }
        deserializer.deserialize_seq(Objects)
    }
}

/// The number of attribute values in one object.
struct Keys(u64);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Keys;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Keys, A::Error> {
                let mut values = 0;
                while let Some(Key(counts)) = entries.next_key()? {
                    entries.next_value::<IgnoredAny>()?;
                    values += u64::from(counts);
                }
                Ok(Keys(values))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Whether a key names an attribute value.
struct Key(bool);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(Key(is_value_key(name)))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_objects_and_values_but_no_identifiers() {
        let body = r#"{"attributes":[{"external_id":"a","_update_existing_only":true,"x":1,"y":[1,{"z":2}]},
                                     {"external_id":"b","x":null}]}"#;
        let counted: Counted = serde_json::from_str(body).expect("valid");
        assert_eq!(counted.attributes, Some(Count { objects: 2, values: 3 }));
        assert!(counted.events.is_none());
    }

    #[test]
    fn broken_numbers_are_errors_here_too() {
        assert!(serde_json::from_str::<Counted>(r#"{"attributes":[{"x":NaN}]}"#).is_err());
    }
}
