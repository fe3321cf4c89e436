//! What lasts in a data directory, through the C ABI: over closing and opening, over processes, and against readers.
//! Where a process of its own is needed, this program runs itself again with its role in the environment.

mod common;

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::ptr::null_mut;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use common::{Failure, Host, Result, add, checked, open, simulator, taken};
use exchange_simulator::Simulator;
use myq_exchange_online::ffi::connector::mxo_connector_close;
use myq_exchange_online::ffi::mxo_connector;
use myq_exchange_online::ffi::sign_in::mxo_sign_out;
use myq_exchange_online::ffi::system::{mxo_system_list, mxo_system_remove};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// More than any token has: asks for a refresh.
const MORE_THAN_ANY: u32 = 1_000_000;
const CLIENT_ID: &str = "0d6f3c9a-51b2-4c84-9e0f-7a8b6c5d4e3f";

/// A place for a data directory, which is not made yet.
struct Place {
    _temporary: TempDir,
    data: PathBuf,
}

impl Place {
    fn new() -> Self {
        let temporary = TempDir::with_prefix("mxo-store-").unwrap();
        Self { data: temporary.path().join("data"), _temporary: temporary }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    fn open(&self) -> Result<Opened> {
        self.open_with(json!({}))
    }

    fn open_with(&self, options: Json) -> Result<Opened> {
        open_at(&self.data, options)
    }

    /// A host whose connector is in this place, with a system of the simulator.
    fn host(&self, simulator: &Simulator) -> Host {
        let connector = self.open().unwrap().keep();
        let (client_id, tenant_id) = (simulator.client_id(), simulator.tenant_id());
        Host { connector, system: add(connector, client_id, tenant_id, &simulator.settings_json()).unwrap() }
    }

    fn connected(&self, simulator: &Simulator) -> Host {
        let host = self.host(simulator);
        assert_eq!(host.sign_in(simulator).unwrap()["state"], "connected");
        host
    }

    /// The same system in a new connector, after the one before was closed.
    /// The same two minutes later: a token that was refreshed is not new any more.
    fn again_later(&self, host: Host) -> Host {
        let system = host.system.clone();
        drop(host);
        self.database().execute("UPDATE grants SET obtained_at_unix_ms = obtained_at_unix_ms - 120000", []).unwrap();
        Host { connector: self.open().unwrap().keep(), system }
    }

    fn again(&self, host: Host) -> Host {
        let system = host.system.clone();
        drop(host);
        Host { connector: self.open().unwrap().keep(), system }
    }

    fn database(&self) -> Connection {
        Connection::open(self.file("store.sqlite3")).unwrap()
    }

    /// Every file of the store, as it is on disk.
    fn raw(&self) -> Vec<(String, Vec<u8>)> {
        let files = std::fs::read_dir(&self.data).unwrap().map(|entry| entry.unwrap());
        files
            .map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap()))
            .filter(|(name, _)| name.starts_with("store.sqlite3"))
            .collect()
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.raw().iter().any(|(_, file)| contains(file, bytes))
    }
}

/// A connector that is closed in the end.
struct Opened(*mut mxo_connector);

impl Opened {
    fn keep(self) -> *mut mxo_connector {
        let connector = self.0;
        std::mem::forget(self);
        connector
    }

    fn add(&self) -> CString {
        add(self.0, CLIENT_ID, "contoso.com", "{}").unwrap()
    }

    fn systems(&self) -> Vec<Json> {
        let (mut systems, mut error) = (null_mut(), null_mut());
        // SAFETY: a live handle and valid out-pointers.
        checked(unsafe { mxo_system_list(self.0, &raw mut systems, &raw mut error) }, error).unwrap();
        taken(systems)["systems"].as_array().unwrap().clone()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        mxo_connector_close(self.0);
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Opened")
    }
}

fn open_at(data: &Path, mut options: Json) -> Result<Opened> {
    options["data_directory"] = json!(data);
    options["proxy"] = json!("none");
    open(&options.to_string()).map(Opened)
}

fn refused(opened: Result<Opened>, name: &str) -> Failure {
    let failure = opened.unwrap_err();
    assert_eq!(failure.name(), name, "{}", failure.error);
    assert!(!failure.remedy().is_empty(), "{}", failure.error);
    failure
}

fn sign_out(host: &Host, system: &CStr) {
    let mut error = null_mut();
    // SAFETY: a live handle, a NUL-terminated text, a valid out-pointer.
    checked(unsafe { mxo_sign_out(host.connector, system.as_ptr(), &raw mut error) }, error).unwrap();
}

