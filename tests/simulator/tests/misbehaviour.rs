//! Everything that can go wrong on demand, seen from the client's side of the wire.

mod client;

use std::time::{Duration, Instant};

use client::{SMTP_SEND, Smtp, access_token, claims, device_code, message, poll, refresh, sign_in, start, try_post};
use exchange_simulator::Simulator;
use serde_json::{Value, json};

fn ask_code(sim: &Simulator) -> std::io::Result<client::Answer> {
    try_post(sim, "devicecode", &[("client_id", sim.client_id()), ("scope", SMTP_SEND)])
}

#[test]
fn any_number_comes_at_any_place_as_often_as_asked() {
    let sim = start();
    let token = sign_in(&sim, SMTP_SEND)["refresh_token"].as_str().unwrap().to_owned();
    sim.misbehave(json!({"name": "aadsts", "code": 53003, "at": "refresh", "after": 1, "times": 1}));
    let statuses: Vec<u16> = (0..3).map(|_| refresh(&sim, &token).status).collect();
    assert_eq!(statuses, [200, 400, 200]);

    sim.misbehave(json!({"name": "aadsts", "code": 90002, "at": "devicecode", "status": 200, "times": 1}));
    assert_eq!(ask_code(&sim).unwrap().error(), (200, "invalid_request".into(), 90002));
    sim.misbehave(
        json!({"name": "aadsts", "code": 70008, "codes": [70002, 70008], "at": "poll", "suberror": "token_expired",
        "claims": "{\"access_token\":{}}", "error": "interaction_required", "description": "words", "times": 1}),
    );
    let body = poll(&sim, "any").json();
    assert_eq!(body["error_codes"], json!([70002, 70008]));
    assert_eq!((&body["error"], &body["suberror"]), (&json!("interaction_required"), &json!("token_expired")));
    assert_eq!(body["claims"], "{\"access_token\":{}}");
    assert!(body["error_description"].as_str().unwrap().starts_with("AADSTS70008: words\r\n"));

    sim.misbehave(json!({"name": "aadsts", "code": 4_999_999, "at": ["poll", "refresh"]}));
    assert_eq!(refresh(&sim, &token).error(), (400, "invalid_grant".into(), 4_999_999));
    assert_eq!(poll(&sim, "any").error().2, 4_999_999);
    sim.behave();
    sim.misbehave(json!({"name": "error", "error": "brand_new", "at": "refresh", "status": 418}));
    let answer = refresh(&sim, &token);
    assert_eq!((answer.status, &answer.json()["error"]), (418, &json!("brand_new")));
    sim.behave();
    assert_eq!(refresh(&sim, &token).status, 200);
}

#[test]
fn gateways_fail_as_gateways_do() {
    let sim = start();
    sim.misbehave(json!({"name": "http", "status": 429, "retry_after": "7", "at": "devicecode", "times": 1}));
    let answer = ask_code(&sim).unwrap();
    assert_eq!(answer.status, 429);
    assert!(answer.head.contains("retry-after: 7") && answer.head.contains("text/html"), "{}", answer.head);
    sim.misbehave(json!({"name": "http", "status": 503, "body": "json", "times": 1}));
    let answer = ask_code(&sim).unwrap();
    assert_eq!(answer.error(), (503, "temporarily_unavailable".into(), 90033));
    assert!(!answer.head.contains("retry-after"));
    sim.misbehave(json!({"name": "http", "status": 302, "location": "https://elsewhere.example/", "body": "empty",
        "octets": 100_000, "times": 1}));
    let answer = ask_code(&sim).unwrap();
    assert!(answer.head.contains("location: https://elsewhere.example/") && answer.body.len() == 100_000);
    assert_eq!(ask_code(&sim).unwrap().status, 200);
}

