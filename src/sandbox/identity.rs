//! Whom an object is about. Braze docs, "Identifier resolution".

use serde_json::{Map, Value};

/// The identifier an object is looked up by: a primary one, or `email` before `phone` where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    External(String),
    Alias { label: String, name: String },
    BrazeId(String),
    Email(String),
    Phone(String),
}

impl Identity {
    /// Reads the identifier of `object`; none if there is no usable one.
    pub(super) fn of(object: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(id) = text("external_id") {
            return Some(Self::External(id.to_owned()));
        }
        if let Some(id) = text("braze_id") {
            return Some(Self::BrazeId(id.to_owned()));
        }
        if let Some(alias) = object.get("user_alias") {
            let part = |key: &str| alias.get(key).and_then(Value::as_str).map(str::to_owned);
            return Some(Self::Alias { label: part("alias_label")?, name: part("alias_name")? });
        }
        let email = text("email").map(|email| Self::Email(email.to_owned()));
        email.or_else(|| text("phone").map(|phone| Self::Phone(phone.to_owned())))
    }

    pub(super) fn external(&self) -> Option<&str> {
        match self {
            Self::External(id) => Some(id),
            _ => None,
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::External(id) => write!(f, "external_id {id}"),
            Self::Alias { label, name } => write!(f, "alias {label}:{name}"),
            Self::BrazeId(id) => write!(f, "braze_id {id}"),
            Self::Email(email) => write!(f, "email {email}"),
            Self::Phone(phone) => write!(f, "phone {phone}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(object: Value) -> Option<Identity> {
        Identity::of(object.as_object().expect("an object"))
    }

    #[test]
    fn a_primary_identifier_comes_before_email() {
        let found = of(json!({"email": "a@example.com", "external_id": "c-1"}));
        assert_eq!(found, Some(Identity::External("c-1".into())));
    }

    #[test]
    fn email_comes_before_phone() {
        let found = of(json!({"phone": "+441", "email": "a@example.com"}));
        assert_eq!(found, Some(Identity::Email("a@example.com".into())));
        assert_eq!(of(json!({"score": 1})), None);
    }
}