fn contains(file: &[u8], bytes: &[u8]) -> bool {
    file.windows(bytes.len()).any(|window| window == bytes)
}

fn refreshes(simulator: &Simulator) -> Vec<String> {
    simulator.requests().iter().filter_map(|request| request.form.get("refresh_token").cloned()).collect()
}

// --- it lasts ---

#[test]
fn a_connection_survives_closing() {
    let simulator = simulator();
    let place = Place::new();
    let host = place.connected(&simulator);
    let (token, _) = host.token(0).unwrap();
    let before = host.system();
    let asked = simulator.requests().len();

    let host = place.again(host);
    let after = host.system();
    assert_eq!(after["status"]["state"], "connected");
    assert_eq!(after["status"]["sign_in"]["state"], "connected");
    assert_eq!(after, before);
    assert_eq!(host.token(0).unwrap().0, token);
    assert_eq!(simulator.requests().len(), asked, "nobody was asked");

    let (refreshed, _) = host.token(MORE_THAN_ANY).unwrap();
    assert_ne!(refreshed, token);
    let host = place.again(host);
    assert_eq!(host.token(0).unwrap().0, refreshed);
    assert_eq!(host.token(MORE_THAN_ANY).unwrap().0, refreshed, "it was just refreshed, whoever did it");
    assert_eq!(refreshes(&simulator).len(), 1);
    let host = place.again_later(host);
    host.token(MORE_THAN_ANY).unwrap();
    let sent = refreshes(&simulator);
    assert!(sent.len() == 2 && sent[0] != sent[1], "the new refresh token was kept");

    simulator.revoke(simulator.account());
    let host = place.again_later(host);
    let dead = host.token(MORE_THAN_ANY).unwrap_err();
    assert_eq!(dead.name(), "MXO_E_SIGN_IN_REQUIRED");
    let host = place.again(host);
    assert_eq!(host.system()["status"]["state"], "sign_in_required");
    assert_eq!(host.system()["status"]["error"]["message"], dead.message());
}

#[test]
fn closing_lets_go_of_the_files_whatever_handles_are_left() {
    let simulator = simulator();
    let place = Place::new();
    let host = place.connected(&simulator);
    let events = host.events(None);
    assert!(place.file("store.sqlite3-wal").exists());
    drop(host);
    assert!(!place.file("store.sqlite3-wal").exists(), "the last one that closes clears it away");
    drop(events);
}

#[test]
fn connectors_of_one_directory_in_one_process_agree_on_their_options() {
    let place = Place::new();
    let first = place.open().unwrap();
    first.add();
    assert_eq!(open_at(&place.data.join("../data"), json!({})).unwrap().systems().len(), 1);
    for (option, value) in [("key", json!(STANDARD.encode([9; 32]))), ("share_with_group", json!(true))] {
        let failure = refused(place.open_with(json!({ option: value })), "MXO_E_ARGUMENT");
        assert!(failure.message().contains(option), "{}", failure.message());
    }
}

// --- many processes ---

/// What another process does, named in the environment; as a test of its own it does nothing.
#[test]
fn child() {
    let Ok(role) = std::env::var("MXO_STORE_CHILD") else { return };
    let role: Json = serde_json::from_str(&role).unwrap();
    let data = Path::new(role["data"].as_str().unwrap());
    let opened = open_at(data, role["options"].clone()).unwrap();
    for _ in 0..role["add"].as_u64().unwrap() {
        opened.add();
    }
    #[cfg(unix)]
    for (name, mode) in role["modes"].as_object().into_iter().flatten() {
        assert_eq!(format!("{:o}", mode_of(&data.join(name))), mode.as_str().unwrap(), "{name}");
    }
}

/// This program in a role, under a umask.
fn child_of(program: &Path, umask: &str, role: &Json) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$0\" --exact child --nocapture")]).arg(program);
    command.env("MXO_STORE_CHILD", role.to_string()).stdout(Stdio::null());
    command
}

fn start(role: &Json) -> Child {
    child_of(&std::env::current_exe().unwrap(), "022", role).spawn().unwrap()
}

