//! What a client reads before it asks for anything.

use serde_json::{Value, json};

use super::errors::Problem;
use crate::state::State;

pub(super) fn configuration(state: &State, tenant: &str) -> Result<Value, Problem> {
    // Of all endpoints only this one calls an unknown tenant by a name of its own.
    super::check_tenant(state, tenant).map_err(|problem| match problem.codes.as_slice() {
        [90002] => Problem { error: "invalid_tenant".into(), ..problem },
        _ => problem,
    })?;
    let base = state.identity_url();
    let endpoint = |name: &str| format!("{base}/{tenant}/oauth2/v2.0/{name}");
    // The issuer names the tenant by its GUID, however the request spelled it.
    let issuer = match tenant.to_ascii_lowercase().as_str() {
        "common" | "organizations" => "{tenantid}",
        _ => &state.options.tenant_id,
    };
    Ok(json!({
        "issuer": format!("{base}/{issuer}/v2.0"),
        "authorization_endpoint": endpoint("authorize"),
        "token_endpoint": endpoint("token"),
        "device_authorization_endpoint": endpoint("devicecode"),
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "ver", "email"
        ],
        "request_uri_parameter_supported": false,
        "tenant_region_scope": "EU",
        "cloud_instance_name": "localhost",
    }))
}

pub(super) fn instances(state: &State) -> Value {
    let host = state.identity_url().trim_start_matches("https://");
    json!({
        "tenant_discovery_endpoint": format!(
            "{}/{}/v2.0/.well-known/openid-configuration", state.identity_url(), state.options.tenant_id
        ),
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    })
}
