//! The network as in companies, through the C ABI against the simulator: behind a proxy that is not ours (tinyproxy),
//! from a given address, over one family, with short time-outs.

#![cfg(unix)]

mod common;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use common::{Failure, Host, Mail, open, simulator, until};
use exchange_simulator::Simulator;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

const USER: &str = "scan";
const PASSWORD: &str = "pass.w_rd-1";
/// The same as they may stand in an address.
const LOGIN: &str = "sc%61n:pass%2Ew_rd-1";

/// An address at which nobody listens: the host is of this process alone, and the port was not given before. Not by
/// binding and letting go: a process that is just being forked would hold the listener for a moment longer.
fn unused() -> SocketAddr {
    static LAST: AtomicU16 = AtomicU16::new(3_000);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    (Ipv4Addr::new(127, 64 | (high & 63), middle, low), LAST.fetch_add(1, Ordering::SeqCst)).into()
}

/// A tinyproxy of our own, with a log that tells what it was asked for and by whom.
struct Proxy {
    process: Child,
    directory: TempDir,
    at: SocketAddr,
}

impl Proxy {
    /// With more lines of configuration.
    fn start(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = unused();
        let (file, log) = (directory.path().join("tinyproxy.conf"), directory.path().join("log"));
        let config = format!(
            "Port {}\nListen {}\nTimeout 60\nMaxClients 50\nAllow 127.0.0.0/8\nLogFile \"{}\"\nLogLevel Info\n{more}\n",
            at.port(),
            at.ip(),
            log.display()
        );
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("tinyproxy");
        let process = command.arg("-d").arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.expect("tinyproxy is there (tests/setup)");
        until(|| TcpStream::connect(at).is_ok());
        Self { process, directory, at }
    }

    fn address(&self) -> String {
        format!("http://{}", self.at)
    }

