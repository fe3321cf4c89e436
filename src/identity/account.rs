//! Who signed in, from the id token (learn.microsoft.com/entra/identity-platform/id-token-claims-reference).
//!
//! The signature is not checked: the token came straight from the token endpoint over verified TLS (OpenID Connect
//! Core section 3.1.3.7). Audience, tenant and times are.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Error;

/// The tenant of personal Microsoft accounts, which have no place in a print server.
pub const CONSUMER_TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// How far the clocks may be apart, in seconds.
const CLOCK_SKEW_S: i64 = 300;

/// The signed-in account. `tenant` and `object` are its identity; the name may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The login name for the mail protocols: the UPN (`preferred_username`).
    pub username: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// `tid`
    #[serde(default)]
    pub tenant: String,
    /// `oid`
    #[serde(default)]
    pub object: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: Option<serde_json::Value>,
    exp: Option<i64>,
    nbf: Option<i64>,
    #[serde(default)]
    tid: String,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    preferred_username: String,
    #[serde(default)]
    name: String,
}

impl Account {
    /// Reads the id token that came with the tokens. `tenant_id` is what the administrator typed: a GUID must match.
    pub fn from_id_token(
        id_token: &SecretString,
        client_id: &str,
        tenant_id: &str,
        now_unix_s: i64,
    ) -> Result<Self, Error> {
        let payload = id_token.expose_secret().split('.').nth(1).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).map(Zeroizing::new);
        let claims = payload.ok().and_then(|json| serde_json::from_slice::<Claims>(&json).ok());
        let claims = claims.ok_or(Error::IdToken { reason: "it cannot be read" })?;
        let audience = match &claims.aud {
            Some(serde_json::Value::Array(all)) => all.iter().any(|one| one == client_id),
            Some(one) => one == client_id,
            None => false,
        };
        if !audience {
            return Err(Error::IdToken { reason: "it is meant for another application" });
        }
        if claims.exp.is_some_and(|exp| exp < now_unix_s.saturating_sub(CLOCK_SKEW_S))
            || claims.nbf.is_some_and(|nbf| nbf > now_unix_s.saturating_add(CLOCK_SKEW_S))
        {
            return Err(Error::IdTokenTime);
        }
        let account =
            Self { username: claims.preferred_username, name: claims.name, tenant: claims.tid, object: claims.oid };
        if account.tenant == CONSUMER_TENANT {
            return Err(Error::PersonalAccount { username: account.username });
        }
        let is_guid = uuid::Uuid::try_parse(tenant_id).is_ok();
        if is_guid && !account.tenant.is_empty() && !account.tenant.eq_ignore_ascii_case(tenant_id) {
            return Err(Error::OtherTenant { username: account.username, tenant: account.tenant });
        }
        Ok(account)
    }

    /// Whether this name can serve as a login name for mail. Guests and some federated accounts have names that cannot.
    #[must_use]
    pub fn has_mail_name(&self) -> bool {
        const LONGEST: usize = 320;
        self.username.contains('@')
            && self.username.len() <= LONGEST
            && !self.username.chars().any(char::is_control)
            && !self.username.to_ascii_uppercase().contains("#EXT#")
    }

    /// Whether both are the same account, as far as both tell.
    #[must_use]
    pub fn is(&self, other: &Account) -> bool {
        if self.object.is_empty() || other.object.is_empty() {
            return self.username.eq_ignore_ascii_case(&other.username);
        }
        self.object == other.object && self.tenant == other.tenant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "5f2c1f0e-8d3a-4b7e-9a61-0c1d2e3f4a5b";

    fn token(claims: &serde_json::Value) -> SecretString {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string())).into()
    }

    fn read(claims: &serde_json::Value) -> Result<Account, Error> {
        Account::from_id_token(&token(claims), "app", TENANT, 1_000_000)
    }

    #[test]
    fn the_login_name_is_the_upn() {
        let account = read(&serde_json::json!({"aud": "app", "tid": TENANT, "oid": "o", "exp": 1_000_100,
            "preferred_username": "print@contoso.com", "email": "other@contoso.com"}))
        .unwrap();
        assert_eq!(account.username, "print@contoso.com");
        assert!(account.has_mail_name());
    }

    #[test]
    fn a_name_that_would_forge_a_line_is_no_login_name() {
        let named = |name: &str| {
            read(&serde_json::json!({"aud": "app", "tid": TENANT, "preferred_username": name})).unwrap().has_mail_name()
        };
        assert!(named("print@contoso.com"));
        assert!(!named("a\r\nb@contoso.com") && !named(&format!("{}@contoso.com", "a".repeat(400))));
        assert!(!named("guest#EXT#@contoso.com") && !named("+49 123"));
    }

    #[test]
    fn another_audience_tenant_or_time_is_refused() {
        assert!(matches!(read(&serde_json::json!({"aud": "x", "tid": TENANT})), Err(Error::IdToken { .. })));
        assert!(matches!(read(&serde_json::json!({"aud": "app", "tid": "x"})), Err(Error::OtherTenant { .. })));
        assert!(matches!(
            read(&serde_json::json!({"aud": "app", "tid": CONSUMER_TENANT})),
            Err(Error::PersonalAccount { .. })
        ));
        assert!(matches!(
            read(&serde_json::json!({"aud": ["app"], "tid": TENANT, "exp": 999_000})),
            Err(Error::IdTokenTime)
        ));
        assert!(Account::from_id_token(&"no token".to_owned().into(), "app", TENANT, 0).is_err());
    }
}
