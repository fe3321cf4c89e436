//! The main job as a newcomer: add the system, sign in with a code, get a token, send a mail with an attachment, and
//! see it arrive. Everything goes through the C ABI, as a print server would.
//!
//! ```text
//! cargo run --example quickstart                 against the simulator, which this program starts; it confirms by itself
//! cargo run --example quickstart -- --browser    the same, but you type the code in your browser
//! cargo run --example quickstart -- --client-id GUID --tenant-id GUID [--to ADDRESS]      against Microsoft 365
//! ```

mod host;

use std::time::Duration;

use exchange_simulator::{Options, Simulator};
use host::{Connector, Failure};

/// What the command line says.
#[derive(Default)]
struct Arguments {
    browser: bool,
    client_id: Option<String>,
    tenant_id: Option<String>,
    to: Option<String>,
}

const USAGE: &str = "usage: quickstart [--browser] [--client-id GUID --tenant-id GUID [--to ADDRESS]]";

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value\n{USAGE}"));
        match word.as_str() {
            "--browser" => arguments.browser = true,
            "--client-id" => arguments.client_id = Some(value()?),
            "--tenant-id" => arguments.tenant_id = Some(value()?),
            "--to" => arguments.to = Some(value()?),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if arguments.client_id.is_some() != arguments.tenant_id.is_some() {
        return Err(format!("--client-id and --tenant-id go together\n{USAGE}"));
    }
    Ok(arguments)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments()?;
    match (&arguments.client_id, &arguments.tenant_id) {
        (Some(client_id), Some(tenant_id)) => microsoft(client_id, tenant_id, arguments.to.as_deref())?,
        _ => simulated(arguments.browser)?,
    }
    Ok(())
}

/// Against Microsoft 365 itself.
fn microsoft(client_id: &str, tenant_id: &str, to: Option<&str>) -> Result<(), Failure> {
    let connector = Connector::open("{}")?;
    let system = connector.add_system("Microsoft Exchange Online", client_id, tenant_id, r#"{"serves": ["smtp"]}"#)?;
    let account = sign_in(&connector, &system, |_, _| println!("   … waiting for you"))?;
    send(&connector, &system, to.unwrap_or(&account))
}

/// Against the simulator, in this process.
fn simulated(browser: bool) -> Result<(), Box<dyn std::error::Error>> {
    let microsoft = Simulator::start(Options::default())?;
    microsoft.set(serde_json::json!({"interval_s": 1}));
    println!("A Microsoft in a box listens at {}.\n", microsoft.identity_url());

    let connector = Connector::open(r#"{"proxy": "none"}"#)?;
    let settings = microsoft.settings_json();
    let system =
        connector.add_system("Microsoft Exchange Online", microsoft.client_id(), microsoft.tenant_id(), &settings)?;
    sign_in(&connector, &system, |uri, code| {
        if browser {
            println!("   Open {uri} in your browser (its certificate is from the simulator's own authority,");
            println!(
                "   {}: accept it), type the code, and sign in as {}.",
                microsoft.ca_file().display(),
                microsoft.account()
            );
        } else {
            println!("   (Confirmed by itself; with --browser you do it.)");
            microsoft.approve(code);
        }
    })?;
    send(&connector, &system, "alice@contoso.example")?;

    let arrived = microsoft.wait_for_mails(1, Duration::from_secs(10));
    println!("\n5. What arrived:");
    for mail in &arrived {
        println!("   from {} to {}, {} octets", mail.from, mail.recipients.join(", "), mail.data.len());
        String::from_utf8_lossy(&mail.data).lines().take(24).for_each(|line| println!("   | {line}"));
        println!("   | …");
    }
    if arrived.len() != 1 {
        return Err("the mail did not arrive".into());
    }
    println!("\nThat is the main job. README.md has the same in C.");
    Ok(())
}

/// Shows code and link, and waits until the system is connected.
fn sign_in(connector: &Connector, system: &str, show: impl FnOnce(&str, &str)) -> Result<String, Failure> {
    println!("1. The system is added: {system}");
    let operation = connector.start_sign_in(system)?;
    let code = connector.wait_for_code(system)?;
    println!("2. To sign in, open {} and enter the code {}", code.verification_uri, code.user_code);
    show(&code.verification_uri, &code.user_code);
    let result = operation.wait()?;
    let account = result.string("/login_name").unwrap_or_default();
    println!("3. Connected as {account}");
    for index in 0..result.count("/warnings") {
        let text = |member: &str| result.string(&format!("/warnings/{index}/{member}")).unwrap_or_default();
        println!("   but: {} {}", text("message"), text("remedy"));
    }
    let token = connector.access_token(system)?;
    println!("   and the access token has {} characters.", token.len());
    Ok(account)
}

fn send(connector: &Connector, system: &str, to: &str) -> Result<(), Failure> {
    let report =
        connector.send_mail(system, to, "Your scan", "Grüße vom Drucker.", "scan.txt", b"A scanned page.\n")?;
    println!("4. Sent to {to}: {}", report.string("/reply").unwrap_or_default());
    Ok(())
}
