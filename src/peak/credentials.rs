//! The credentials of a tenant's warehouse, as Peak's connections endpoint gives them.
//!
//! Three shapes are known: Redshift (its port a string), Snowflake by password, Snowflake by OAuth (their ports
//! numbers). Source: Peak SDK 1.29.0, `tenants get-credentials`; Peak docs, Connecting to Data Warehouse.

use secrecy::SecretString;
use serde::Deserialize;

use super::{Peak, PeakError};

/// A tenant's warehouse and how to sign in to it.
#[derive(Clone, Debug)]
pub enum Warehouse {
    /// Amazon Redshift.
    Redshift(Server),
    /// A PostgreSQL server. Peak documents none; where it answers so, it is taken at its word.
    Postgres(Server),
    /// Snowflake.
    Snowflake(Snowflake),
}

impl Warehouse {
    /// What its `kind` is in the config.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Redshift(_) => "redshift",
            Self::Postgres(_) => "postgres",
            Self::Snowflake(_) => "snowflake",
        }
    }
}

/// A server on PostgreSQL's wire, and a login by password.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its full name.
    pub host: String,
    /// Its port, where the answer has one.
    pub port: Option<u16>,
    /// The database.
    pub database: String,
    /// The schema in which names without one are found.
    pub schema: Option<String>,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: SecretString,
}

/// A Snowflake account, and where in it.
#[derive(Clone, Debug)]
pub struct Snowflake {
    /// The account's identifier or its full host name: Peak's documentation does not say which.
    pub host: String,
    /// The database.
    pub database: Option<String>,
    /// The schema.
    pub schema: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// The virtual warehouse.
    pub warehouse: Option<String>,
    /// How to sign in.
    pub auth: SnowflakeAuth,
}

/// How Peak signs in to Snowflake.
#[derive(Clone, Debug)]
pub enum SnowflakeAuth {
    /// By OAuth, with this access token: short-lived, and the answer does not say until when.
    OAuth(SecretString),
    /// By user and password, which Snowflake's SQL API does not take.
    Basic,
}

/// The answer. Fields not named here are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    data_warehouse_type: Option<String>,
    auth_type: Option<String>,
    host: Option<String>,
    port: Option<Port>,
    database: Option<String>,
    schema: Option<String>,
    user: Option<String>,
    password: Option<SecretString>,
    access_token: Option<SecretString>,
    role: Option<String>,
    warehouse: Option<String>,
}

/// A number, or the text of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

impl Snowflake {
    /// The token to sign in with over Snowflake's SQL API.
    ///
    /// # Errors
    /// [`PeakError::Answer`], with the cure, where Peak signs in by user and password.
    pub fn token(&self) -> Result<&SecretString, PeakError> {
        match &self.auth {
            SnowflakeAuth::OAuth(token) => Ok(token),
            SnowflakeAuth::Basic => Err(PeakError::Answer(
                "Peak signs in to this Snowflake by password, which Snowflake's SQL API does not take: ask Peak for OAuth \
                 on this connection, or sign in with account, user and private_key instead of credentials"
                    .to_owned(),
            )),
        }
    }
}

impl Peak {
    /// The credentials of the warehouse of this name, else of the tenant's default one.
    ///
    /// # Errors
    /// When Peak cannot be asked, or what it answers is no warehouse known here.
    pub async fn credentials(&self, warehouse: Option<&str>) -> Result<Warehouse, PeakError> {
        let mut query = vec![("type", "data-warehouse")];
        query.extend(warehouse.map(|name| ("warehouse", name)));
        let path = ["connections", "api", "v2", "connections", "credentials"];
        self.get::<Answer>(&path, &query, "warehouse of that name").await?.read()
    }
}

impl Answer {
    fn read(self) -> Result<Warehouse, PeakError> {
        let kind = self.data_warehouse_type.as_deref().unwrap_or_default().to_ascii_lowercase();
        match kind.as_str() {
            "amazon_redshift" | "redshift" => self.server().map(Warehouse::Redshift),
            "postgres" | "postgresql" => self.server().map(Warehouse::Postgres),
            "snowflake" => self.snowflake().map(Warehouse::Snowflake),
            "" => Err(lacks("dataWarehouseType")),
            _ => Err(PeakError::Answer("Peak's warehouse is of a type not known here".to_owned())),
        }
    }

    fn server(self) -> Result<Server, PeakError> {
        let (host, port) = host(self.host)?;
        Ok(Server {
            host,
            port: self.port.map(Port::number).transpose()?.or(port),
            database: given(self.database).ok_or_else(|| lacks("database"))?,
            schema: given(self.schema),
            user: given(self.user).ok_or_else(|| lacks("user"))?,
            password: self.password.ok_or_else(|| lacks("password"))?,
        })
    }