fn all_end_well(children: Vec<Child>) {
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn two_processes_write_at_once_and_nothing_is_lost() {
    let place = Place::new();
    let role = json!({"data": place.data, "options": {}, "add": 500});
    all_end_well(vec![start(&role), start(&role)]);
    let systems = place.open().unwrap().systems();
    let ids: std::collections::BTreeSet<_> = systems.iter().map(|system| system["id"].to_string()).collect();
    assert_eq!((systems.len(), ids.len()), (1000, 1000));
}

#[test]
fn processes_that_begin_a_store_at_the_same_moment_end_with_one_key() {
    for _ in 0..5 {
        let place = Place::new();
        let role = json!({"data": place.data, "options": {}, "add": 1});
        all_end_well((0..8).map(|_| start(&role)).collect());
        assert_eq!(std::fs::read(place.file("key")).unwrap().len(), 32);
        assert_eq!(place.open().unwrap().systems().len(), 8);
    }
}

#[test]
fn a_change_by_another_process_is_seen() {
    let place = Place::new();
    let opened = place.open().unwrap();
    all_end_well(vec![start(&json!({"data": place.data, "options": {}, "add": 3}))]);
    assert_eq!(opened.systems().len(), 3);
}

// --- a file that cannot be used ---

#[test]
fn a_newer_store_is_refused_and_left_as_it_is() {
    let place = Place::new();
    place.open().unwrap().add();
    let version: i64 = place.database().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    place.database().pragma_update(None, "user_version", 99).unwrap();
    let before = place.raw();
    let failure = refused(place.open(), "MXO_E_STORE_VERSION");
    assert!(failure.message().contains("newer") && failure.message().contains("99"), "{}", failure.message());
    assert!(place.raw() == before);
    place.database().pragma_update(None, "user_version", version).unwrap();
    assert_eq!(place.open().unwrap().systems().len(), 1);
}

#[test]
fn a_damaged_store_is_set_aside_and_never_silently_replaced() {
    for damage in ["nonsense", "header", "page", "half"] {
        let place = Place::new();
        place.open().unwrap().add();
        let mut file = std::fs::read(place.file("store.sqlite3")).unwrap();
        match damage {
            "nonsense" => file.fill(b'x'),
            "header" => file[..16].fill(0),
            "page" => file[4096..8192].fill(0xff),
            _ => file.truncate(file.len() / 2),
        }
        std::fs::write(place.file("store.sqlite3"), &file).unwrap();

        let failure = refused(place.open(), "MXO_E_STORE_DAMAGED");
        let kept: Vec<_> = place.raw().into_iter().filter(|(name, _)| name.contains(".damaged-")).collect();
        assert_eq!(kept.len(), 1, "{damage}");
        assert!(kept[0].1 == file, "{damage}: as it was");
        assert!(failure.message().contains(&kept[0].0), "{damage}: {}", failure.message());
        assert!(failure.remedy().contains("backup") && failure.remedy().contains("empty"), "{}", failure.remedy());
        assert!(!place.file("store.sqlite3").exists(), "{damage}");
        assert_eq!(place.open().unwrap().systems().len(), 0, "{damage}");
        assert_eq!(std::fs::read(place.file(&kept[0].0)).unwrap(), file, "{damage}: still there");
    }
}

// --- keys ---

#[test]
fn a_wrong_or_missing_key_is_refused_and_not_told() {
    let place = Place::new();
    let (right, wrong) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
    place.open_with(json!({ "key": right })).unwrap().add();
    let failure = refused(place.open_with(json!({ "key": wrong })), "MXO_E_STORE_KEY");
    assert!(!failure.error.to_string().contains(&wrong));
    refused(place.open(), "MXO_E_STORE_KEY");
    assert!(!place.file("key").exists());
    let failure = refused(place.open_with(json!({ "key": &wrong[2..] })), "MXO_E_ARGUMENT");
    assert!(failure.message().contains("key") && !failure.error.to_string().contains(&wrong[2..]));
    assert_eq!(place.open_with(json!({ "key": right })).unwrap().systems().len(), 1);

    let place = Place::new();
    place.open().unwrap().add();
    let key = std::fs::read(place.file("key")).unwrap();
    std::fs::remove_file(place.file("key")).unwrap();
    let failure = refused(place.open(), "MXO_E_STORE_KEY");
    assert!(failure.message().contains("missing"), "{}", failure.message());
    assert!(!place.file("key").exists(), "a new one would open nothing");
    std::fs::write(place.file("key"), &key[1..]).unwrap();
    refused(place.open(), "MXO_E_STORE_KEY");
    std::fs::write(place.file("key"), &key).unwrap();
    assert_eq!(place.open().unwrap().systems().len(), 1);
}

#[test]
fn a_row_that_was_copied_onto_another_system_does_not_open() {
    let simulator = simulator();
    let place = Place::new();
    let host = place.connected(&simulator);
    let settings = simulator.settings_json();
    let other = add(host.connector, simulator.client_id(), simulator.tenant_id(), &settings).unwrap();
    let columns = "account, login_name, scopes, warnings, dead, refresh_token, access_token, expires_at_unix_ms, \
                   connected_at_unix_s";
    let copy = format!("INSERT INTO grants (system_id, {columns}) SELECT ?1, {columns} FROM grants");
    place.database().execute(&copy, [other.to_str().unwrap()]).unwrap();

    let thief = Host { connector: place.open().unwrap().keep(), system: other };
    let failure = thief.token(0).unwrap_err();
    assert_eq!(failure.name(), "MXO_E_STORE_KEY", "{}", failure.error);
    assert!(failure.remedy().contains("Sign the system out"), "{}", failure.remedy());
    assert!(host.token(0).is_ok(), "the right one still opens");
    sign_out(&thief, &thief.system);
    assert_eq!(thief.system()["status"]["state"], "not_connected");

    // Swapped columns of one row do not open either.
    place.database().execute("UPDATE grants SET access_token = refresh_token", []).unwrap();
    drop(thief);
    let host = place.again(host);
    assert_eq!(host.token(0).unwrap_err().name(), "MXO_E_STORE_KEY");
}

// --- who may read ---

#[cfg(unix)]
fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[test]
fn the_modes_are_set_whatever_the_umask_says() {
    let alone = json!({"": "700", "store.sqlite3": "600", "store.sqlite3-wal": "600", "store.sqlite3-shm": "600",
                       "key": "600", "lock": "600"});
    let shared = json!({"": "2770", "store.sqlite3": "660", "store.sqlite3-wal": "660", "store.sqlite3-shm": "660",
                        "key": "640", "lock": "660"});
    for umask in ["000", "022", "077"] {
        for (share, modes) in [(false, &alone), (true, &shared)] {
            let place = Place::new();
            let options = json!({ "share_with_group": share });
            let role = json!({"data": place.data, "options": options, "add": 1, "modes": modes});
            let mut command = child_of(&std::env::current_exe().unwrap(), umask, &role);
            assert!(command.status().unwrap().success(), "umask {umask}, shared: {share}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_directory_that_others_can_use_is_refused_with_the_remedy() {
    for (mode, share, good) in [
        (0o700, false, true),
        (0o755, false, false),
        (0o750, false, false),
        (0o720, false, false),
        (0o704, false, false),
        (0o702, false, false),
        (0o700, true, true),
        (0o750, true, true),
        (0o2770, true, true),
        (0o775, true, false),
        (0o2772, true, false),
    ] {
        let place = Place::new();
        std::fs::create_dir(&place.data).unwrap();
        set_mode(&place.data, mode);
        let opened = place.open_with(json!({ "share_with_group": share }));
        if good {
            drop(opened.unwrap());
            assert_eq!(mode_of(&place.data), if share { 0o2770 } else { 0o700 }, "{mode:o}, shared: {share}");
        } else {
            let failure = refused(opened, "MXO_E_STORE_ACCESS");
            let chmod = if share { "chmod 2770 " } else { "chmod 700 " };
            let path = place.data.to_str().unwrap();
            assert!(failure.remedy().contains(chmod) && failure.remedy().contains(path), "{}", failure.remedy());
            assert_eq!(mode_of(&place.data), mode, "nothing was changed");
            assert!(std::fs::read_dir(&place.data).unwrap().next().is_none(), "nothing was written");
        }
    }
    let place = Place::new();
    drop(place.open_with(json!({"share_with_group": true})).unwrap());
    refused(place.open(), "MXO_E_STORE_ACCESS");
    set_mode(&place.data, 0o700);
    drop(place.open().unwrap());
    assert_eq!((mode_of(&place.file("store.sqlite3")), mode_of(&place.file("key"))), (0o600, 0o600));

    let place = Place::new();
    std::fs::write(&place.data, "a file").unwrap();
    set_mode(&place.data, 0o600);
    refused(place.open(), "MXO_E_STORE_ACCESS");
}

/// The service and the PHP workers run as two users of one group. Needs root, to become them.
#[cfg(unix)]
#[test]
fn two_users_of_a_group_share_a_store_and_a_third_one_is_kept_out() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;

    let place = Place::new();
    let home = place.data.parent().unwrap();
    if std::fs::metadata(home).unwrap().uid() != 0 {
        eprintln!("left out: this is not root");
        return;
    }
    set_mode(home, 0o777);
    // Where this program was built need not be open to others.
    let program = home.join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    set_mode(&program, 0o755);
    let role = json!({"data": place.data, "options": {"share_with_group": true}, "add": 50});
    let run = |user: u32, group: u32, umask: &str| {
        let mut command = child_of(&program, umask, &role);
        command.uid(user).gid(group).current_dir(home).stderr(Stdio::null()).spawn().unwrap()
    };
    assert!(run(61_001, 61_000, "077").wait().unwrap().success());
    assert!(run(61_002, 61_000, "077").wait().unwrap().success());
    all_end_well(vec![run(61_001, 61_000, "077"), run(61_002, 61_000, "022")]);
    assert!(!run(61_003, 61_003, "022").wait().unwrap().success());
    assert_eq!(place.open_with(json!({"share_with_group": true})).unwrap().systems().len(), 200);
}

// --- nothing to read ---

/// A secret as it is, and in base64 wherever it may begin in a group of three octets.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec()];
    for before in 0..3 {
        let mut text = vec![b' '; before];
        text.extend_from_slice(secret.as_bytes());
        for engine in [&STANDARD, &URL_SAFE] {
            let encoded = engine.encode(&text).into_bytes();
            // The outermost groups hold neighbours too.
            forms.push(encoded[4..encoded.len() - 4].to_vec());
        }
    }
    forms
}

/// The sealed tokens as they stand in the database.
fn sealed(place: &Place) -> Vec<Vec<u8>> {
    let database = place.database();
    let mut rows = database.prepare("SELECT refresh_token, access_token FROM grants").unwrap();
    let tokens = rows.query_map([], |row| Ok([row.get(0)?, row.get(1)?])).unwrap();
    tokens.flat_map(|tokens: rusqlite::Result<[Vec<u8>; 2]>| tokens.unwrap()).collect()
}

/// How many 16-octet pieces of these are in the files.
fn pieces_found(place: &Place, sealed: &[Vec<u8>]) -> (usize, usize) {
    let pieces: Vec<_> = sealed.iter().flat_map(|token| token.chunks_exact(16)).collect();
    (pieces.iter().filter(|piece| place.holds(piece)).count(), pieces.len())
}

#[test]
fn the_raw_files_hold_no_token() {
    let simulator = simulator();
    let place = Place::new();
    let host = place.connected(&simulator);
    let marker = simulator.account().to_owned();
    let mut secrets = vec![host.token(0).unwrap().0, host.token(MORE_THAN_ANY).unwrap().0];
    host.token(MORE_THAN_ANY).unwrap();
    let host = place.again_later(host);
    host.token(MORE_THAN_ANY).unwrap();
    secrets.extend(refreshes(&simulator));
    assert!(secrets.len() >= 3 && secrets.iter().all(|secret| secret.len() > 16), "{}", secrets.len());
    let look = |when: &str| {
        assert!(place.holds(marker.as_bytes()), "{when}: this test is blind");
        let (found, of) = pieces_found(&place, &sealed(&place));
        assert!(of > 8 && found == of, "{when}: {found} of {of} sealed pieces: this test is blind");
        for secret in &secrets {
            for form in forms(secret) {
                for (name, file) in place.raw() {
                    assert!(!contains(&file, &form), "{when}: a token is in {name}");
                }
            }
        }
    };
    assert!(place.raw().iter().any(|(name, file)| name.ends_with("-wal") && !file.is_empty()));
    look("while it is open");
    drop(host);
    look("after it was closed");
}

#[test]
fn signing_out_and_removing_leave_nothing_of_the_old_tokens_even_sealed() {
    let simulator = simulator();
    let forget: [fn(&Host); 2] = [
        |host| sign_out(host, &host.system),
        |host| {
            let mut error = null_mut();
            // SAFETY: a live handle, a NUL-terminated text, a valid out-pointer.
            let status = unsafe { mxo_system_remove(host.connector, host.system.as_ptr(), &raw mut error) };
            checked(status, error).unwrap();
        },
    ];
    for forget in forget {
        let place = Place::new();
        let host = place.connected(&simulator);
        let mut old = sealed(&place);
        host.token(MORE_THAN_ANY).unwrap();
        let current = sealed(&place);
        assert_ne!(old, current);
        let (found, of) = pieces_found(&place, &current);
        assert!(of > 8 && found == of, "{found} of {of}: this test is blind");
        old.extend(current);
        // The same in the file itself, and not only in the log.
        let host = place.again(host);
        let (found, of) = pieces_found(&place, &sealed(&place));
        assert!(found == of, "{found} of {of}: this test is blind");

        forget(&host);
        assert_eq!(pieces_found(&place, &old).0, 0, "while it is open");
        let events = host.events(None);
        drop(host);
        assert_eq!(pieces_found(&place, &old).0, 0, "after the last one has closed");
        assert!(!place.file("store.sqlite3-wal").exists());
        drop(events);
    }
}
