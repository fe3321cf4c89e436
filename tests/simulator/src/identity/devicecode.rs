//! `/{tenant}/oauth2/v2.0/devicecode`: RFC 8628 section 3.1 and 3.2 as Microsoft speaks them.

use serde_json::{Value, json};

use super::errors::Problem;
use super::scopes::Scopes;
use crate::http::Asked;
use crate::ids;
use crate::state::{Decision, Grant, State};

pub(super) fn answer(state: &State, tenant: &str, asked: &Asked) -> Result<Value, Problem> {
    super::check_post(asked)?;
    super::check_tenant(state, tenant)?;
    let form = asked.form();
    let client_id = super::check_client(state, &form)?;
    let scopes = Scopes::parse(super::field(&form, "scope")?)?;

    let knobs = state.knobs();
    let lifetime_ms = knobs.device_code_lifetime_s.saturating_mul(1000);
    let (user_code, device_code) = (ids::user_code(), ids::secret("HAQABIQEAAAD", 240));
    let verification_uri = state.verification_uri();
    state.inner().grants.insert(
        device_code.clone(),
        Grant {
            user_code: user_code.clone(),
            tenant: tenant.to_ascii_lowercase(),
            client_id,
            scopes,
            expires_ms: state.clock.now_ms().saturating_add(lifetime_ms),
            lifetime_ms,
            interval_ms: knobs.interval_s.saturating_mul(1000),
            polled_ms: None,
            decision: Decision::Pending,
        },
    );
    Ok(json!({
        "user_code": user_code,
        "device_code": device_code,
        "verification_uri": verification_uri,
        "expires_in": knobs.device_code_lifetime_s,
        "interval": knobs.interval_s,
        "message": message(asked.queried("mkt").as_deref(), &verification_uri, &user_code),
    }))
}

/// The words for the person; `mkt` chooses the language.
fn message(market: Option<&str>, page: &str, code: &str) -> String {
    let language = market.unwrap_or("en").split('-').next().unwrap_or("en").to_ascii_lowercase();
    match language.as_str() {
        "de" => format!(
            "Um sich anzumelden, öffnen Sie in einem Webbrowser die Seite {page}, und geben Sie den Code {code} ein, um sich zu authentifizieren."
        ),
        "cs" => {
            format!("Pokud se chcete přihlásit, otevřete ve webovém prohlížeči stránku {page} a zadejte kód {code}.")
        }
        _ => {
            format!("To sign in, use a web browser to open the page {page} and enter the code {code} to authenticate.")
        }
    }
}
