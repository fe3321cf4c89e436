//! Sending, through the C ABI against the simulator: what arrives, and what is said of what does not.

mod common;

use std::time::{Duration, Instant};

use common::{Failure, Host, Mail, simulator};
use exchange_simulator::Simulator;
use mailparse::MailHeaderMap;
use serde_json::{Value as Json, json};

const PARTIAL: i32 = 4;

/// The failure of a small mail while the simulator misbehaves.
fn failure(host: &Host, simulator: &Simulator, rule: Json) -> Failure {
    simulator.misbehave(rule);
    let failure = host.send(&Mail::to_alice()).unwrap_err();
    simulator.behave();
    failure
}

fn connections(simulator: &Simulator) -> usize {
    simulator.smtp_sessions().len()
}

#[test]
fn what_arrives_is_what_was_meant() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let text = "Grüße\n.a line that begins with a dot\n\nFrom here on";
    let mail = Mail::new()
        .to("alice@contoso.example")
        .to("bob@contoso.example")
        .subject("Scan für Ångström – 第1号")
        .text(text)
        .attach("Übersicht 2026.pdf", &bytes);
    let (status, report) = host.send(&mail).unwrap();
    assert_eq!((status, &report["accepted"], &report["refused"]), (0, &json!(2), &json!(0)));
    assert!(report["reply"].as_str().unwrap().contains("OK"), "{report}");

    let arrived = simulator.wait_for_mails(1, Duration::from_secs(5)).remove(0);
    assert_eq!(arrived.from, simulator.account());
    assert_eq!(arrived.recipients, ["alice@contoso.example", "bob@contoso.example"]);
    let parsed = mailparse::parse_mail(&arrived.data).unwrap();
    let header = |name: &str| parsed.headers.get_first_value(name).unwrap();
    assert_eq!(header("Subject"), "Scan für Ångström – 第1号");
    assert!(header("To").contains("Alice Ångström"));
    assert_eq!(header("Message-ID"), report["message_id"].as_str().unwrap());
    assert!(!header("Date").is_empty());
    assert_eq!(parsed.subparts[0].get_body().unwrap().replace("\r\n", "\n").trim_end(), text);
    let attachment = &parsed.subparts[1];
    assert_eq!(attachment.get_content_disposition().params["filename"], "Übersicht 2026.pdf");
    assert_eq!(attachment.get_body_raw().unwrap(), bytes);
}

#[test]
fn one_connection_is_kept_and_a_dead_one_replaced_unseen() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    for _ in 0..5 {
        host.send(&Mail::to_alice()).unwrap();
    }
    assert_eq!(connections(&simulator), 1, "the proof's connection is used on");
    simulator.misbehave(json!({"name": "idle-close", "ms": 100, "after_mails": 1}));
    host.send(&Mail::to_alice()).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    simulator.behave();
    host.send(&Mail::to_alice()).unwrap();
    assert_eq!(connections(&simulator), 2);
    simulator.behave();
    simulator.misbehave(json!({"name": "drop", "at": "smtp.mail", "when": "before", "times": 1}));
    host.send(&Mail::to_alice()).unwrap();
    assert_eq!(connections(&simulator), 3);
    simulator.behave();
    simulator.misbehave(json!({"name": "goodbye", "times": 1}));
    host.send(&Mail::to_alice()).unwrap();
    host.send(&Mail::to_alice()).unwrap();
    assert_eq!(simulator.mails().len(), 10, "none lost, none twice");
}

#[test]
fn each_refusal_of_the_login_has_its_status_and_remedy() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    // Without the proof's connection, so that each mail logs in.
    simulator.misbehave(json!({"name": "no-starttls", "times": 1}));
    host.sign_in(&simulator).unwrap();
    simulator.behave();
    for (rule, status, remedy) in [
        ("tenant-disabled", "MXO_E_SMTP_AUTH_OFF", "Set-TransportConfig"),
        ("mailbox-disabled", "MXO_E_SMTP_AUTH_OFF", "Set-CASMailbox"),
        ("security-defaults", "MXO_E_LOGIN_BLOCKED", "ecurity defaults"),
        ("conditional-access", "MXO_E_LOGIN_BLOCKED", "Conditional Access"),
        ("auth-unsuccessful", "MXO_E_LOGIN_REFUSED", "SMTP.Send"),
        ("auth-temporary", "MXO_E_MAIL_BUSY", ""),
        ("no-starttls", "MXO_E_STARTTLS_MISSING", "firewall"),
        ("busy-greeting", "MXO_E_MAIL_BUSY", ""),
    ] {
        let failure = failure(&host, &simulator, json!({"name": rule}));
        assert_eq!(failure.name(), status, "{rule}: {}", failure.error);
        assert!(failure.remedy().contains(remedy), "{rule}: {}", failure.remedy());
        assert!(!failure.message().is_empty());
    }
    assert!(simulator.mails().is_empty());
    let failure = failure(&host, &simulator, json!({"name": "tenant-disabled"}));
    assert_eq!(failure.error["service"]["smtp_code"], 535);
    assert_eq!(failure.error["service"]["enhanced_code"], "5.7.139");
    assert!(failure.error["service"]["text"].as_str().unwrap().contains("SmtpClientAuthentication is disabled"));
    host.send(&Mail::to_alice()).unwrap();
}

