//! What a token costs, through the C ABI and beside MSAL: `cargo bench --bench token`. Needs `tests/setup` for MSAL.
//!
//! Prints a table, and writes it to `target/bench/token.json`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::alloc::{GlobalAlloc, Layout, System as SystemAllocator};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Host, add, c, checked, open, simulator};
use exchange_simulator::Simulator;
use myq_exchange_online::ffi::connector::mxo_connector_close;
use myq_exchange_online::ffi::mxo_connector;
use myq_exchange_online::ffi::string::mxo_string_free;
use myq_exchange_online::ffi::token::mxo_access_token;
use myq_exchange_online::store::{
    Brought, Connected, Grant, Settings, SignIn, SignInState, SqliteStore, Store, System,
};
use serde_json::{Value as Json, json};

/// Counts what Rust allocates; the returned text comes from malloc.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes everything on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { SystemAllocator.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { SystemAllocator.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Set in a child: its data directory and its system.
const CHILD: &str = "MXO_BENCH_CHILD";
const PROCESSES: usize = 16;
const THREADS: usize = 8;

fn main() {
    if let Ok(child) = std::env::var(CHILD) {
        return ask_in_child(&child);
    }
    let mut rows = Vec::new();
    let simulator = simulator();
    rows.extend(warm(&simulator));
    rows.push(row("open, 1000 systems", "mxo", "ms", open_ms()));
    rows.push(row("one more system", "mxo", "kib", one_more_kib()));
    rows.push(row("16 processes, one expiry", "mxo", "refreshes", one_expiry()));
    for row in &rows {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        println!("{:<28} {:<12} {:>12.2} {}", text("case"), text("who"), row["value"].as_f64().unwrap(), text("unit"));
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("token.json"), serde_json::to_string_pretty(&rows).unwrap()).unwrap();
}

fn row(case: &str, who: &str, metric: &str, value: f64) -> Json {
    json!({"case": case, "who": who, "metric": metric, "value": value, "unit": metric})
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A token and its wiping free.
fn token(connector: *mut mxo_connector, system: &std::ffi::CStr) {
    let (mut token, mut error) = (null_mut(), null_mut());
    // SAFETY: a live handle, a NUL-terminated text, valid out-pointers.
    let status =
        unsafe { mxo_access_token(connector, system.as_ptr(), 0, 30_000, &raw mut token, null_mut(), &raw mut error) };
    checked(status, error).unwrap();
    // SAFETY: just given.
    unsafe { mxo_string_free(token) };
}

// --- warm token ---

fn warm(simulator: &Simulator) -> Vec<Json> {
    simulator.set(json!({"access_token_octets": 2000}));
    let host = Host::connected(simulator);
    time(&host, 10_000);
    // In turns with MSAL, so that both have the same machine.
    let mut msal = Msal::start(simulator);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        ours.push(time(&host, 20_000));
        theirs.push(msal.batch());
    }
    msal.end();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..1_000).for_each(|_| token(host.connector, &host.system));
    let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / 1_000.0;
    let contended = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| time(&host, 20_000))).collect();
        median(threads.into_iter().map(|thread| thread.join().unwrap()).collect())
    });
    let (ours, theirs) = (median(ours), median(theirs));
    vec![
        row("warm token", "mxo", "ns", ours),
        row("warm token", "msal-python", "ns", theirs),
        row("warm token, msal / mxo", "mxo", "ratio", theirs / ours),
        row("warm token, Rust allocations", "mxo", "allocations", allocations),
        row("warm token, 8 threads", "mxo", "ns", contended),
    ]
}

/// Nanoseconds for one token.
fn time(host: &Host, calls: u32) -> f64 {
    let begun = Instant::now();
    (0..calls).for_each(|_| token(host.connector, &host.system));
    begun.elapsed().as_nanos() as f64 / f64::from(calls)
}

const MSAL: &str = r#"
import statistics, sys, time
import msal
authority, client = sys.argv[1:]
app = msal.PublicClientApplication(client, authority=authority, instance_discovery=False)
scopes = ["https://outlook.office.com/SMTP.Send"]
flow = app.initiate_device_flow(scopes)
print(flow["user_code"], flush=True)
result = app.acquire_token_by_device_flow(flow)
assert "access_token" in result, result
account = app.get_accounts()[0]
for line in sys.stdin:
    begun = time.perf_counter_ns()
    for _ in range(2000):
        token = app.acquire_token_silent(scopes, account)
    print((time.perf_counter_ns() - begun) / 2000, flush=True)
    assert token["access_token"] == result["access_token"]
"#;

