//! The identity half against what is written of Microsoft's.

mod client;

use std::time::Duration;

use client::{claims, device_code, form, http, poll, post, refresh, sign_in, start};
use exchange_simulator::{Account, Options, Simulator};
use serde_json::{Value, json};

const SCOPE: &str = client::SMTP_SEND;

#[test]
fn the_device_flow_goes_from_a_code_to_tokens_and_to_a_refresh() {
    let sim = start();
    let answer = post(&sim, "devicecode", &[("client_id", sim.client_id()), ("scope", SCOPE), ("x-client-SKU", "any")]);
    let body = answer.json();
    assert_eq!((answer.status, &body["expires_in"], &body["interval"]), (200, &json!(900), &json!(5)));
    assert_eq!(body["verification_uri"], format!("{}/devicelogin", sim.identity_url()));
    assert!(body["message"].as_str().unwrap().contains(body["user_code"].as_str().unwrap()));
    assert!(body.get("verification_uri_complete").is_none());

    let device_code = body["device_code"].as_str().unwrap();
    let pending = poll(&sim, device_code);
    assert_eq!(pending.error(), (400, "authorization_pending".into(), 70016));
    assert!(pending.head.contains("content-type: application/json"));
    let text = pending.json()["error_description"].as_str().unwrap().to_owned();
    assert!(text.starts_with("AADSTS70016: ") && text.contains("\r\nTrace ID: "), "{text}");

    sim.approve(body["user_code"].as_str().unwrap());
    let tokens = poll(&sim, device_code).json();
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["scope"], "https://outlook.office.com/SMTP.Send");
    assert!((3600..5400).contains(&tokens["expires_in"].as_u64().unwrap()));
    assert!(tokens.get("client_info").is_none(), "only who asks gets it");
    assert_eq!(poll(&sim, device_code).error(), (400, "invalid_grant".into(), 54005));

    let again = refresh(&sim, tokens["refresh_token"].as_str().unwrap()).json();
    assert_ne!(again["access_token"], tokens["access_token"]);
    assert_ne!(again["refresh_token"], tokens["refresh_token"]);
}

#[test]
fn both_spellings_of_the_grant_and_of_the_device_code_are_taken() {
    let sim = start();
    for (grant, field) in [("device_code", "device_code"), ("urn:ietf:params:oauth:grant-type:device_code", "code")] {
        let (user_code, code) = device_code(&sim, SCOPE);
        sim.approve(&user_code);
        let fields = [("grant_type", grant), ("client_id", sim.client_id()), (field, &code), ("client_info", "1")];
        let path = format!("/{}/oauth2/v2.0/token?client-request-id=x", sim.tenant_id());
        let answer = http(&sim, "POST", &path, &form(&fields)).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.json()["client_info"].is_string());
    }
}

#[test]
fn wrong_requests_get_microsofts_answers() {
    let sim = start();
    let client = sim.client_id().to_owned();
    let tenant = sim.tenant_id().to_owned();
    let graph = format!("{SCOPE} https://graph.microsoft.com/User.Read");
    let device = |tenant: &str, fields: &[(&str, &str)]| {
        http(&sim, "POST", &format!("/{tenant}/oauth2/v2.0/devicecode"), &form(fields)).unwrap().error()
    };
    let token = |fields: &[(&str, &str)]| post(&sim, "token", fields).error();
    let good = [("client_id", client.as_str()), ("scope", SCOPE)];
    let stranger = "11111111-2222-4333-8444-555555555555";
    for (seen, expected) in [
        (device(stranger, &good), (400, "invalid_request", 90002)),
        (device("fabrikam.example", &good), (400, "invalid_request", 90002)),
        (device("no%20name", &good), (400, "invalid_request", 900_023)),
        (device("common", &good), (400, "invalid_request", 50059)),
        (device("organizations", &good), (400, "invalid_request", 50059)),
        (device("consumers", &good), (400, "invalid_request", 9_002_332)),
        (device(&tenant, &[("client_id", stranger), ("scope", SCOPE)]), (400, "unauthorized_client", 700_016)),
        (device(&tenant, &[("scope", SCOPE)]), (400, "invalid_request", 900_144)),
        (device(&tenant, &[("client_id", &client)]), (400, "invalid_request", 900_144)),
        (device(&tenant, &[("client_id", &client), ("scope", &graph)]), (400, "invalid_request", 28000)),
        (
            device(&tenant, &[("client_id", &client), ("scope", "https://x.example/y")]),
            (400, "invalid_resource", 500_011),
        ),
        (token(&[("client_id", &client)]), (400, "invalid_request", 900_144)),
        (token(&[("client_id", &client), ("grant_type", "password")]), (400, "unsupported_grant_type", 70003)),
        (token(&[("client_id", &client), ("grant_type", "device_code")]), (400, "invalid_request", 900_144)),
        (
            token(&[("client_id", &client), ("grant_type", "device_code"), ("device_code", "x")]),
            (400, "bad_verification_code", 70018),
        ),
        (
            token(&[("client_id", &client), ("grant_type", "device_code"), ("client_secret", "x")]),
            (401, "invalid_client", 700_025),
        ),
        (
            token(&[("client_id", &client), ("grant_type", "refresh_token"), ("refresh_token", "x")]),
            (400, "invalid_grant", 70000),
        ),
    ] {
        assert_eq!((seen.0, seen.1.as_str(), seen.2), expected);
    }
    let get = http(&sim, "GET", &format!("/{tenant}/oauth2/v2.0/token"), "").unwrap();
    assert_eq!(get.error(), (400, "invalid_request".into(), 900_561));
    sim.set(json!({"public_client_flows": false, "devicecode_error_status": 200}));
    let (_, code) = device_code(&sim, SCOPE);
    assert_eq!(poll(&sim, &code).error(), (401, "invalid_client".into(), 7_000_218));
    assert_eq!(device(stranger, &good), (200, "invalid_request".into(), 90002));
}