#[test]
fn answers_are_late_cut_reset_or_lost() {
    let sim = start();
    sim.misbehave(json!({"name": "delay", "ms": 120, "at": "devicecode", "times": 1}));
    let begun = Instant::now();
    ask_code(&sim).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(120));
    for rule in [
        json!({"name": "cut", "at": "devicecode", "times": 1}),
        json!({"name": "cut", "octets": 0, "at": "devicecode", "times": 1}),
        json!({"name": "drop", "at": "devicecode", "times": 1}),
        json!({"name": "drop", "at": "identity.tls", "times": 1}),
        json!({"name": "reset", "at": "identity.tls", "times": 1}),
        json!({"name": "no-tls", "at": "identity.tls", "times": 1}),
    ] {
        sim.misbehave(rule.clone());
        assert!(ask_code(&sim).is_err(), "{rule}");
        assert!(ask_code(&sim).is_ok(), "{rule}");
    }
    sim.misbehave(json!({"name": "reset", "at": "devicecode", "times": 1}));
    let error = ask_code(&sim).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");

    // Late by any part of the time; and late although the work is done.
    sim.misbehave(json!({"name": "delay", "ms": 60, "random": true, "at": "devicecode", "times": 20}));
    let mut waits = (0..20).map(|_| {
        let begun = Instant::now();
        ask_code(&sim).unwrap();
        begun.elapsed()
    });
    let first = waits.next().unwrap();
    assert!(waits.any(|wait| wait.abs_diff(first) > Duration::from_millis(3)), "not always the same");
    sim.behave();
    sim.set(json!({"rotation": "strict"}));
    let first = sign_in(&sim, SMTP_SEND)["refresh_token"].as_str().unwrap().to_owned();
    sim.misbehave(json!({"name": "delay", "ms": 2000, "when": "unanswered", "at": "refresh", "times": 1}));
    let asked = sim.requests().len();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(refresh(&sim, &first).status, 200));
        while sim.requests().len() == asked {
            std::thread::yield_now();
        }
        assert_eq!(refresh(&sim, &first).error().2, 70000, "used up while its answer waits");
        assert!(begun.elapsed() < Duration::from_secs(2));
    });
    assert!(begun.elapsed() >= Duration::from_secs(2));

    // A lost answer loses the grant.
    let (user_code, code) = device_code(&sim, SMTP_SEND);
    sim.approve(&user_code);
    sim.misbehave(json!({"name": "drop", "when": "unanswered", "at": "poll", "times": 1}));
    let fields = [("grant_type", "device_code"), ("client_id", sim.client_id()), ("device_code", code.as_str())];
    assert!(try_post(&sim, "token", &fields).is_err());
    assert_eq!(poll(&sim, &code).error().2, 54005);
    assert_eq!(sim.requests().iter().rev().nth(1).unwrap().status, 0);
}

#[test]
fn good_answers_can_be_odd() {
    let sim = start();
    let code_answer = |rule: Value| {
        sim.misbehave(rule);
        let body = ask_code(&sim).unwrap().json();
        sim.behave();
        body
    };
    assert_eq!(code_answer(json!({"name": "interval-string"}))["interval"], "5");
    assert!(code_answer(json!({"name": "interval-missing"})).get("interval").is_none());
    assert_eq!(code_answer(json!({"name": "expires-in-string"}))["expires_in"], "900");
    let changed =
        json!({"name": "change", "at": "devicecode", "set": {"verification_url": "x"}, "remove": ["verification_uri"]});
    assert!(code_answer(changed).get("verification_uri").is_none());

    let tokens = |rule: Value| {
        let (user_code, code) = device_code(&sim, SMTP_SEND);
        sim.approve(&user_code);
        sim.misbehave(rule);
        let body = poll(&sim, &code).json();
        sim.behave();
        body
    };
    let id = |body: Value| claims(body["id_token"].as_str().unwrap());
    assert!(tokens(json!({"name": "no-refresh-token"})).get("refresh_token").is_none());
    assert!(tokens(json!({"name": "no-id-token"})).get("id_token").is_none());
    assert!(tokens(json!({"name": "scope-missing"})).get("scope").is_none());
    assert!(tokens(json!({"name": "expires-in-string"}))["expires_in"].is_string());
    assert!(id(tokens(json!({"name": "no-preferred-username"}))).get("preferred_username").is_none());
    assert_ne!(id(tokens(json!({"name": "other-tenant"})))["tid"], sim.tenant_id());
    assert_eq!(id(tokens(json!({"name": "consumer-tenant"})))["tid"], "9188040d-6c67-4c5b-b112-36a304b66dad");
    let claimed = id(tokens(json!({"name": "id-token", "at": "poll", "set": {"email": "e@x"}, "remove": ["oid"]})));
    assert!(claimed["email"] == "e@x" && claimed.get("oid").is_none());
    for octets in [1500, 3000, 8000, 12_000] {
        let body = tokens(json!({"name": "token-size", "octets": octets}));
        assert!(body["access_token"].as_str().unwrap().len().abs_diff(octets) < 40);
    }
    let reduced = tokens(json!({"name": "scope-reduced", "scope": "SMTP.Send"}));
    assert_eq!(reduced["scope"], "");
    let token = reduced["access_token"].as_str().unwrap();
    assert!(Smtp::secure(&sim).log_in(sim.account(), token).starts_with("535 5.7.3 "), "the token itself lacks it");
}