#[test]
fn a_refused_token_is_refreshed_once() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    simulator.misbehave(json!({"name": "no-starttls", "times": 1}));
    host.sign_in(&simulator).unwrap();
    simulator.misbehave(json!({"name": "auth-unsuccessful", "times": 1}));
    host.send(&Mail::to_alice()).unwrap();
    let refreshed = simulator.requests().iter().filter(|request| request.form.contains_key("refresh_token")).count();
    assert_eq!(refreshed, 1);
}

#[test]
fn each_refusal_of_the_mail_has_its_status() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    for (rule, status) in [
        ("send-as-denied", "MXO_E_SENDER_REFUSED"),
        ("no-permission", "MXO_E_SENDER_REFUSED"),
        ("thread-limit", "MXO_E_MAIL_BUSY"),
        ("server-busy", "MXO_E_MAIL_BUSY"),
        ("submission-quota", "MXO_E_QUOTA"),
        ("mailbox-full", "MXO_E_QUOTA"),
        ("sender-blocked", "MXO_E_SENDER_BLOCKED"),
        ("too-big", "MXO_E_MESSAGE_TOO_BIG"),
        ("recipient-unknown", "MXO_E_RECIPIENTS_REFUSED"),
    ] {
        let failure = failure(&host, &simulator, json!({"name": rule}));
        assert_eq!(failure.name(), status, "{rule}: {}", failure.error);
        host.send(&Mail::to_alice()).unwrap();
    }
    let foreign = host.send(&Mail::to_alice().from("ceo@contoso.example")).unwrap_err();
    assert_eq!(foreign.name(), "MXO_E_SENDER_REFUSED", "{}", foreign.error);
    assert!(foreign.remedy().contains("SendAs") || foreign.remedy().contains("Send As"), "{}", foreign.remedy());
}

#[test]
fn a_refused_recipient_does_not_spoil_the_others() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    simulator.misbehave(json!({"name": "recipient-refused", "recipient": "nobody@contoso.example"}));
    let mail = Mail::to_alice().to("nobody@contoso.example").to("bob@contoso.example");
    let (status, report) = host.send(&mail).unwrap();
    assert_eq!(status, PARTIAL);
    assert_eq!(report["recipients"][1]["address"], "nobody@contoso.example");
    assert_eq!(report["recipients"][1]["accepted"], false);
    assert!(report["recipients"][1]["reply"].is_string());
    assert_eq!(simulator.mails()[0].recipients, ["alice@contoso.example", "bob@contoso.example"]);
}

#[test]
fn no_answer_to_the_final_dot_is_unknown_and_nothing_else_is() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let unanswered = failure(&host, &simulator, json!({"name": "drop", "at": "smtp.body", "when": "unanswered"}));
    assert_eq!(unanswered.name(), "MXO_E_SEND_UNKNOWN", "{}", unanswered.error);
    assert!(!unanswered.remedy().is_empty());
    let before = failure(&host, &simulator, json!({"name": "drop", "at": "smtp.data", "when": "before"}));
    assert_ne!(before.name(), "MXO_E_SEND_UNKNOWN", "{}", before.error);

    simulator.misbehave(json!({"name": "withhold", "at": "smtp.body"}));
    let begun = Instant::now();
    let late = host.send_within(&Mail::to_alice(), 700).unwrap_err();
    assert_eq!(late.name(), "MXO_E_SEND_UNKNOWN", "{}", late.error);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let operation = host.start_send(&Mail::to_alice());
    std::thread::sleep(Duration::from_millis(500));
    operation.cancel();
    assert_eq!(operation.wait().unwrap_err().name(), "MXO_E_SEND_UNKNOWN");
    simulator.behave();

    simulator.misbehave(json!({"name": "delay", "ms": 3_000, "at": "smtp.mail"}));
    let early = host.send_within(&Mail::to_alice(), 500).unwrap_err();
    assert_eq!(early.name(), "MXO_E_TIMEOUT", "nothing was handed over yet: {}", early.error);
}