#[test]
fn the_token_request_has_to_name_the_tenant_as_the_code_request_did() {
    let sim = start();
    let (user_code, code) = device_code(&sim, SCOPE);
    sim.approve(&user_code);
    let fields = [("grant_type", "device_code"), ("client_id", sim.client_id()), ("device_code", &code)];
    let other = http(&sim, "POST", "/contoso.example/oauth2/v2.0/token", &form(&fields)).unwrap();
    assert_eq!(other.error(), (400, "bad_verification_code".into(), 70018));
    assert_eq!(poll(&sim, &code).status, 200);
}

#[test]
fn a_code_expires_and_ages() {
    let sim = start();
    sim.set(json!({"device_code_lifetime_s": 60, "interval_s": 1}));
    let (_, code) = device_code(&sim, SCOPE);
    sim.advance(Duration::from_secs(59));
    assert_eq!(poll(&sim, &code).error().1, "authorization_pending");
    sim.advance(Duration::from_secs(2));
    assert_eq!(poll(&sim, &code).error(), (400, "expired_token".into(), 70020));
    sim.advance(Duration::from_secs(60));
    assert_eq!(poll(&sim, &code).error(), (400, "invalid_grant".into(), 70020));
}

#[test]
fn declining_is_told_to_the_poller() {
    let sim = start();
    let (user_code, code) = device_code(&sim, SCOPE);
    sim.decline(&user_code);
    let (status, error, _) = poll(&sim, &code).error();
    assert_eq!((status, error.as_str()), (400, "authorization_declined"));
}

#[test]
fn slow_down_is_sent_only_when_asked_for() {
    let sim = start();
    let (user_code, code) = device_code(&sim, SCOPE);
    for _ in 0..3 {
        assert_eq!(poll(&sim, &code).error().1, "authorization_pending");
    }
    sim.set(json!({"slow_down": true}));
    assert_eq!(poll(&sim, &code).error().1, "slow_down");
    sim.advance(Duration::from_secs(6));
    assert_eq!(poll(&sim, &code).error().1, "slow_down", "the interval grew to ten seconds");
    sim.advance(Duration::from_secs(16));
    assert_eq!(poll(&sim, &code).error().1, "authorization_pending");
    sim.approve(&user_code);
    assert_eq!(poll(&sim, &code).status, 200);
}

#[test]
fn refresh_tokens_rotate_as_told() {
    let sim = start();
    let token = |body: &Value| body["refresh_token"].as_str().unwrap().to_owned();
    let first = token(&sign_in(&sim, SCOPE));
    assert_eq!(refresh(&sim, &first).status, 200);
    assert_eq!(refresh(&sim, &first).status, 200, "Microsoft's old tokens live on");

    sim.set(json!({"rotation": "strict"}));
    let first = token(&sign_in(&sim, SCOPE));
    let second = token(&refresh(&sim, &first).json());
    assert_eq!(refresh(&sim, &first).error(), (400, "invalid_grant".into(), 70000));
    assert_eq!(refresh(&sim, &second).status, 200);

    sim.set(json!({"rotation": "revoking"}));
    let first = token(&sign_in(&sim, SCOPE));
    let second = token(&refresh(&sim, &first).json());
    assert_eq!(refresh(&sim, &first).error().2, 70000);
    assert_eq!(refresh(&sim, &second).error().2, 50173);

    sim.set(json!({"rotation": "lenient"}));
    let idle = token(&sign_in(&sim, SCOPE));
    sim.advance(Duration::from_secs(91 * 24 * 3600));
    assert_eq!(refresh(&sim, &idle).error(), (400, "invalid_grant".into(), 700_082));
    let revoked = token(&sign_in(&sim, SCOPE));
    sim.revoke(sim.account());
    assert_eq!(refresh(&sim, &revoked).error().2, 50173);
}

