//! The SMTP half against what is written of smtp.office365.com.

mod client;

use std::time::Duration;

use client::{SMTP_SEND, Smtp, access_token, message, sign_in, start, xoauth2};
use exchange_simulator::{Account, Options, Simulator};
use serde_json::json;

#[test]
fn auth_is_offered_only_inside_tls() {
    let sim = start();
    let mut smtp = Smtp::connect(&sim);
    let greeting = smtp.reply();
    assert!(greeting.contains("outlook.office365.com Microsoft ESMTP MAIL Service ready at "), "{greeting}");
    let ehlo = smtp.ask("EHLO client.example");
    let keywords: Vec<&str> = ehlo.lines().skip(1).map(|line| &line[4..]).collect();
    assert_eq!(
        keywords,
        [
            "SIZE 157286400",
            "PIPELINING",
            "DSN",
            "ENHANCEDSTATUSCODES",
            "STARTTLS",
            "8BITMIME",
            "BINARYMIME",
            "CHUNKING",
            "SMTPUTF8"
        ]
    );
    assert!(smtp.ask("AUTH XOAUTH2").starts_with("504 5.7.4 "));
    assert!(smtp.ask("MAIL FROM:<a@b>").starts_with("530 5.7.57 "));
    smtp.ask("STARTTLS");
    smtp.start_tls(&sim).unwrap();
    assert!(smtp.ask("AUTH XOAUTH2").starts_with("504 "), "what was said in clear is forgotten");
    let inside = smtp.ask("EHLO client.example");
    assert!(inside.contains("250-AUTH LOGIN XOAUTH2\r\n") && !inside.contains("STARTTLS"), "{inside}");
    assert!(smtp.ask("AUTH PLAIN AAAA").starts_with("504 5.7.4 "));
    assert!(smtp.ask("STARTTLS").starts_with("500 "));
    assert!(smtp.ask("WHAT ever").starts_with("500 5.3.3 Unrecognized command 'WHAT' ["));
    assert!(smtp.ask("QUIT").starts_with("221 2.0.0 "));
    assert!(smtp.is_over());
}

#[test]
fn a_long_token_needs_a_line_of_its_own() {
    let sim = start();
    let token = access_token(&sim);
    let mut smtp = Smtp::secure(&sim);
    let one_line = format!("AUTH XOAUTH2 {}", xoauth2(sim.account(), &token));
    assert!(smtp.ask(&one_line).starts_with("500 5.3.3 "));
    assert!(smtp.log_in(sim.account(), &token).starts_with("235 "), "the session goes on");

    sim.set(json!({"command_line_limit": false}));
    let mut smtp = Smtp::secure(&sim);
    assert!(smtp.ask(&one_line).starts_with("235 "));
    let log = format!("{:?}", sim.smtp_sessions());
    assert!(!log.contains(&token[..40]) && !log.contains(&xoauth2(sim.account(), &token)[..60]), "{log}");

    for (octets, answer) in [(8000, "235 "), (12_000, "500 ")] {
        sim.set(json!({"access_token_octets": octets}));
        let token = access_token(&sim);
        assert!(Smtp::secure(&sim).log_in(sim.account(), &token).starts_with(answer), "{octets}");
    }
}

#[test]
fn a_login_is_refused_for_its_true_reason() {
    let sim = Simulator::start(Options {
        accounts: vec![
            Account::new("print@contoso.example", "P").alias("printer@contoso.example"),
            Account { mailbox: false, ..Account::new("bare@contoso.example", "No mailbox") },
            Account { smtp_auth: false, ..Account::new("off@contoso.example", "SMTP off") },
        ],
        ..Options::default()
    })
    .unwrap();
    let token_of = |upn: &str, scope: &str| {
        let (user_code, device_code) = client::device_code(&sim, scope);
        sim.approve_as(&user_code, upn);
        client::poll(&sim, &device_code).json()["access_token"].as_str().unwrap().to_owned()
    };
    let good = token_of("print@contoso.example", SMTP_SEND);
    for (user, token, reply, why) in [
        ("print@contoso.example", "x".to_owned(), "535 5.7.3 Authentication unsuccessful [", "not issued"),
        ("printer@contoso.example", good.clone(), "535 5.7.3 ", "print@contoso.example's"),
        (
            "print@contoso.example",
            token_of("print@contoso.example", "https://outlook.office.com/IMAP.AccessAsUser.All"),
            "535 5.7.3 ",
            "SMTP.Send",
        ),
        ("print@contoso.example", token_of("print@contoso.example", "SMTP.Send"), "535 5.7.3 ", "graph.microsoft.com"),
        ("bare@contoso.example", token_of("bare@contoso.example", SMTP_SEND), "535 5.7.3 ", "mailbox"),
        ("off@contoso.example", token_of("off@contoso.example", SMTP_SEND), "535 5.7.139 ", "off for the mailbox"),
    ] {
        let said = Smtp::secure(&sim).log_in(user, &token);
        assert!(said.starts_with(reply), "{said}");
        let log = sim.smtp_sessions().pop().unwrap();
        assert!(log.refused_because.as_ref().unwrap().contains(why), "{log:?}");
    }
    assert!(Smtp::secure(&sim).log_in("PRINT@contoso.example", &good).starts_with("235 "), "case does not matter");
    sim.advance(Duration::from_secs(5401));
    assert!(Smtp::secure(&sim).log_in("print@contoso.example", &good).starts_with("535 5.7.3 "));
    assert!(sim.smtp_sessions().pop().unwrap().refused_because.unwrap().contains("expired"));

    let mut smtp = Smtp::secure(&sim);
    smtp.ask("AUTH XOAUTH2");
    assert!(smtp.ask("*").starts_with("535 "), "Office 365 does not say 501");
    smtp.ask("AUTH XOAUTH2");
    assert!(smtp.ask("dXNlcj1h").starts_with("501 5.5.124 "));
    assert_eq!(smtp.ask("AUTH LOGIN"), "334 VXNlcm5hbWU6\r\n");
    assert_eq!(smtp.ask("cHJpbnQ="), "334 UGFzc3dvcmQ6\r\n");
    assert!(smtp.ask("c2VjcmV0").contains("basic authentication is disabled"));
}