    fn snowflake(self) -> Result<Snowflake, PeakError> {
        let auth = match (self.auth_type.as_deref(), self.access_token) {
            (Some("oauth"), None) => return Err(lacks("accessToken")),
            (_, Some(token)) => SnowflakeAuth::OAuth(token),
            (_, None) => SnowflakeAuth::Basic,
        };
        Ok(Snowflake {
            host: host(self.host)?.0,
            database: given(self.database),
            schema: given(self.schema),
            role: given(self.role),
            warehouse: given(self.warehouse),
            auth,
        })
    }
}

impl Port {
    fn number(self) -> Result<u16, PeakError> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Text(text) => text.trim().parse().map_err(|_| lacks("port")),
        }
    }
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A bare host, whatever stands around it, and the port if one does.
fn host(text: Option<String>) -> Result<(String, Option<u16>), PeakError> {
    let text = text.unwrap_or_default();
    let bare = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
    let bare = bare.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = match bare.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().ok()),
        _ => (bare, None),
    };
    match host.is_empty() || host.contains(['@', ' ']) {
        true => Err(lacks("host")),
        false => Ok((host.to_owned(), port)),
    }
}

fn lacks(field: &str) -> PeakError {
    PeakError::Answer(format!("Peak's answer has no {field} that can be used"))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::*;

    fn read(answer: Value) -> Result<Warehouse, PeakError> {
        serde_json::from_value::<Answer>(answer).expect("an object of this shape").read()
    }

    #[test]
    fn redshift_has_its_port_as_text() {
        let answer = json!({"connectionString": "postgresql://u:p@h:5439/db", "iamRole": "arn:a,arn:b", "port": "5439",
            "schema": "publish", "user": "u", "authType": "basic", "database": "db", "host": "h.example.com",
            "password": "p", "dataWarehouseType": "amazon_redshift"});
        let Ok(Warehouse::Redshift(server)) = read(answer) else { panic!("not Redshift") };
        assert_eq!((&*server.host, server.port, &*server.database), ("h.example.com", Some(5439), "db"));
        assert_eq!((server.password.expose_secret(), server.schema.as_deref()), ("p", Some("publish")));
    }

    #[test]
    fn snowflake_signs_in_by_token_or_by_password() {
        let basic = json!({"application": "a", "integration": "i", "port": 443, "role": "R", "schema": "S", "user": "u",
            "warehouse": "W", "authType": "basic", "database": "D", "host": "acc-1", "password": "p",
            "dataWarehouseType": "snowflake"});
        let Ok(Warehouse::Snowflake(snowflake)) = read(basic) else { panic!("not Snowflake") };
        let error = snowflake.token().expect_err("no token").to_string();
        assert!(error.contains("ask Peak for OAuth") && error.contains("private_key"), "{error}");
        let oauth = json!({"port": 443, "role": "R", "schema": "S", "warehouse": "W", "accessToken": "t",
            "warehouseMap": {"default": "SMALL_WH"}, "authType": "oauth", "database": "D",
            "host": "https://acc-1.snowflakecomputing.com/", "dataWarehouseType": "snowflake"});
        let Ok(Warehouse::Snowflake(snowflake)) = read(oauth) else { panic!("not Snowflake") };
        assert_eq!(snowflake.host, "acc-1.snowflakecomputing.com");
        assert_eq!(snowflake.token().expect("a token").expose_secret(), "t");
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_else_shown() {
        let whole = json!({"port": "5439", "user": "u", "database": "db", "host": "h", "password": "s3cret",
            "dataWarehouseType": "amazon_redshift"});
        for (field, instead) in [
            ("user", Value::Null),
            ("database", json!("")),
            ("host", json!("a b")),
            ("password", Value::Null),
            ("port", json!("s3cret")),
            ("dataWarehouseType", Value::Null),
        ] {
            let mut answer = whole.clone();
            answer[field] = instead;
            let error = read(answer).expect_err("a field is missing").to_string();
            assert_eq!(error, format!("Peak's answer has no {field} that can be used"));
        }
        let mut answer = whole;
        answer["dataWarehouseType"] = json!("bigquery");
        assert!(read(answer).is_err());
    }

    #[test]
    fn a_host_is_found_bare_or_whole() {
        for (text, bare, port) in [
            ("acc", "acc", None),
            ("https://h.example.com/", "h.example.com", None),
            ("h.example.com:5439", "h.example.com", Some(5439)),
        ] {
            assert_eq!(host(Some(text.to_owned())), Ok((bare.to_owned(), port)));
        }
    }
}