#[test]
fn an_accepted_mail_is_sent_whatever_comes_behind_the_reply() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let nonsense = "250 2.0.0 OK queued\r\n550 out of turn\r\nnonsense";
    simulator.misbehave(json!({"name": "reply", "at": "smtp.body", "text": nonsense, "times": 1}));
    let (status, report) = host.send(&Mail::to_alice()).unwrap();
    assert_eq!(status, 0);
    assert!(report["reply"].as_str().unwrap().contains("queued"), "{report}");
    host.send(&Mail::to_alice()).unwrap();
}

#[test]
fn a_goodbye_after_the_body_does_not_make_it_send_again() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    host.send(&Mail::to_alice()).unwrap();
    let bodies = |simulator: &Simulator| {
        let sessions = simulator.smtp_sessions();
        sessions.iter().flat_map(|session| &session.commands).filter(|command| command.as_str() == "DATA").count()
    };
    let before = bodies(&simulator);
    simulator.misbehave(json!({"name": "reply", "at": "smtp.body", "text": "421 4.3.2 going down", "close": true}));
    let refused = host.send(&Mail::to_alice()).unwrap_err();
    assert_eq!(refused.name(), "MXO_E_MAIL_BUSY", "{}", refused.error);
    assert_eq!(bodies(&simulator), before + 1);
}

#[test]
fn what_is_injected_before_tls_is_refused() {
    let simulator = simulator();
    simulator.misbehave(json!({"name": "starttls-injection", "text": "250 evil"}));
    let host = Host::new(&simulator);
    let outcome = host.sign_in(&simulator).unwrap();
    let warning = &outcome["warnings"][0];
    assert!(["MXO_E_TLS", "MXO_E_PROTOCOL"].contains(&warning["name"].as_str().unwrap()), "{warning}");
    assert!(simulator.smtp_sessions().iter().all(|session| session.user.is_none()), "no token went out");
}

#[test]
fn nothing_goes_out_in_clear_or_to_a_stranger() {
    let simulator = simulator();
    for flaw in ["unknown-issuer", "wrong-name", "expired"] {
        simulator.behave();
        simulator.misbehave(json!({"name": "certificate", "flaw": flaw, "at": "smtp.tls"}));
        let outcome = Host::new(&simulator).sign_in(&simulator).unwrap();
        assert_eq!(outcome["warnings"][0]["name"], "MXO_E_CERTIFICATE", "{flaw}: {outcome}");
    }
    assert!(simulator.smtp_sessions().iter().all(|session| session.user.is_none()));
}

#[test]
fn the_same_mail_keeps_its_message_id() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let mail = Mail::to_alice();
    let first = host.send(&mail).unwrap().1;
    let second = host.send(&mail).unwrap().1;
    assert_eq!(first["message_id"], second["message_id"]);
    assert_ne!(host.send(&Mail::to_alice()).unwrap().1["message_id"], first["message_id"]);
}

#[test]
fn a_long_token_fits_and_goes_on_a_line_of_its_own() {
    let simulator = simulator();
    simulator.set(json!({"access_token_octets": 8000, "auth_failure": "challenge"}));
    let host = Host::connected(&simulator);
    host.send(&Mail::to_alice()).unwrap();
    let commands = simulator.smtp_sessions()[0].commands.join("\n");
    assert!(commands.lines().any(|line| line == "AUTH XOAUTH2"), "{commands}");
}

#[test]
fn a_token_that_the_server_repeats_is_told_to_nobody() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    simulator.misbehave(json!({"name": "no-starttls", "times": 1}));
    host.sign_in(&simulator).unwrap();
    simulator.behave();
    let (token, _) = host.token(0).unwrap();
    let echo = format!("535 5.7.139 basic authentication is disabled: {token}");
    let failure = failure(&host, &simulator, json!({"name": "reply", "at": "smtp.auth", "text": echo}));
    let told = failure.error.to_string();
    assert!(told.contains("(secret)") && !told.contains(&token), "{}", failure.name());
}