    fn address_with(&self, login: &str) -> String {
        format!("http://{login}@{}", self.at)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// How often it was asked for a port.
    fn asked_for(&self, port: u16) -> usize {
        self.log().matches(&format!("CONNECT localhost:{port} HTTP/1.1")).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn identity_port(simulator: &Simulator) -> u16 {
    simulator.identity_url().rsplit(':').next().unwrap().parse().unwrap()
}

/// A connector behind this proxy.
fn behind(simulator: &Simulator, proxy: &str) -> Host {
    Host::opened(simulator, &json!({"proxy": proxy}), &simulator.settings_json())
}

/// Signs in and sends, and nothing is wrong with either.
fn all_is_well(simulator: &Simulator, host: &Host) {
    let outcome = host.sign_in(simulator).unwrap();
    assert_eq!((&outcome["state"], &outcome["warnings"]), (&json!("connected"), &json!([])), "{outcome}");
    host.send(&Mail::to_alice()).unwrap();
    assert_eq!(simulator.mails().len(), 1);
}

/// Why no sign-in began.
fn no_sign_in(host: &Host) -> Failure {
    host.start_sign_in().wait().unwrap_err()
}

/// The settings, with the mail server somewhere else.
fn with_mail_server(simulator: &Simulator, server: &Json) -> String {
    let mut settings: Json = serde_json::from_str(&simulator.settings_json()).unwrap();
    settings["cloud"]["smtp"] = server.clone();
    settings.to_string()
}

#[test]
fn sign_in_and_mail_go_through_the_proxy() {
    let simulator = simulator();
    let proxy = Proxy::start("");
    all_is_well(&simulator, &behind(&simulator, &proxy.address()));
    assert!(proxy.asked_for(identity_port(&simulator)) >= 2, "{}", proxy.log());
    assert_eq!(proxy.asked_for(simulator.smtp_port()), 1, "{}", proxy.log());
}

#[test]
fn sign_in_and_mail_go_through_a_proxy_that_wants_a_login() {
    let simulator = simulator();
    let proxy = Proxy::start(&format!("BasicAuth {USER} {PASSWORD}"));
    all_is_well(&simulator, &behind(&simulator, &proxy.address_with(LOGIN)));
    assert!(proxy.asked_for(simulator.smtp_port()) == 1, "{}", proxy.log());
    assert!(proxy.asked_for(identity_port(&simulator)) >= 2, "{}", proxy.log());
}

#[test]
fn a_missing_and_a_wrong_login_are_told_apart_and_not_repeated() {
    let simulator = simulator();
    let proxy = Proxy::start(&format!("BasicAuth {USER} {PASSWORD}"));
    let missing = no_sign_in(&behind(&simulator, &proxy.address()));
    assert_eq!(missing.name(), "MXO_E_PROXY", "{}", missing.error);
    let wanted = format!("The proxy {} wants a user name and a password (HTTP 407).", proxy.at);
    assert_eq!(missing.message(), wanted);
    assert!(
        missing.remedy().contains("\"proxy\"") && missing.remedy().contains("user:password"),
        "{}",
        missing.remedy()
    );

    let wrong = no_sign_in(&behind(&simulator, &proxy.address_with("scan:hunter2")));
    assert_eq!(wrong.name(), "MXO_E_PROXY", "{}", wrong.error);
    assert!(wrong.message().contains("does not accept the user name and password"), "{}", wrong.message());
    assert!(!wrong.error.to_string().contains("hunter2"), "{}", wrong.error);
    assert!(simulator.requests().is_empty());
}

#[test]
fn a_port_that_the_proxy_forbids_is_named() {
    let simulator = simulator();
    let proxy = Proxy::start(&format!("ConnectPort {}", identity_port(&simulator)));
    let host = behind(&simulator, &proxy.address());
    let outcome = host.sign_in(&simulator).unwrap();
    let warning = &outcome["warnings"][0];
    let wanted =
        format!("The proxy {} does not let us reach localhost:{} (HTTP 403).", proxy.at, simulator.smtp_port());
    assert_eq!((&warning["name"], &warning["message"]), (&json!("MXO_E_PROXY"), &json!(wanted)), "{outcome}");
    let refused = host.send(&Mail::to_alice()).unwrap_err();
    assert_eq!((refused.name(), refused.message()), ("MXO_E_PROXY", wanted.as_str()));
    let allow = format!("allow CONNECT to port {}", simulator.smtp_port());
    assert!(refused.remedy().contains(&allow), "{}", refused.remedy());
    assert_eq!(refused.error["transient"], false, "{}", refused.error);

    let other = Proxy::start(&format!("ConnectPort {}", simulator.smtp_port()));
    let refused = no_sign_in(&behind(&simulator, &other.address()));
    let wanted = format!("does not let us reach localhost:{} (HTTP 403)", identity_port(&simulator));
    assert!(refused.name() == "MXO_E_PROXY" && refused.message().contains(&wanted), "{}", refused.error);
}

#[test]
fn a_proxy_that_is_not_there_is_not_mistaken_for_the_host() {
    let simulator = simulator();
    let closed = unused();
    let failure = no_sign_in(&behind(&simulator, &format!("http://{closed}")));
    assert_eq!(failure.name(), "MXO_E_PROXY", "{}", failure.error);
    assert!(failure.message().starts_with(&format!("The proxy {closed} cannot be reached: ")), "{}", failure.error);
    let nowhere = no_sign_in(&behind(&simulator, "http://proxy.invalid:3128"));
    assert_eq!(nowhere.name(), "MXO_E_PROXY", "{}", nowhere.error);
    assert!(nowhere.message().contains("The name proxy.invalid cannot be resolved"), "{}", nowhere.error);
    // The mail server is none.
    let stranger = no_sign_in(&behind(&simulator, &format!("http://127.0.0.1:{}", simulator.smtp_port())));
    assert_eq!(stranger.name(), "MXO_E_PROXY", "{}", stranger.error);
    assert!(stranger.message().contains("speak HTTP"), "{}", stranger.error);
}

#[test]
fn a_host_that_the_proxy_does_not_reach_may_be_reached_later() {
    let simulator = simulator();
    let proxy = Proxy::start("");
    let closed = unused();
    let server = json!({"host": closed.ip().to_string(), "port": closed.port(), "tls": "starttls"});
    let host = Host::opened(&simulator, &json!({"proxy": proxy.address()}), &with_mail_server(&simulator, &server));
    let warning = &host.sign_in(&simulator).unwrap()["warnings"][0];
    assert_eq!(warning["name"], "MXO_E_PROXY", "{warning}");
    assert!(warning["message"].as_str().unwrap().contains(&format!("{closed} (HTTP 5")), "{warning}");
    let failure = host.send(&Mail::to_alice()).unwrap_err();
    assert_eq!(failure.error["transient"], true, "{}", failure.error);
}

/// Runs the named test of this file again in a process of its own, whose environment has these variables and no other
/// that has to do with proxies.
fn in_a_child(test: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        child.env_remove(name).env_remove(name.to_lowercase());
    }
    child.env_remove("REQUEST_METHOD").envs(variables.iter().copied()).env("MXO_TEST_CHILD", "1");
    let output = child.output().unwrap();
    assert!(output.status.success(), "{variables:?}: {}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_environment_names_the_proxy() {
    if std::env::var_os("MXO_TEST_CHILD").is_some() {
        let simulator = simulator();
        return all_is_well(&simulator, &behind(&simulator, "system"));
    }
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let proxy = Proxy::start(&format!("BasicAuth {USER} {PASSWORD}"));
        in_a_child("the_environment_names_the_proxy", &[(name, &proxy.address_with(LOGIN))]);
        assert!(proxy.log().matches("CONNECT localhost:").count() >= 3, "{name}: {}", proxy.log());
    }
    for (name, exception) in [("NO_PROXY", "localhost"), ("no_proxy", "other.example, *")] {
        let proxy = Proxy::start("");
        let variables = [("HTTPS_PROXY", proxy.address()), (name, exception.to_owned())];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        in_a_child("the_environment_names_the_proxy", &variables);
        assert_eq!(proxy.log().matches("CONNECT localhost:").count(), 0, "{name}: {}", proxy.log());
    }
}

#[test]
fn an_option_goes_before_the_environment() {
    if let Some(proxy) = std::env::var_os("MXO_TEST_PROXY") {
        let simulator = simulator();
        return all_is_well(&simulator, &behind(&simulator, proxy.to_str().unwrap()));
    }
    let (used, unused) = (Proxy::start(""), Proxy::start(""));
    let test = "an_option_goes_before_the_environment";
    let (used_address, unused_address) = (used.address(), unused.address());
    // An address is meant for each host, whatever the environment excepts.
    in_a_child(test, &[("HTTPS_PROXY", &unused_address), ("NO_PROXY", "localhost"), ("MXO_TEST_PROXY", &used_address)]);
    assert!(used.log().matches("CONNECT localhost:").count() >= 3, "{}", used.log());
    in_a_child(test, &[("HTTPS_PROXY", &unused_address), ("MXO_TEST_PROXY", "none")]);
    assert_eq!(unused.log().matches("CONNECT localhost:").count(), 0, "{}", unused.log());
}

#[test]
fn a_proxy_of_another_kind_is_told() {
    if std::env::var_os("MXO_TEST_CHILD").is_some() {
        let failure = no_sign_in(&behind(&simulator(), "system"));
        assert_eq!(failure.name(), "MXO_E_PROXY", "{}", failure.error);
        assert!(failure.message().contains("socks5://127.0.0.1"), "{}", failure.error);
        return;
    }
    in_a_child("a_proxy_of_another_kind_is_told", &[("ALL_PROXY", "socks5://127.0.0.1:1080")]);
}

/// A TLS listener that hands everything on to a port; gives its own port. Ends with the runtime.
fn tls_in_front_of(proxy: SocketAddr, directory: &TempDir) -> (tokio::runtime::Runtime, u16) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(directory.path().join("proxy.pem"), certificate.pem()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let own_port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut outer) = acceptor.accept(stream).await else { return };
                let mut inner = tokio::net::TcpStream::connect(proxy).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    (runtime, own_port)
}

#[test]
fn a_proxy_may_want_tls_itself_and_ca_file_makes_it_trusted() {
    let simulator = simulator();
    let proxy = Proxy::start(&format!("BasicAuth {USER} {PASSWORD}"));
    let directory = tempfile::tempdir().unwrap();
    let (_runtime, port) = tls_in_front_of(proxy.at, &directory);
    let address = format!("https://{LOGIN}@localhost:{port}");
    let options = json!({"proxy": address, "ca_file": directory.path().join("proxy.pem"), "tls_roots": "file"});
    all_is_well(&simulator, &Host::opened(&simulator, &options, &simulator.settings_json()));
    assert_eq!(proxy.asked_for(simulator.smtp_port()), 1, "{}", proxy.log());

    let stranger =
        Host::opened(&simulator, &json!({"proxy": address, "tls_roots": "file"}), &simulator.settings_json());
    let failure = no_sign_in(&stranger);
    assert_eq!(failure.name(), "MXO_E_PROXY", "{}", failure.error);
    let told = format!("The proxy localhost:{port} cannot be reached: The certificate of localhost is not trusted");
    assert!(failure.message().starts_with(&told), "{}", failure.error);
}

#[test]
fn ca_file_is_for_all_connections() {
    let simulator = simulator();
    let mut settings: Json = serde_json::from_str(&simulator.settings_json()).unwrap();
    settings["cloud"]["ca_file"] = Json::Null;
    let settings = settings.to_string();
    for roots in ["platform", "file"] {
        let options = json!({"proxy": "none", "tls_roots": roots, "ca_file": simulator.ca_file()});
        let host = Host::opened(&simulator, &options, &settings);
        let outcome = host.sign_in(&simulator).unwrap();
        assert_eq!(outcome["warnings"], json!([]), "{roots}: {outcome}");
    }
    let failure = no_sign_in(&Host::opened(&simulator, &json!({"proxy": "none"}), &settings));
    assert_eq!(failure.name(), "MXO_E_CERTIFICATE", "{}", failure.error);
    let options = json!({"proxy": "none", "ca_file": "/nonexistent/ca.pem"});
    let failure = no_sign_in(&Host::opened(&simulator, &options, &settings));
    assert_eq!(failure.name(), "MXO_E_FILE", "{}", failure.error);
}

#[test]
fn connections_begin_at_the_bind_address() {
    let simulator = simulator();
    let proxy = Proxy::start("");
    let options = json!({"proxy": proxy.address(), "bind_address": "127.0.0.2"});
    all_is_well(&simulator, &Host::opened(&simulator, &options, &simulator.settings_json()));
    let log = proxy.log();
    let connections = |from: &str| log.lines().filter(|line| line.contains(": ") && line.contains(from)).count();
    assert!(connections("[127.0.0.2]") + connections(" 127.0.0.2") >= 3, "{log}");

    // Directly: who knocks at the mail server.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = std::thread::spawn(move || listener.accept().unwrap().1.ip().to_string());
    let server = json!({"host": "localhost", "port": port, "tls": "starttls"});
    let options = json!({"proxy": "none", "bind_address": "127.0.0.2"});
    let host = Host::opened(&simulator, &options, &with_mail_server(&simulator, &server));
    host.sign_in(&simulator).unwrap();
    assert_eq!(seen.join().unwrap(), "127.0.0.2");

    let options = json!({"proxy": "none", "bind_address": "192.0.2.1"});
    let failure = no_sign_in(&Host::opened(&simulator, &options, &simulator.settings_json()));
    assert_eq!(failure.name(), "MXO_E_NETWORK", "{}", failure.error);
    assert!(failure.message().contains("192.0.2.1") && failure.remedy().contains("bind_address"), "{}", failure.error);
}

#[test]
fn only_addresses_of_the_family_are_used() {
    let simulator = simulator();
    let options = json!({"proxy": "none", "ip_family": "ipv4"});
    all_is_well(&simulator, &Host::opened(&simulator, &options, &simulator.settings_json()));

    // The identity service, whose name is an address, and the mail server.
    let six = json!({"proxy": "none", "ip_family": "ipv6"});
    let settings = simulator.settings_json().replace("https://localhost:", "https://127.0.0.1:");
    let failure = no_sign_in(&Host::opened(&simulator, &six, &settings));
    assert_eq!(failure.name(), "MXO_E_NAME_RESOLUTION", "{}", failure.error);
    assert_eq!(failure.message(), "127.0.0.1 has no IPv6 address.");
    assert!(failure.remedy().contains("\"ip_family\""), "{}", failure.remedy());
    let server = json!({"host": "::1", "port": 25, "tls": "starttls"});
    let host = Host::opened(&simulator, &options, &with_mail_server(&simulator, &server));
    let warning = &host.sign_in(&simulator).unwrap()["warnings"][0];
    assert_eq!(warning["message"], "::1 has no IPv4 address.", "{warning}");
}

/// A listener with a full queue: the system drops whatever else knocks.
fn deaf() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: it is a listening socket, and listening again only changes the length of its queue.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queue.push(stream);
        assert!(queue.len() < 100, "the queue does not fill");
    }
    (listener, queue)
}

