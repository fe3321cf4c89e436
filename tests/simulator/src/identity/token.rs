//! `/{tenant}/oauth2/v2.0/token`: polling with a device code, and refreshing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::errors::{PENDING, Problem};
use super::scopes::Scopes;
use super::{CONSUMERS, jwt};
use crate::clock;
use crate::http::Asked;
use crate::ids;
use crate::knobs::Rotation;
use crate::misbehave::Fault;
use crate::options::Account;
use crate::state::{AccessToken, Decision, RefreshToken, State};

type Form = BTreeMap<String, String>;

pub(super) fn answer(state: &State, tenant: &str, asked: &Asked, faults: &[Fault]) -> Result<Value, Problem> {
    super::check_post(asked)?;
    super::check_tenant(state, tenant)?;
    let form = asked.form();
    let grant_type = super::field(&form, "grant_type")?;
    let client_id = super::check_client(state, &form)?;
    if form.contains_key("client_secret") || form.contains_key("client_assertion") {
        return Err(Problem::number(700_025));
    }
    if !state.knobs().public_client_flows {
        return Err(Problem::number(7_000_218));
    }
    check_loop(state)?;
    match grant_type {
        // The second spelling is the one of MSAL for JavaScript.
        "urn:ietf:params:oauth:grant-type:device_code" | "device_code" => {
            poll(state, tenant, &client_id, &form, faults)
        }
        "refresh_token" => refresh(state, &client_id, &form, faults),
        other => Err(Problem::said(70003, &format!("The app requested an unsupported grant type '{other}'."))),
    }
}

fn check_loop(state: &State) -> Result<(), Problem> {
    let Some(breaker) = state.knobs().loop_breaker else { return Ok(()) };
    let now = state.clock.now_ms();
    let mut inner = state.inner();
    inner.asked_ms.push_back(now);
    while inner.asked_ms.front().is_some_and(|then| then.saturating_add(breaker.seconds.saturating_mul(1000)) < now) {
        inner.asked_ms.pop_front();
    }
    if inner.asked_ms.len() > breaker.requests { Err(Problem::number(50196)) } else { Ok(()) }
}

fn poll(state: &State, tenant: &str, client_id: &str, form: &Form, faults: &[Fault]) -> Result<Value, Problem> {
    // MSAL Python sends both fields, older clients only `code`.
    let device_code =
        super::field(form, "device_code").or_else(|problem| super::field(form, "code").map_err(|_| problem))?;
    let now = state.clock.now_ms();
    let (upn, scopes) = {
        let mut inner = state.inner();
        let grant = inner.grants.get_mut(device_code).ok_or_else(|| Problem::number(70018))?;
        if grant.tenant != tenant.to_ascii_lowercase() || grant.client_id != client_id {
            return Err(Problem::number(70018));
        }
        let polled_ms = grant.polled_ms.replace(now);
        if grant.decision == Decision::Redeemed {
            return Err(Problem::number(54005));
        }
        if grant.expires_ms <= now {
            // What expired long ago is no longer told apart from what never was good.
            let aged = grant.expires_ms.saturating_add(grant.lifetime_ms) <= now;
            let problem = Problem::number(70020);
            return Err(if aged { Problem { error: "invalid_grant".into(), ..problem } } else { problem });
        }
        match &grant.decision {
            Decision::Pending => {
                let early = polled_ms
                    .is_some_and(|then| now.saturating_sub(then).saturating_add(TOLERANCE_MS) < grant.interval_ms);
                if early && state.knobs().slow_down {
                    // RFC 8628 section 3.5: five seconds more, from now on.
                    grant.interval_ms = grant.interval_ms.saturating_add(5000);
                    return Err(Problem {
                        error: "slow_down".into(),
                        codes: Vec::new(),
                        text: "The client polls too often.".into(),
                        ..Problem::number(PENDING)
                    });
                }
                return Err(Problem::number(PENDING));
            }
            Decision::Declined => {
                return Err(Problem {
                    error: "authorization_declined".into(),
                    text: "AADSTS70017: The end user denied the authorization request.".into(),
                    codes: vec![70017],
                    ..Problem::number(PENDING)
                });
            }
            Decision::Redeemed => return Err(Problem::number(54005)),
            Decision::Approved(upn) => {
                let upn = upn.to_string();
                grant.decision = Decision::Redeemed;
                (upn, grant.scopes.clone())
            }
        }
    };
    let account = state.account(&upn).ok_or_else(|| Problem::number(50034))?;
    let family = {
        let mut inner = state.inner();
        inner.families += 1;
        inner.families
    };
    Ok(issue(state, account, client_id, &scopes, family, form, faults))
}