#[test]
fn a_refused_login_can_come_by_challenge_and_can_end_the_connection() {
    let sim = start();
    sim.set(json!({"auth_failure": "challenge", "close_after_auth_failure": true}));
    let mut smtp = Smtp::secure(&sim);
    let challenge = smtp.log_in(sim.account(), "bad");
    assert!(challenge.starts_with("334 eyJ"), "{challenge}");
    assert!(smtp.ask("").starts_with("535 5.7.3 "));
    assert!(smtp.is_over());
}

#[test]
fn what_was_sent_is_kept_octet_by_octet() {
    let sim = start();
    let mut smtp = Smtp::ready(&sim);
    let sent = message(sim.account()) + "..\r\n..two\r\nlone \r return\r\n";
    let reply = smtp.mail(sim.account(), "b@fabrikam.example", &sent);
    assert!(reply.starts_with("250 2.0.0 OK <1@contoso.example> [Hostname="), "{reply}");

    // The same by BDAT, in pieces that respect no line, all in one flight.
    let binary = [message(sim.account()).as_bytes(), b"\0\xff bare \n feed \r\n.\r\nend without a line end"].concat();
    let (head, tail) = binary.split_at(77);
    let mut flight = format!(
        "MAIL FROM:<{}> BODY=BINARYMIME SIZE={}\r\nRCPT TO:<c@fabrikam.example> NOTIFY=FAILURE\r\nBDAT {}\r\n",
        sim.account(),
        binary.len(),
        head.len()
    )
    .into_bytes();
    flight.extend(head);
    flight.extend(format!("BDAT {} LAST\r\n", tail.len()).into_bytes());
    flight.extend(tail);
    smtp.send(&flight);
    let replies: Vec<String> = (0..4).map(|_| smtp.reply()).collect();
    assert_eq!(replies[2], "250 2.6.0 CHUNK received OK, 77 octets\r\n");
    assert!(replies[3].starts_with("250 2.0.0 OK "), "{replies:?}");

    let mails = sim.wait_for_mails(2, Duration::from_secs(5));
    let [by_data, by_bdat] = mails.as_slice() else { panic!("{mails:?}") };
    assert_eq!(String::from_utf8_lossy(&by_data.data), message(sim.account()) + ".\r\n.two\r\nlone \r return\r\n");
    assert_eq!((by_data.by, by_data.user.as_str()), ("DATA", sim.account()));
    assert_eq!(by_bdat.data, binary);
    assert_eq!(by_bdat.recipients, ["c@fabrikam.example"]);
    assert_eq!(by_bdat.recipient_parameters, [["NOTIFY=FAILURE"]]);
    assert_eq!(sim.smtp_sessions()[0].mails, 2);
}

#[test]
fn commands_have_their_order_and_their_shape() {
    let sim = start();
    let mut smtp = Smtp::ready(&sim);
    let from = format!("MAIL FROM:<{}>", sim.account());
    for (command, code) in [
        ("RCPT TO:<b@c.example>", "503"),
        ("DATA", "503"),
        ("MAIL FROM:print@contoso.example", "501"),
        (&format!("{from} WHAT=1"), "501"),
        (&format!("{from} BODY=9BIT"), "501"),
        (&format!("{from} SIZE=157286401"), "552"),
        ("MAIL FROM:<dr\u{fc}cker@contoso.example>", "501"),
        (&format!("{from} SIZE=1 RET=HDRS ENVID=1 SMTPUTF8 BODY=8BITMIME"), "250"),
        (&from, "503"),
        ("DATA", "503"),
        ("RCPT TO:<>", "501"),
        ("RCPT TO:<\u{fc}@c.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@b", "250"),
        ("AUTH XOAUTH2", "503"),
        ("RSET", "250"),
        ("DATA", "503"),
        ("NOOP", "250"),
        ("VRFY a", "252"),
        ("HELP", "214"),
        ("EHLO AM0PR01CA0042.outlook.office365.com", "550"),
        ("EHLO", "501"),
        (&"X".repeat(511), "500"),
    ] {
        let reply = smtp.ask(command);
        assert!(reply.starts_with(code), "{command}: {reply}");
    }
    sim.set(json!({"hide_extensions": ["CHUNKING", "SMTPUTF8"], "recipients_per_mail": 1}));
    assert!(!smtp.ask("EHLO client.example").contains("CHUNKING"));
    assert!(smtp.ask(&format!("{from} SMTPUTF8")).starts_with("501"));
    smtp.ask(&from);
    smtp.ask("RCPT TO:<b@c.example>");
    assert!(smtp.ask("RCPT TO:<d@c.example>").starts_with("452 4.5.3 "));
}