#[test]
fn with_a_grace_an_old_refresh_token_works_on_for_so_long_after_its_first_use() {
    let sim = start();
    let token = |body: &Value| body["refresh_token"].as_str().unwrap().to_owned();
    for rotation in ["strict", "revoking"] {
        sim.set(json!({"rotation": rotation, "rotation_grace_s": 60}));
        let first = token(&sign_in(&sim, SCOPE));
        sim.advance(Duration::from_secs(100));
        let second = token(&refresh(&sim, &first).json());
        sim.advance(Duration::from_secs(30));
        let third = token(&refresh(&sim, &first).json());
        assert_ne!(third, second, "a new pair again");
        sim.advance(Duration::from_secs(31));
        assert_eq!(
            refresh(&sim, &first).error().2,
            70000,
            "{rotation}: 61 s after the first use, 31 s after the second"
        );
        let after = if rotation == "strict" { 200 } else { 400 };
        assert_eq!([second, third].map(|token| refresh(&sim, &token).status), [after, after], "{rotation}");
    }
}

#[test]
fn scopes_decide_what_an_answer_holds() {
    let sim = start();
    let bare = sign_in(&sim, "https://outlook.office.com/SMTP.Send");
    assert!(bare.get("refresh_token").is_none() && bare.get("id_token").is_none());
    let default = sign_in(&sim, "https://outlook.office.com/.default offline_access");
    assert_eq!(default["scope"].as_str().unwrap().split(' ').count(), 3);
    let claims = claims(default["access_token"].as_str().unwrap());
    assert_eq!(claims["aud"], "https://outlook.office.com");
    assert_eq!(claims["scp"], "SMTP.Send IMAP.AccessAsUser.All POP.AccessAsUser.All");
}

#[test]
fn the_id_token_names_the_person_and_the_email_claim_may_differ() {
    let sim = Simulator::start(Options {
        accounts: vec![Account::new("p.rint@contoso.example", "P").email("printing@contoso.example")],
        ..Options::default()
    })
    .unwrap();
    let of = |scope: &str| claims(sign_in(&sim, scope)["id_token"].as_str().unwrap());
    let id = of(&format!("{SCOPE} email"));
    assert_eq!(id["preferred_username"], "p.rint@contoso.example");
    assert_eq!(id["email"], "printing@contoso.example");
    assert_eq!((&id["aud"], &id["tid"]), (&json!(sim.client_id()), &json!(sim.tenant_id())));
    assert_eq!(id["iss"], format!("{}/{}/v2.0", sim.identity_url(), sim.tenant_id()));
    assert_eq!(id["ver"], "2.0");
    assert!(id["nbf"].as_i64().unwrap() < id["exp"].as_i64().unwrap());
    assert!(of(SCOPE).get("email").is_none());
    let bare = of("https://outlook.office.com/SMTP.Send openid");
    assert!(bare.get("preferred_username").is_none() && bare.get("oid").is_none());
}

#[test]
fn metadata_names_the_endpoints() {
    let sim = start();
    let get = |path: &str| http(&sim, "GET", path, "").unwrap();
    let body = get("/contoso.example/v2.0/.well-known/openid-configuration").json();
    let base = sim.identity_url();
    assert_eq!(body["issuer"], format!("{base}/{}/v2.0", sim.tenant_id()));
    assert_eq!(body["device_authorization_endpoint"], format!("{base}/contoso.example/oauth2/v2.0/devicecode"));
    let keys = body["jwks_uri"].as_str().unwrap().strip_prefix(&base).unwrap();
    assert_eq!(get(keys).json()["keys"][0]["kty"], "EC");
    let unknown = get("/nowhere.example/v2.0/.well-known/openid-configuration").error();
    assert_eq!(unknown, (400, "invalid_tenant".into(), 90002));
    let instances = get("/common/discovery/instance?api-version=1.1").json();
    assert!(instances["tenant_discovery_endpoint"].as_str().unwrap().starts_with(&base));
}