/// Clocks of two processes never agree to the millisecond.
const TOLERANCE_MS: u64 = 50;

fn refresh(state: &State, client_id: &str, form: &Form, faults: &[Fault]) -> Result<Value, Problem> {
    let sent = super::field(form, "refresh_token")?;
    let wanted = form.get("scope").filter(|scope| !scope.is_empty()).map(|scope| Scopes::parse(scope)).transpose()?;
    let knobs = state.knobs();
    let now = state.clock.now_ms();
    let (upn, scopes, family) = {
        let mut inner = state.inner();
        let held = inner.refresh_tokens.get(sent).cloned().ok_or_else(|| Problem::number(70000))?;
        if held.client_id != client_id {
            return Err(Problem { suberror: Some("client_mismatch".into()), ..Problem::number(70000) });
        }
        let grace_ms = knobs.rotation_grace_s.saturating_mul(1000);
        let used_up = held.used_ms.is_some_and(|first| now >= first.saturating_add(grace_ms));
        if used_up && knobs.rotation == Rotation::Revoking {
            for token in inner.refresh_tokens.values_mut().filter(|token| token.family == held.family) {
                token.revoked = true;
            }
        }
        if used_up && knobs.rotation != Rotation::Lenient {
            return Err(Problem::number(70000));
        }
        if held.revoked {
            return Err(Problem::number(50173));
        }
        if held.expires_ms <= now {
            return Err(Problem::number(700_082));
        }
        if let Some(wanted) = &wanted
            && !held.scopes.covers(wanted)
        {
            return Err(Problem::number(65001));
        }
        if let Some(token) = inner.refresh_tokens.get_mut(sent) {
            token.used_ms.get_or_insert(now);
        }
        (held.upn, held.scopes, held.family)
    };
    let account = state.account(&upn).ok_or_else(|| Problem::number(50034))?;
    if !account.enabled {
        return Err(Problem::number(50057));
    }
    // The grant itself does not shrink by what one refresh asks for; the answer does.
    let mut asked = wanted.unwrap_or_else(|| scopes.clone());
    asked.oidc.extend(scopes.oidc.iter().filter(|name| *name == "offline_access").cloned());
    Ok(issue_with(state, account, client_id, &asked, &scopes, family, form, faults))
}

fn issue(
    state: &State,
    account: &Account,
    client_id: &str,
    scopes: &Scopes,
    family: u64,
    form: &Form,
    faults: &[Fault],
) -> Value {
    issue_with(state, account, client_id, scopes, scopes, family, form, faults)
}