#[test]
fn the_services_clock_can_be_wrong() {
    let sim = start();
    sim.misbehave(json!({"name": "date-skew", "seconds": -315_360_000, "times": 1}));
    let date = |answer: client::Answer| {
        answer.head.lines().find_map(|line| line.strip_prefix("date: ").map(ToOwned::to_owned)).unwrap()
    };
    let (wrong, right) = (date(ask_code(&sim).unwrap()), date(ask_code(&sim).unwrap()));
    assert!(wrong.ends_with(" gmt") && wrong.len() == right.len(), "{wrong}");
    let year = |date: &str| date.split(' ').nth(3).and_then(|year| year.parse::<i32>().ok()).unwrap();
    assert_eq!(year(&right) - year(&wrong), 10);
}

#[test]
fn the_loop_breaker_breaks() {
    let sim = start();
    sim.set(json!({"loop_breaker": {"requests": 2, "seconds": 60}}));
    let (_, code) = device_code(&sim, SMTP_SEND);
    let codes: Vec<u64> = (0..3).map(|_| poll(&sim, &code).error().2).collect();
    assert_eq!(codes, [70016, 70016, 50196]);
    sim.advance(Duration::from_secs(61));
    assert_eq!(poll(&sim, &code).error().2, 70016);
}

#[test]
fn flawed_certificates_are_refused_by_a_careful_client() {
    let sim = start();
    for flaw in ["unknown-issuer", "wrong-name", "expired", "not-yet-valid"] {
        sim.misbehave(json!({"name": "certificate", "flaw": flaw, "at": "identity.tls", "times": 1}));
        let error = ask_code(&sim).err().unwrap().to_string();
        assert!(error.contains("certificate"), "{flaw}: {error}");
        sim.misbehave(json!({"name": "certificate", "flaw": flaw, "at": "smtp.tls", "times": 1}));
        let mut smtp = Smtp::connect(&sim);
        smtp.reply();
        smtp.ask("STARTTLS");
        assert!(smtp.start_tls(&sim).unwrap_err().to_string().contains("certificate"), "{flaw}");
    }
    ask_code(&sim).unwrap();
}

#[test]
fn starttls_can_be_stripped_refused_or_injected_into() {
    let sim = start();
    sim.misbehave(json!({"name": "no-starttls"}));
    let mut smtp = Smtp::connect(&sim);
    smtp.reply();
    assert!(!smtp.ask("EHLO client.example").contains("STARTTLS"));
    assert!(smtp.ask("STARTTLS").starts_with("500 "));
    sim.behave();

    sim.misbehave(json!({"name": "tls-unavailable", "times": 1}));
    let mut smtp = Smtp::connect(&sim);
    smtp.reply();
    assert!(smtp.ask("STARTTLS").starts_with("454 "));
    sim.misbehave(json!({"name": "starttls-injection", "text": "250 injected"}));
    assert_eq!(smtp.ask("STARTTLS"), "220 2.0.0 SMTP server ready\r\n");
    assert_eq!(smtp.reply(), "250 injected\r\n");
    smtp.start_tls(&sim).unwrap();
    sim.behave();

    let mut smtp = Smtp::connect(&sim);
    smtp.reply();
    smtp.send(b"STARTTLS\r\nEHLO eager.example\r\n");
    assert!(smtp.reply().starts_with("220 ") && smtp.is_over(), "a gap is closed, not read");
    assert!(sim.smtp_sessions().pop().unwrap().plaintext_behind_starttls);

    sim.misbehave(json!({"name": "no-xoauth2", "times": 1}));
    let mut smtp = Smtp::secure(&sim);
    assert!(smtp.ask("EHLO again.example").contains("XOAUTH2"), "once only");
}