/// A listener that takes connections and says nothing.
fn mute() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut { stream }.take(u64::MAX), &mut std::io::sink()));
        }
    });
    port
}

/// What comes of a mail server of which no step ends, with time-outs of a second.
fn late(simulator: &Simulator, port: u16, tls: &str, step: &str) -> Failure {
    let server = json!({"host": "localhost", "port": port, "tls": tls});
    let options = json!({"proxy": "none", "timeouts": {step: 1}});
    let host = Host::opened(simulator, &options, &with_mail_server(simulator, &server));
    host.sign_in(simulator).unwrap();
    let begun = Instant::now();
    let failure = host.send(&Mail::to_alice()).unwrap_err();
    let took = begun.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&took), "{step}: {took:?} {}", failure.error);
    failure
}

#[test]
fn each_step_ends_in_the_time_that_is_set() {
    let simulator = simulator();
    let (deaf, _queue) = deaf();
    let connect = late(&simulator, deaf.local_addr().unwrap().port(), "starttls", "connect_s");
    assert_eq!(connect.name(), "MXO_E_NETWORK", "{}", connect.error);
    assert!(connect.message().contains("connecting"), "{}", connect.error);
    let tls = late(&simulator, mute(), "implicit", "tls_s");
    assert_eq!(tls.name(), "MXO_E_NETWORK", "{}", tls.error);
    assert!(tls.message().contains("setting up TLS"), "{}", tls.error);
    let command = late(&simulator, mute(), "starttls", "smtp_command_s");
    assert_eq!(command.error["transient"], true, "{}", command.error);
}