/// Makes tokens for `asked` out of a grant of `held`.
#[expect(clippy::too_many_arguments, reason = "a token answer has this many ingredients")]
fn issue_with(
    state: &State,
    account: &Account,
    client_id: &str,
    asked: &Scopes,
    held: &Scopes,
    family: u64,
    form: &Form,
    faults: &[Fault],
) -> Value {
    let knobs = state.knobs();
    let (mut asked, mut held) = (asked.clone(), held.clone());
    let mut octets = knobs.access_token_octets;
    let mut tenant = state.options.tenant_id.clone();
    for fault in faults {
        match fault {
            Fault::ScopeReduced { scope } => {
                asked = asked.without(scope);
                held = held.without(scope);
            }
            Fault::TokenSize { octets: size } => octets = *size,
            Fault::OtherTenant {} => tenant = ids::guid_of("another tenant"),
            Fault::ConsumerTenant {} => tenant = CONSUMERS.into(),
            _ => {}
        }
    }

    let now_ms = state.clock.now_ms();
    let lifetime_s = knobs.access_token_lifetime_s.unwrap_or_else(drawn_lifetime_s);
    let access_token = jwt::access_token(access_claims(account, client_id, &asked, &tenant, lifetime_s), octets);
    let mut body = json!({
        "token_type": "Bearer",
        "scope": asked.granted(),
        "expires_in": lifetime_s,
        "ext_expires_in": lifetime_s,
        "access_token": access_token,
    });
    let mut inner = state.inner();
    inner.access_tokens.insert(
        access_token,
        AccessToken {
            upn: account.upn.clone(),
            scopes: asked.clone(),
            expires_ms: now_ms.saturating_add(lifetime_s.saturating_mul(1000)),
        },
    );
    if asked.has("offline_access") {
        let token = ids::secret("1.AXkA", knobs.refresh_token_octets);
        body["refresh_token"] = json!(token);
        inner.refresh_tokens.insert(
            token,
            RefreshToken {
                upn: account.upn.clone(),
                client_id: client_id.into(),
                scopes: held,
                expires_ms: now_ms.saturating_add(knobs.refresh_token_lifetime_s.saturating_mul(1000)),
                family,
                used_ms: None,
                revoked: false,
            },
        );
    }
    drop(inner);
    if asked.has("openid") {
        body["id_token"] = json!(state.signer.sign(&id_claims(state, account, client_id, &asked, &tenant, faults)));
    }
    if form.get("client_info").is_some_and(|wanted| wanted == "1") {
        body["client_info"] = json!(jwt::part(&json!({"uid": account.oid, "utid": tenant})));
    }
    body
}

/// 60 to 90 minutes, so that tokens of one hour's work do not all end at once.
fn drawn_lifetime_s() -> u64 {
    let mut raw = [0; 2];
    ids::random(&mut raw);
    3600 + u64::from(u16::from_be_bytes(raw)) % 1800
}

fn access_claims(account: &Account, client_id: &str, scopes: &Scopes, tenant: &str, lifetime_s: u64) -> Value {
    let now = clock::unix_s();
    json!({
        "aud": scopes.resource,
        "iss": format!("https://sts.windows.net/{tenant}/"),
        "iat": now,
        "nbf": now,
        "exp": now.saturating_add_unsigned(lifetime_s),
        "acr": "1",
        "amr": ["pwd", "mfa"],
        "appid": client_id,
        "appidacr": "0",
        "idtyp": "user",
        "name": account.name,
        "oid": account.oid,
        "scp": scopes.names.join(" "),
        "sub": ids::guid_of(&format!("access {}", account.oid)),
        "tid": tenant,
        "unique_name": account.upn,
        "upn": account.upn,
        "uti": ids::secret("", 22),
        "ver": "1.0",
    })
}

fn id_claims(
    state: &State,
    account: &Account,
    client_id: &str,
    scopes: &Scopes,
    tenant: &str,
    faults: &[Fault],
) -> Value {
    let now = clock::unix_s();
    let mut claims = json!({
        "aud": client_id,
        "iss": format!("{}/{tenant}/v2.0", state.identity_url()),
        "iat": now,
        "nbf": now,
        "exp": now + 3900,
        // Pairwise: another app sees another `sub` for the same person.
        "sub": ids::guid_of(&format!("{client_id} {}", account.oid)),
        "tid": tenant,
        "uti": ids::secret("", 22),
        "ver": "2.0",
    });
    if scopes.has("profile") {
        claims["name"] = json!(account.name);
        claims["oid"] = json!(account.oid);
        claims["preferred_username"] = json!(account.upn);
    }
    if let Some(email) = account.email.as_ref().filter(|_| scopes.has("email")) {
        claims["email"] = json!(email);
    }
    if let Value::Object(claims) = &mut claims {
        for fault in faults {
            match fault {
                Fault::IdToken { set, remove } => {
                    claims.extend(set.clone());
                    remove.iter().for_each(|name| drop(claims.remove(name)));
                }
                Fault::NoPreferredUsername {} => drop(claims.remove("preferred_username")),
                _ => {}
            }
        }
    }
    claims
}
