//! Why one object of a request is refused, in both of Braze's ways of saying it.

use serde_json::{Value, json};

use super::settings::ErrorStyle;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $word:literal, $sentence:literal;)+) => {
        /// Sentences: measured answers where known. Words: Braze docs, "Create and update users", and where that
        /// lists none, a word of the same make.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(super) enum Refusal {
            $($(#[$doc])* $name,)+
            /// As a rule dictates.
            Dictated(String),
        }

        impl Refusal {
            fn text(&self, style: ErrorStyle) -> &str {
                match (self, style) {
                    $((Self::$name, ErrorStyle::Enum) => $word, (Self::$name, ErrorStyle::Sentence) => $sentence,)+
                    (Self::Dictated(text), _) => text,
                }
            }
        }
    };
}

refusals! {
    NotAnObject: "INVALID_OBJECT", "every entry must be an object";
    NoIdentifier: "MISSING_IDENTIFIER",
        "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required";
    SeveralIdentifiers: "MULTIPLE_IDENTIFIERS",
        "You must specify only one of 'external_id', 'user_alias' or 'braze_id'";
    BadExternalId: "BAD_EXTERNAL_USER_ID", "'external_id' must be a non-empty string";
    ExternalIdTooLarge: "EXTERNAL_USER_ID_TOO_LARGE", "'external_id' must be fewer than 988 bytes";
    BlockedId: "BLACKLISTED_EXTERNAL_USER_ID", "provided external_id is blacklisted and disallowed";
    BadEmail: "EMAIL_BAD_FORMAT", "The value provided for the 'email' field is not a valid email.";
    BadEmailSubscribe: "BAD_EMAIL_SUBSCRIPTION_STATE",
        "'email_subscribe' must be 'subscribed', 'unsubscribed', or 'opted_in'";
    BadPushSubscribe: "BAD_PUSH_SUBSCRIPTION_STATE",
        "'push_subscribe' must be 'subscribed', 'unsubscribed', or 'opted_in'";
    BadLocation: "BAD_LOCATION_UPDATE", "'current_location' must hold a valid 'latitude' and 'longitude'";
    BadGroups: "BAD_SUBSCRIPTION_GROUP_ARRAY", "'subscription_groups' must be an array";
    BadGroup: "BAD_SUBSCRIPTION_GROUP_HASH", "each of 'subscription_groups' must be an object";
    BadGroupId: "BAD_SUBSCRIPTION_GROUP_ID", "'subscription_group_id' must be a non-empty string";
    BadGroupState: "BAD_SUBSCRIPTION_GROUP_STATE",
        "'subscription_state' must be 'subscribed' or 'unsubscribed'";
    BadPushTokens: "BAD_PUSH_TOKEN_VALUE", "'push_tokens' must be an array of objects";
    BadPushTokenApp: "BAD_PUSH_TOKEN_APP_ID", "each of 'push_tokens' must have an 'app_id'";
    BadPushToken: "BAD_PUSH_TOKEN_STRING", "each of 'push_tokens' must have a 'token'";
    BadPushTokenImport: "BAD_PUSH_TOKEN_IMPORT",
        "'push_token_import' needs 'push_tokens' and neither 'external_id' nor 'braze_id'";
    EmailSubscriptionInfo: "INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO", "'email_subscription_info' is not allowed";
    EventWithoutName: "BAD_EVENT", "'name' and 'time' are required";
    PurchaseIncomplete: "BAD_PURCHASE", "'product_id', 'currency', 'price' and 'time' are required";
}

impl Refusal {
    /// The entry for `errors[]`.
    pub(super) fn entry(&self, style: ErrorStyle, array: &str, index: usize) -> Value {
        json!({"type": self.text(style), "input_array": array, "index": index})
    }
}