#[test]
fn a_message_is_judged_after_its_body() {
    let sim = start();
    let mut smtp = Smtp::ready(&sim);
    let own = sim.account().to_owned();
    let mut send = |from: &str, data: &str| smtp.mail(from, "b@fabrikam.example", data);
    assert!(send(&own, &message("printer@contoso.example")).starts_with("250 "), "an alias");
    let denied = send(&own, &message("admin@contoso.example"));
    assert!(
        denied.starts_with(
            "554 5.2.252 SendAsDenied; print@contoso.example not allowed to send as admin@contoso.example; "
        ),
        "{denied}"
    );
    assert!(denied.len() > 2000, "Microsoft's is kilobytes long");
    assert!(send("admin@contoso.example", &message(&own)).starts_with("550 5.7.60 "));
    assert!(send("", &message(&own)).starts_with("550 5.7.60 "));
    assert!(send(&own, "Subject: no from\r\n\r\n").starts_with("550 5.7.512 "));
    // A bare line feed and a dot do not end a message.
    assert!(send(&own, &format!("{}\n.\nx\r\n", message(&own))).starts_with("550 5.6.11 "));
    sim.set(json!({"size_limit": 100}));
    assert!(send(&own, &(message(&own) + &"x".repeat(100) + "\r\n")).starts_with("552 5.3.4 "));
    assert_eq!(sim.mails().len(), 1);
}

#[test]
fn limits_hold_when_they_are_set() {
    let sim = start();
    sim.set(json!({"mails_per_minute": 1, "connections_per_account": 2}));
    let own = sim.account().to_owned();
    let mut smtp = Smtp::ready(&sim);
    assert!(smtp.mail(&own, "b@c.example", &message(&own)).starts_with("250 "));
    assert!(smtp.mail(&own, "b@c.example", &message(&own)).starts_with("432 4.3.2 "));
    sim.advance(Duration::from_secs(61));
    assert!(smtp.mail(&own, "b@c.example", &message(&own)).starts_with("250 "));
    sim.set(json!({"rate_mode": "delay"}));
    let reply = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| smtp.mail(&own, "b@c.example", &message(&own)));
        assert_eq!(sim.wait_for_mails(3, Duration::from_millis(100)).len(), 2, "carried over, not accepted");
        sim.advance(Duration::from_secs(61));
        waiting.join().unwrap()
    });
    assert!(reply.starts_with("250 "), "{reply}");
    sim.set(json!({"mails_per_minute": null}));
    let others = [Smtp::ready(&sim), Smtp::ready(&sim)];
    let reply = smtp.mail(&own, "b@c.example", &message(&own));
    assert!(reply.starts_with("432 4.3.2 concurrent connection limit exceeded"), "{reply}");
    drop(others);
}

#[test]
fn an_idle_connection_is_told_good_bye() {
    let sim = start();
    sim.set(json!({"idle_timeout_ms": 50}));
    let mut smtp = Smtp::connect(&sim);
    smtp.reply();
    assert!(smtp.reply().starts_with("421 4.4.1 "));
    assert!(smtp.is_over());
}

#[test]
fn dropping_the_simulator_ends_its_connections_and_frees_its_ports() {
    let sim = start();
    let port = sim.smtp_port();
    let mut smtp = Smtp::ready(&sim);
    drop(sim);
    assert!(smtp.try_reply().map_or(true, |reply| reply.is_empty()));
    let again = Simulator::start(Options { smtp_port: port, ..Options::default() }).unwrap();
    assert_eq!(again.smtp_port(), port);
    let taken = Simulator::start(Options { smtp_port: port, ..Options::default() });
    assert_eq!(taken.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_narrowed_refresh_gives_a_narrowed_token() {
    let sim = start();
    let both = "https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access";
    let first = sign_in(&sim, both);
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", sim.client_id()),
        ("refresh_token", first["refresh_token"].as_str().unwrap()),
        ("scope", "https://outlook.office.com/IMAP.AccessAsUser.All"),
    ];
    let narrow = client::post(&sim, "token", &fields).json();
    let token = narrow["access_token"].as_str().unwrap();
    assert!(Smtp::secure(&sim).log_in(sim.account(), token).starts_with("535 5.7.3 "));
    let wide = client::refresh(&sim, narrow["refresh_token"].as_str().unwrap()).json();
    let token = wide["access_token"].as_str().unwrap();
    assert!(Smtp::secure(&sim).log_in(sim.account(), token).starts_with("235 "), "the grant itself stayed wide");
}