#[test]
fn a_person_gets_through_the_pages() {
    let mut options = Options::default();
    options.accounts.push(Account { enabled: false, ..Account::new("gone@contoso.example", "Gone") });
    let sim = Simulator::start(options).unwrap();
    let page = |step: &str, fields: &[(&str, &str)]| {
        let answer = http(&sim, "POST", &format!("/devicelogin{step}"), &form(fields)).unwrap();
        (answer.status, answer.body)
    };
    assert!(http(&sim, "GET", "/devicelogin", "").unwrap().body.contains("name=\"otc\""));
    let (status, text) = page("", &[("otc", "<XXXXXXXX>")]);
    assert!(status == 400 && text.contains("70018") && text.contains("&lt;XXXXXXXX&gt;"), "{text}");

    let (user_code, code) = device_code(&sim, SCOPE);
    let typed = user_code.to_lowercase();
    assert!(page("", &[("otc", &typed)]).1.contains("name=\"login\""));
    assert!(page("/account", &[("otc", &typed), ("login", "who@contoso.example")]).1.contains("50034"));
    assert!(page("/account", &[("otc", &typed), ("login", "gone@contoso.example")]).1.contains("50057"));
    let (_, text) = page("/account", &[("otc", &typed), ("login", "admin@contoso.example")]);
    assert!(text.contains("Are you trying to sign in to MyQ Print Server?"), "{text}");
    assert_eq!(poll(&sim, &code).error().1, "authorization_pending");
    let yes = [("otc", typed.as_str()), ("login", "admin@contoso.example"), ("action", "continue")];
    assert!(page("/confirm", &yes).1.contains("You may now close this window"));
    let id = claims(poll(&sim, &code).json()["id_token"].as_str().unwrap());
    assert_eq!(id["preferred_username"], "admin@contoso.example");
    assert!(page("", &[("otc", &typed)]).1.contains("90120"));

    let (user_code, code) = device_code(&sim, SCOPE);
    let no = [("otc", user_code.as_str()), ("login", "admin@contoso.example"), ("action", "cancel")];
    assert!(page("/confirm", &no).1.contains("declined"));
    assert_eq!(poll(&sim, &code).error().1, "authorization_declined");

    let (user_code, code) = device_code(&sim, SCOPE);
    sim.misbehave(json!({"name": "aadsts", "code": 53003, "at": "page", "times": 1}));
    let yes = [("otc", user_code.as_str()), ("login", "admin@contoso.example"), ("action", "continue")];
    let (status, text) = page("/confirm", &yes);
    assert!(status == 400 && text.contains("AADSTS53003"), "{text}");
    assert_eq!(poll(&sim, &code).error().1, "authorization_pending", "the poller sees nothing of it");

    sim.advance(Duration::from_secs(901));
    assert!(page("", &[("otc", &user_code)]).1.contains("70019"));
}

#[test]
fn every_request_is_in_the_log() {
    let sim = start();
    let (_, code) = device_code(&sim, SCOPE);
    poll(&sim, &code);
    let requests = sim.requests();
    let [first, second] = requests.as_slice() else { panic!("{requests:?}") };
    assert!(first.path.ends_with("/devicecode") && first.form["scope"] == SCOPE && first.status == 200);
    assert_eq!((second.status, second.error.as_deref()), (400, Some("authorization_pending")));
    assert_eq!(second.form["device_code"], code);
    assert!(second.at_ms >= first.at_ms);
}

#[test]
fn the_control_api_does_what_the_rust_api_does() {
    let sim = start();
    let (user_code, code) = device_code(&sim, SCOPE);
    let control =
        |verb: &str, body: Value| http(&sim, "POST", &format!("/simulator/{verb}"), &body.to_string()).unwrap();
    assert_eq!(control("approve", json!({"user_code": "WRONG"})).status, 400);
    assert_eq!(control("approve", json!({"user_code": user_code})).status, 200);
    assert_eq!(control("set", json!({"rotation": "strict"})).status, 200);
    assert_eq!(control("set", json!({"rotation": "sideways"})).status, 400);
    assert_eq!(control("misbehave", json!({"name": "no-refresh-token"})).status, 200);
    assert_eq!(control("misbehave", json!({"name": "nonsense"})).status, 400);
    assert_eq!(control("nonsense", json!({})).status, 404);
    assert!(poll(&sim, &code).json().get("refresh_token").is_none());
    let get = |path: &str| http(&sim, "GET", &format!("/simulator/{path}"), "").unwrap().json();
    assert_eq!(get("knobs")["rotation"], "strict");
    assert_eq!(get("rules")[0]["name"], "no-refresh-token");
    assert_eq!(control("behave", json!({})).status, 200);
    assert_eq!(get("rules"), json!([]));
    assert_eq!(get("requests").as_array().unwrap().len(), 2, "what is asked of /simulator is not logged");
    assert_eq!(get("settings").to_string(), sim.settings_json());
}

#[test]
fn an_authority_in_a_directory_outlives_the_simulator() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options { directory: Some(directory.path().to_owned()), ..Options::default() };
    let first = Simulator::start(options()).unwrap();
    let ca = std::fs::read(first.ca_file()).unwrap();
    drop(first);
    let second = Simulator::start(options()).unwrap();
    assert_eq!(std::fs::read(second.ca_file()).unwrap(), ca);
    device_code(&second, SCOPE);

    let temporary = start().ca_file().to_owned();
    assert!(!temporary.exists(), "a temporary directory goes with its simulator");
}