#[test]
fn sign_in_and_proxy_end_in_the_time_that_is_set() {
    let simulator = simulator();
    let quick = |options: Json| {
        let host = Host::opened(&simulator, &options, &simulator.settings_json());
        let begun = Instant::now();
        let failure = no_sign_in(&host);
        let took = begun.elapsed();
        assert!((Duration::from_millis(900)..Duration::from_secs(8)).contains(&took), "{took:?} {}", failure.error);
        failure
    };
    simulator.misbehave(json!({"name": "delay", "ms": 20_000, "at": "devicecode"}));
    let late = quick(json!({"proxy": "none", "timeouts": {"http_s": 1}}));
    assert_eq!(late.name(), "MXO_E_NETWORK", "{}", late.error);
    simulator.behave();
    // A proxy that takes the connection and never answers.
    let proxy = format!("http://127.0.0.1:{}", mute());
    let late = quick(json!({"proxy": proxy, "timeouts": {"connect_s": 1}}));
    assert_eq!(late.name(), "MXO_E_PROXY", "{}", late.error);
    assert!(late.message().contains("did not reach localhost"), "{}", late.error);
}

#[test]
fn one_directory_has_one_network() {
    let directory = tempfile::tempdir().unwrap();
    let options = |proxy: &str| json!({"data_directory": directory.path().join("store"), "proxy": proxy}).to_string();
    let first = open(&options("http://scan:hunter2@proxy:3128")).unwrap();
    let refused = open(&options("http://scan:hunter3@proxy:3128")).unwrap_err();
    assert!(refused.name() == "MXO_E_ARGUMENT" && refused.message().contains("\"proxy\""), "{}", refused.error);
    assert!(!refused.error.to_string().contains("hunter"), "{}", refused.error);
    myq_exchange_online::ffi::connector::mxo_connector_close(first);
}