#[test]
fn named_replies_come_at_their_moment() {
    let sim = start();
    let token = access_token(&sim);
    let own = sim.account().to_owned();

    sim.misbehave(json!({"name": "busy-greeting", "times": 1}));
    let mut smtp = Smtp::connect(&sim);
    assert!(smtp.reply().starts_with("421 4.3.2 ") && smtp.is_over());

    for (name, start) in [
        ("auth-unsuccessful", "535 5.7.3 "),
        (
            "tenant-disabled",
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
        ),
        (
            "security-defaults",
            "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults",
        ),
        ("conditional-access", "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria"),
        ("auth-temporary", "451 4.7.0 Temporary server error. Please try again later. PRX4 ["),
    ] {
        sim.misbehave(json!({"name": name, "times": 1}));
        let mut smtp = Smtp::secure(&sim);
        let reply = smtp.log_in(&own, &token);
        assert!(reply.starts_with(start), "{name}: {reply}");
        assert!(smtp.log_in(&own, &token).starts_with("235 "), "{name} once");
    }

    let mut smtp = Smtp::ready(&sim);
    sim.misbehave(json!({"name": "server-busy", "times": 1}));
    assert!(smtp.ask(&format!("MAIL FROM:<{own}>")).starts_with("451 4.7.500 "));
    sim.misbehave(json!({"name": "recipient-refused", "recipient": "no@c.example", "times": 1}));
    smtp.ask(&format!("MAIL FROM:<{own}>"));
    assert!(smtp.ask("RCPT TO:<yes@c.example>").starts_with("250 "));
    assert!(smtp.ask("RCPT TO:<NO@c.example>").starts_with("550 5.1.10 "));
    assert!(smtp.ask("RSET").starts_with("250 "));
    let mut stranger = Smtp::secure(&sim);
    sim.misbehave(json!({"name": "reply", "at": "smtp.auth-challenge", "text": "454 4.7.0 not now", "times": 1}));
    assert_eq!(stranger.ask("AUTH XOAUTH2"), "454 4.7.0 not now\r\n");
    assert!(stranger.log_in(&own, &token).starts_with("235 "), "no response was waited for");
    for (name, start) in
        [("thread-limit", "432 4.3.2 STOREDRV.ClientSubmit; "), ("send-as-denied", "554 5.2.252 SendAsDenied; print@")]
    {
        sim.misbehave(json!({"name": name, "times": 1}));
        let reply = smtp.mail(&own, "b@c.example", &message(&own));
        assert!(reply.starts_with(start), "{name}: {reply}");
    }
    sim.misbehave(json!({"name": "reply", "at": "smtp.body", "text": "250-odd\n250 2.6.0 odd", "times": 1}));
    assert_eq!(smtp.mail(&own, "b@c.example", &message(&own)), "250-odd\r\n250 2.6.0 odd\r\n");
    assert!(sim.mails().is_empty(), "a reply by rule is in place of the work");

    assert!(smtp.mail(&own, "b@c.example", &message(&own)).starts_with("250 "));
    sim.misbehave(json!({"name": "goodbye"}));
    assert!(smtp.ask(&format!("MAIL FROM:<{own}>")).starts_with("421 ") && smtp.is_over());
    assert!(Smtp::ready(&sim).ask(&format!("MAIL FROM:<{own}>")).starts_with("250 "), "only between mails");
}