struct Msal {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Msal {
    fn start(simulator: &Simulator) -> Self {
        let settings: Json = serde_json::from_str(&simulator.settings_json()).unwrap();
        let endpoint = settings["cloud"]["token_endpoint"].as_str().unwrap();
        let authority = endpoint.split("/{tenant}").next().unwrap();
        let ca = settings["cloud"]["ca_file"].as_str().unwrap();
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.work/venv/bin/python");
        let mut child = Command::new(python)
            .args(["-c", MSAL, &format!("{authority}/{}", simulator.tenant_id()), simulator.client_id()])
            .envs(["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].map(|name| (name, ca)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("MSAL is installed by tests/setup");
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut code = String::new();
        answers.read_line(&mut code).unwrap();
        simulator.approve(code.trim());
        Self { child, answers }
    }

    fn batch(&mut self) -> f64 {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().parse().expect("MSAL was signed in")
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

// --- many systems ---

/// A directory with so many connected systems, whose tokens live for an hour.
fn filled(directory: &Path, systems: usize) -> Vec<String> {
    let store = SqliteStore::open(directory, None, false).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let ids: Vec<_> = (0..systems).map(|number| format!("system-{number:05}")).collect();
    for id in &ids {
        let system = System {
            id: id.clone(),
            title: format!("Office {id}"),
            client_id: "0d6f3c9a-51b2-4c84-9e0f-7a8b6c5d4e3f".to_owned(),
            tenant_id: "contoso.com".to_owned(),
            settings: Settings::default(),
            revision: 1,
        };
        store.add_system(system).unwrap();
        let begun = SignIn {
            id: format!("{id}-sign-in"),
            system_id: id.clone(),
            started_at_unix_ms: now,
            state: SignInState::Starting,
            code: None,
            error: None,
        };
        let begun = store.begin_sign_in(begun, None).unwrap().unwrap();
        let grant = Grant {
            connected: Connected {
                account: None,
                login_name: format!("{id}@contoso.com"),
                scopes: vec!["https://outlook.office.com/SMTP.Send".to_owned()],
                connected_at_unix_s: now / 1000,
                dead: None,
                warnings: Vec::new(),
            },
            refresh_token: "r".repeat(1_200).into(),
            access_token: "a".repeat(2_000).into(),
            expires_at_unix_ms: now + 3_600_000,
            obtained_at_unix_ms: now,
            refreshed: true,
            pause: None,
        };
        let done = SignIn { state: SignInState::Connected, ..begun };
        assert!(store.advance_sign_in(&done, Brought::Grant(Box::new(grant))).unwrap());
    }
    ids
}

fn options(directory: &Path) -> String {
    json!({"proxy": "none", "data_directory": directory}).to_string()
}

fn open_ms() -> f64 {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("data");
    filled(&directory, 1_000);
    let options = options(&directory);
    let times = (0..21).map(|_| {
        let begun = Instant::now();
        let connector = open(&options).unwrap();
        let took = begun.elapsed();
        mxo_connector_close(connector);
        took.as_secs_f64() * 1_000.0
    });
    median(times.collect())
}

/// Resident memory of this process, in KiB.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What each system costs whose token was served once.
fn one_more_kib() -> f64 {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("data");
    let ids: Vec<_> = filled(&directory, 1_000).iter().map(|id| c(id)).collect();
    let connector = open(&options(&directory)).unwrap();
    let (first, rest) = ids.split_at(200);
    first.iter().for_each(|id| token(connector, id));
    let before = resident_kib();
    rest.iter().for_each(|id| token(connector, id));
    let grown = resident_kib() - before;
    mxo_connector_close(connector);
    grown / rest.len() as f64
}

// --- 16 processes ---

fn one_expiry() -> f64 {
    let simulator = simulator();
    simulator.set(json!({"access_token_lifetime_s": 2}));
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("data");
    let connector = open(&options(&directory)).unwrap();
    let system = add(connector, simulator.client_id(), simulator.tenant_id(), &simulator.settings_json()).unwrap();
    let host = Host { connector, system };
    host.sign_in(&simulator).unwrap();
    let child = json!({"options": options(&directory), "system": host.system.to_str().unwrap()}).to_string();
    let mut children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let own = std::env::current_exe().unwrap();
            Command::new(own).env(CHILD, &child).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in &mut children {
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready.trim(), "ready");
    }
    std::thread::sleep(Duration::from_secs(3));
    simulator.set(json!({"access_token_lifetime_s": 3_600}));
    for child in &mut children {
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
    for mut child in children {
        assert!(child.wait().unwrap().success(), "a process got no token");
    }
    let is_refresh = |request: &&exchange_simulator::Request| request.form.contains_key("refresh_token");
    simulator.requests().iter().filter(is_refresh).count() as f64
}

fn ask_in_child(child: &str) {
    let child: Json = serde_json::from_str(child).unwrap();
    let connector = open(child["options"].as_str().unwrap()).unwrap();
    let system = c(child["system"].as_str().unwrap());
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let host = Host { connector, system };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(|| host.token(0).unwrap()))));
}
