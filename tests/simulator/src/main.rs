//! The simulator as a program: a Microsoft on the desk.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use exchange_simulator::{Options, Simulator};
use serde_json::json;

const USAGE: &str = "usage: exchange-simulator [--directory DIR] [--identity-port N] [--smtp-port N]

Without --directory everything is in a temporary directory that is removed at the end.
Without ports free ones are taken. Ends by SIGTERM or SIGINT.";

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("exchange-simulator: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exchange-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        if matches!(argument.as_str(), "-h" | "--help") {
            return Ok(None);
        }
        let value = arguments.next().ok_or_else(|| format!("{argument} what?"))?;
        let port = || value.parse().map_err(|_| format!("{value} is no port"));
        match argument.as_str() {
            "--directory" => options.directory = Some(PathBuf::from(&value)),
            "--identity-port" => options.identity_port = port()?,
            "--smtp-port" => options.smtp_port = port()?,
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    Ok(Some(options))
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let accounts: Vec<String> =
        options.accounts.iter().map(|account| format!("{} ({})", account.upn, account.name)).collect();
    // Listened to before anything is announced: who starts it may end it at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let simulator = Simulator::start(options)?;
    let directory = simulator.ca_file().parent().unwrap_or(Path::new(".")).to_owned();

    let settings_file = directory.join("settings.json");
    let page = format!("{}/devicelogin", simulator.identity_url());
    fs::write(&settings_file, simulator.settings_json())?;
    let ready = json!({
        "identity_url": simulator.identity_url(),
        "smtp_port": simulator.smtp_port(),
        "control_url": format!("{}/simulator", simulator.identity_url()),
        "client_id": simulator.client_id(),
        "tenant_id": simulator.tenant_id(),
        "account": simulator.account(),
        "ca_file": simulator.ca_file(),
        "settings_file": settings_file,
        "page": page,
    });
    // Whoever waits for the file must never see half of it.
    let (ready_file, unfinished) = (directory.join("ready.json"), directory.join("ready.json.part"));
    fs::write(&unfinished, ready.to_string())?;
    fs::rename(&unfinished, &ready_file)?;

    println!("A Microsoft in a box is listening.\n");
    println!("Type into the host:");
    println!("  Client ID   {}", simulator.client_id());
    println!("  Tenant ID   {}", simulator.tenant_id());
    println!("  Settings    {}   (pass its content as system settings)", settings_file.display());
    println!("\nThe page where a person types the code:\n  {page}");
    println!("Accounts to sign in with (no password is asked):\n  {}", accounts.join("\n  "));
    println!("\nSMTP submission: localhost:{} (STARTTLS, XOAUTH2)", simulator.smtp_port());
    println!("The CA that signed for all of it: {}", simulator.ca_file().display());
    println!("Misbehaviour, accepted mails and logs: {}/simulator/… (see the README)", simulator.identity_url());
    println!("\nEnd it with Ctrl+C.");

    runtime.block_on(signals.told_to_end());
    fs::remove_file(&ready_file).ok();
    Ok(())
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn told_to_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn told_to_end(&mut self) {
        self.0.recv().await;
    }
}