#[test]
fn a_connection_ends_before_after_or_instead_of_the_last_word() {
    let sim = start();
    let own = sim.account().to_owned();
    let run = |rule: Value| {
        sim.misbehave(rule);
        let mut smtp = Smtp::ready(&sim);
        let before = sim.mails().len();
        smtp.ask(&format!("MAIL FROM:<{own}>"));
        smtp.ask("RCPT TO:<b@c.example>");
        smtp.ask("DATA");
        smtp.send(format!("{}.\r\n", message(&own)).as_bytes());
        let reply = smtp.try_reply();
        sim.behave();
        (reply, sim.mails().len() - before)
    };
    let (reply, kept) = run(json!({"name": "drop", "at": "smtp.body", "when": "before"}));
    assert_eq!((reply.unwrap().as_str(), kept), ("", 0));
    let (reply, kept) = run(json!({"name": "drop", "at": "smtp.body", "when": "unanswered"}));
    assert_eq!((reply.unwrap().as_str(), kept), ("", 1));
    let (reply, kept) = run(json!({"name": "drop", "at": "smtp.body", "when": "after"}));
    assert!(reply.unwrap().starts_with("250 ") && kept == 1);
    let (reply, kept) = run(json!({"name": "reset", "at": "smtp.body", "when": "unanswered"}));
    assert_eq!((reply.unwrap_err().kind(), kept), (std::io::ErrorKind::ConnectionReset, 1));
    let (reply, kept) = run(json!({"name": "cut", "at": "smtp.body", "octets": 7}));
    assert_eq!((reply.unwrap().as_str(), kept), ("250 2.0", 1));
    let (reply, kept) = run(json!({"name": "dribble", "at": "smtp.body", "ms": 1}));
    assert!(reply.unwrap().ends_with("]\r\n") && kept == 1);
    let (reply, kept) = run(json!({"name": "drop", "at": "smtp.receiving"}));
    assert!(reply.is_ok_and(|reply| reply.is_empty()) && kept == 0);

    sim.misbehave(json!({"name": "withhold", "at": "smtp.body", "times": 1}));
    let mut smtp = Smtp::ready(&sim);
    smtp.ask(&format!("MAIL FROM:<{own}>"));
    smtp.ask("RCPT TO:<b@c.example>");
    smtp.ask("DATA");
    let before = sim.mails().len();
    smtp.send(format!("{}.\r\n", message(&own)).as_bytes());
    assert_eq!(
        sim.wait_for_mails(before + 1, Duration::from_secs(10)).len(),
        before + 1,
        "kept, though nothing is said"
    );
}

#[test]
fn a_connection_can_be_cut_after_any_octet() {
    let sim = start();
    for octets in [1, 3, 4, 90, 130, 200] {
        sim.misbehave(json!({"name": "cut", "at": "smtp.connect", "octets": octets, "times": 1}));
        let mut smtp = Smtp::connect(&sim);
        let mut seen = smtp.reply().len();
        if seen < octets {
            seen += smtp.ask("EHLO client.example").len();
        }
        assert_eq!(seen, octets);
    }
}

#[test]
fn a_kept_connection_goes_stale() {
    let sim = start();
    let own = sim.account().to_owned();
    sim.misbehave(json!({"name": "idle-close", "ms": 30, "times": 1}));
    let mut smtp = Smtp::ready(&sim);
    smtp.mail(&own, "b@c.example", &message(&own));
    assert!(smtp.is_over());
    sim.misbehave(json!({"name": "idle-close", "ms": 30, "text": "421 4.4.1 too long", "after_mails": 0, "times": 1}));
    let mut smtp = Smtp::connect(&sim);
    smtp.reply();
    assert_eq!(smtp.reply(), "421 4.4.1 too long\r\n");
    assert!(smtp.is_over());
}

#[test]
#[should_panic(expected = "no-such-name")]
fn a_misspelt_rule_is_loud() {
    start().misbehave(json!({"name": "no-such-name"}));
}
