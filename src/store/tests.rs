//! Both engines keep the trait's promises; then what only the file can go through.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{
    Brought, Connected, DataKey, Error, Forget, Grant, Lease, Pause, Settings, SignIn, SignInState, SqliteStore, Store,
    System, Warning,
};
use crate::base::{Report, Status};
use crate::identity::Account;
use crate::identity::request::Protocol;

fn system(id: &str) -> System {
    System {
        id: id.to_owned(),
        title: format!("System {id}"),
        client_id: "0d6f3c9a-51b2-4c84-9e0f-7a8b6c5d4e3f".to_owned(),
        tenant_id: "contoso.com".to_owned(),
        settings: Settings { login_name: Some("scan@contoso.com".to_owned()), ..Settings::default() },
        revision: 1,
    }
}

fn grant(refresh_token: &str) -> Grant {
    Grant {
        connected: Connected {
            account: Some(Account {
                username: "scan@contoso.com".to_owned(),
                name: "Scän".to_owned(),
                tenant: "t".to_owned(),
                object: "o".to_owned(),
            }),
            login_name: "scan@contoso.com".to_owned(),
            scopes: vec!["one".to_owned(), "two".to_owned()],
            connected_at_unix_s: -1,
            dead: None,
            warnings: Vec::new(),
        },
        refresh_token: refresh_token.into(),
        access_token: "access".into(),
        expires_at_unix_ms: 1_800_000_000_123,
        obtained_at_unix_ms: 1_799_999_000_123,
        refreshed: true,
        pause: None,
    }
}

fn sign_in(system_id: &str, id: &str) -> SignIn {
    SignIn {
        id: id.to_owned(),
        system_id: system_id.to_owned(),
        started_at_unix_ms: 1_000,
        state: SignInState::Starting,
        code: None,
        error: None,
    }
}

fn canceled() -> Report {
    Report::new(Status::Canceled, "Cancelled.")
}

/// Connects a system as a sign-in does.
fn connect(store: &dyn Store, system_id: &str, grant: Grant) {
    let id = format!("{system_id}-{}", grant.refresh_token.expose_secret());
    let begun = store.begin_sign_in(sign_in(system_id, &id), Some(&canceled())).unwrap().unwrap();
    let done = SignIn { state: SignInState::Connected, ..begun };
    assert!(store.advance_sign_in(&done, Brought::Grant(Box::new(grant))).unwrap());
}

fn refresh_token(store: &dyn Store, system_id: &str) -> Option<String> {
    store.grant(system_id).unwrap().map(|grant| grant.refresh_token.expose_secret().to_owned())
}

fn on_disk(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory, None, false).unwrap()
}

/// In a directory that is made by it.
fn new_on_disk() -> (tempfile::TempDir, SqliteStore) {
    let temporary = tempfile::tempdir().unwrap();
    let store = on_disk(&temporary.path().join("new/data"));
    (temporary, store)
}

fn each_engine(promise: fn(&dyn Store)) {
    promise(&SqliteStore::in_memory().unwrap());
    promise(&new_on_disk().1);
}

#[test]
fn systems_are_kept_in_their_order_and_changed_one_revision_at_a_time() {
    each_engine(|store| {
        for id in ["b", "a", "c"] {
            store.add_system(system(id)).unwrap();
        }
        let ids: Vec<_> = store.overviews(None).unwrap().into_iter().map(|one| one.system.id).collect();
        assert_eq!(ids, ["b", "a", "c"]);
        let changed = System { title: "Changed".to_owned(), revision: 2, ..system("a") };
        assert!(store.update_system(changed.clone(), &Forget::Nothing).unwrap());
        assert!(!store.update_system(changed, &Forget::Nothing).unwrap(), "somebody else was first");
        assert!(!store.update_system(System { revision: 2, ..system("nobody") }, &Forget::Nothing).unwrap());
        let stored = store.system("a").unwrap().unwrap();
        assert_eq!((stored.title.as_str(), stored.revision), ("Changed", 2));
        assert_eq!(stored.settings, system("a").settings);
        assert!(store.remove_system("a").unwrap());
        assert!(!store.remove_system("a").unwrap());
        assert!(store.system("a").unwrap().is_none());
    });
}

#[test]
fn a_grant_comes_back_whole_and_goes_with_its_system() {
    each_engine(|store| {
        assert!(!store.forget("a", &Forget::Everything(canceled())).unwrap(), "there is no such system");
        store.add_system(system("a")).unwrap();
        assert!(store.grant("a").unwrap().is_none());
        let mut report = Report::new(Status::Policy, "Blocked.").remedy("Ask.").transient();
        report.retry_after = Some(Duration::from_secs(7));
        report.service.aadsts = Some(53_003);
        let mut kept = grant("1");
        kept.connected.dead = Some(report.clone());
        kept.connected.warnings = vec![Warning { protocol: Some(Protocol::Smtp), report: report.clone() }];
        kept.pause = Some(Pause { until_unix_ms: 7, failures: 3, report });
        connect(store, "a", kept.clone());
        let stored = store.grant("a").unwrap().unwrap();
        assert_eq!(stored.connected.account, kept.connected.account);
        assert_eq!(stored.connected.login_name, kept.connected.login_name);
        assert_eq!(stored.connected.scopes, kept.connected.scopes);
        assert_eq!(stored.access_token.expose_secret(), "access");
        assert_eq!(stored.refresh_token.expose_secret(), "1");
        assert_eq!((stored.expires_at_unix_ms, stored.obtained_at_unix_ms), (1_800_000_000_123, 1_799_999_000_123));
        assert_eq!((stored.connected.connected_at_unix_s, stored.refreshed), (-1, true));
        let dead = stored.connected.dead.unwrap();
        assert_eq!(dead.to_json(), kept.connected.dead.unwrap().to_json());
        assert_eq!(stored.connected.warnings[0].report.to_json(), dead.to_json());
        assert_eq!(stored.connected.warnings[0].protocol, Some(Protocol::Smtp));
        let pause = stored.pause.unwrap();
        assert_eq!((pause.until_unix_ms, pause.failures), (7, 3));
        assert!(store.living_grants().unwrap().is_empty());
        let overview = &store.overviews(Some("a")).unwrap()[0];
        assert_eq!(overview.connected.as_ref().unwrap().login_name, "scan@contoso.com");
        assert_eq!(overview.sign_in.as_ref().unwrap().state, SignInState::Connected);
        assert!(store.forget("a", &Forget::Everything(canceled())).unwrap());
        assert!(store.grant("a").unwrap().is_none());
        connect(store, "a", grant("2"));
        assert_eq!(store.living_grants().unwrap()[0].obtained_at_unix_ms, 1_799_999_000_123);
        store.remove_system("a").unwrap();
        store.add_system(system("a")).unwrap();
        assert!(store.grant("a").unwrap().is_none());
        assert!(store.sign_in("a", None).unwrap().is_none());
    });
}

#[test]
fn a_grant_is_renewed_only_over_the_one_that_was_read() {
    each_engine(|store| {
        store.add_system(system("a")).unwrap();
        let old = SecretString::from("old");
        assert!(!store.renew_grant("a", &old, &grant("new")).unwrap(), "signed out");
        connect(store, "a", grant("old"));
        assert!(store.renew_grant("a", &old, &grant("new")).unwrap());
        assert!(!store.renew_grant("a", &old, &grant("newer")).unwrap());
        assert_eq!(refresh_token(store, "a").as_deref(), Some("new"));
    });
}

#[test]
fn a_sign_in_that_runs_is_joined_or_replaced_and_one_that_ended_stays() {
    each_engine(|store| {
        assert!(store.begin_sign_in(sign_in("a", "1"), None).unwrap().is_none(), "there is no such system");
        store.add_system(system("a")).unwrap();
        assert_eq!(store.begin_sign_in(sign_in("a", "1"), None).unwrap().unwrap().id, "1");
        assert_eq!(store.begin_sign_in(sign_in("a", "2"), None).unwrap().unwrap().id, "1", "joined");
        assert_eq!(store.begin_sign_in(sign_in("a", "3"), Some(&canceled())).unwrap().unwrap().id, "3");
        let replaced = store.sign_in("a", Some("1")).unwrap().unwrap();
        assert_eq!(replaced.state, SignInState::Failed);
        assert_eq!(replaced.error.unwrap().status, Status::Canceled);
        let revived = SignIn { state: SignInState::CodeWaiting, ..sign_in("a", "1") };
        assert!(!store.advance_sign_in(&revived, Brought::Nothing).unwrap(), "it has ended");
        assert_eq!(store.sign_in("a", None).unwrap().unwrap().id, "3");
        // One whose time is over is not joined.
        let late = SignIn { started_at_unix_ms: 10_000_000, ..sign_in("a", "4") };
        assert_eq!(store.begin_sign_in(late, None).unwrap().unwrap().id, "4");
        assert_eq!(store.sign_in("a", Some("3")).unwrap().unwrap().error.unwrap().status, Status::SignInExpired);
        assert!(store.sign_in("b", None).unwrap().is_none());
    });
}

#[test]
fn a_device_code_is_kept_while_a_person_types_and_no_longer() {
    each_engine(|store| {
        store.add_system(system("a")).unwrap();
        let begun = store.begin_sign_in(sign_in("a", "1"), None).unwrap().unwrap();
        let waiting = SignIn { state: SignInState::CodeWaiting, ..begun };
        assert!(store.advance_sign_in(&waiting, Brought::DeviceCode("secret code".into())).unwrap());
        assert_eq!(store.device_code("1").unwrap().unwrap().expose_secret(), "secret code");
        assert_eq!(store.unfinished_sign_ins().unwrap().len(), 1);
        let proving = SignIn { state: SignInState::Proving, ..waiting };
        assert!(store.advance_sign_in(&proving, Brought::Grant(Box::new(grant("1")))).unwrap());
        assert!(store.device_code("1").unwrap().is_none());
        store.forget("a", &Forget::SignIn(canceled())).unwrap();
        assert!(store.unfinished_sign_ins().unwrap().is_empty());
        assert!(store.grant("a").unwrap().is_some());
    });
}

#[test]
fn a_lease_has_one_holder_until_its_end_and_never_for_longer_than_its_length() {
    let (temporary, one) = new_on_disk();
    let other = on_disk(&temporary.path().join("new/data"));
    let length = Duration::from_secs(8);
    let take = |store: &SqliteStore, now| store.take_lease("x", now, length).unwrap();
    assert_eq!(take(&one, 10_000), Lease::Taken);
    assert_eq!(take(&other, 17_999), Lease::Held);
    assert_eq!(take(&one, 15_000), Lease::Taken, "prolonged");
    assert_eq!(take(&other, 22_999), Lease::Held);
    other.return_lease("x").unwrap();
    assert_eq!(take(&other, 22_999), Lease::Held, "it was not theirs");
    assert_eq!(take(&other, 23_000), Lease::TakenOver);
    assert_eq!(take(&one, 22_999), Lease::Held, "who waited for its turn comes with an older time");
    assert_eq!(take(&one, 14_999), Lease::TakenOver, "the clock was set back");
    one.return_lease("x").unwrap();
    assert_eq!(take(&other, 1), Lease::Taken);
}

#[test]
fn each_hears_of_the_changes_of_the_others() {
    let (temporary, one) = new_on_disk();
    let other = on_disk(&temporary.path().join("new/data"));
    let (begun, version) = (other.latest_news().unwrap(), other.version().unwrap());
    one.add_system(system("a")).unwrap();
    connect(&one, "a", grant("1"));
    let mut dead = grant("2");
    dead.connected.dead = Some(canceled());
    one.renew_grant("a", &"1".into(), &dead).unwrap();
    one.forget("a", &Forget::Everything(canceled())).unwrap();
    one.remove_system("a").unwrap();
    assert_ne!(other.version().unwrap(), version);
    let heard: Vec<_> = other.news_since(begun).unwrap().into_iter().map(|news| news.change).collect();
    let expected = ["added", "starting", "connected", "connected", "sign_in_required", "signed_out", "removed"];
    assert_eq!(heard, expected);
    assert!(one.news_since(begun).unwrap().is_empty(), "one's own are no news");
}

#[test]
fn a_changed_key_opens_everything_and_the_old_one_nothing() {
    let (temporary, one) = new_on_disk();
    let directory = temporary.path().join("new/data");
    let other = on_disk(&directory);
    one.add_system(system("a")).unwrap();
    connect(&one, "a", grant("1"));
    let old = std::fs::read(directory.join("key")).unwrap();
    one.change_key(None).unwrap();
    assert_ne!(std::fs::read(directory.join("key")).unwrap(), old);
    assert!(!directory.join("key.new").exists());
    for store in [&one, &other, &on_disk(&directory)] {
        assert_eq!(refresh_token(store, "a").as_deref(), Some("1"));
    }
    // Killed between the records and the file.
    std::fs::rename(directory.join("key"), directory.join("key.new")).unwrap();
    std::fs::write(directory.join("key"), &old).unwrap();
    assert_eq!(refresh_token(&on_disk(&directory), "a").as_deref(), Some("1"));
    assert!(!directory.join("key.new").exists());
    let given = DataKey::random().unwrap();
    one.change_key(Some(given.clone())).unwrap();
    assert!(!directory.join("key").exists());
    assert!(matches!(other.grant("a"), Err(Error::KeyWrong)), "nobody told it the new key");
    let reopened = SqliteStore::open(&directory, Some(&given), false).unwrap();
    assert_eq!(refresh_token(&reopened, "a").as_deref(), Some("1"));
    assert!(matches!(SqliteStore::open(&directory, None, false), Err(Error::KeyMissing { .. })));
}

#[test]
fn of_two_that_renew_the_same_grant_one_wins() {
    let (temporary, one) = new_on_disk();
    let directory = temporary.path().join("new/data");
    one.add_system(system("a")).unwrap();
    connect(&one, "a", grant("0"));
    // Each thread is a process of its own to SQLite: it has its own connection.
    let won: Vec<String> = std::thread::scope(|scope| {
        let rivals: Vec<_> = (0..4)
            .map(|rival| {
                let directory = &directory;
                scope.spawn(move || {
                    let store = on_disk(directory);
                    let mut won = Vec::new();
                    for turn in 0..20 {
                        let before = store.grant("a").unwrap().unwrap().refresh_token;
                        let after = format!("{rival}-{turn}");
                        if store.renew_grant("a", &before, &grant(&after)).unwrap() {
                            won.push(format!("{} > {after}", before.expose_secret()));
                        }
                    }
                    won
                })
            })
            .collect();
        rivals.into_iter().flat_map(|rival| rival.join().unwrap()).collect()
    });
    let befores: BTreeSet<_> = won.iter().map(|step| step.split_once(" > ").unwrap().0).collect();
    assert!(won.len() >= 20, "{won:?}");
    assert_eq!(befores.len(), won.len(), "nothing was renewed twice: {won:?}");
}

#[test]
fn a_store_that_is_closed_says_so_and_can_be_opened_again() {
    let (temporary, store) = new_on_disk();
    store.add_system(system("a")).unwrap();
    store.close();
    store.close();
    assert!(matches!(store.overviews(None), Err(Error::Closed)));
    assert!(matches!(store.add_system(system("b")), Err(Error::Closed)));
    assert_eq!(on_disk(&temporary.path().join("new/data")).overviews(None).unwrap().len(), 1);
}

#[test]
fn a_full_disk_a_busy_and_a_read_only_file_are_told_apart() {
    let (temporary, store) = new_on_disk();
    let status = |failed: Result<(), Error>| failed.unwrap_err().report().status;
    // As small as it is: the next page is one too many.
    store.pragma("max_page_count", 1);
    let big = || System { title: "x".repeat(100_000), ..system("big") };
    assert_eq!(status(store.add_system(big())), Status::DiskFull);
    store.pragma("max_page_count", 1_000_000);
    store.pragma("query_only", 1);
    assert_eq!(status(store.add_system(big())), Status::StoreAccess);
    store.pragma("query_only", 0);

    let other = on_disk(&temporary.path().join("new/data"));
    store.pragma("busy_timeout", 20);
    other.while_writing(|| assert_eq!(status(store.add_system(big())), Status::StoreBusy));
    store.add_system(big()).unwrap();
}

#[test]
fn there_is_a_bound_to_systems() {
    let (_temporary, store) = new_on_disk();
    store.fill(crate::base::limits::SYSTEMS - 1);
    store.add_system(system("last")).unwrap();
    assert!(matches!(store.add_system(system("more")), Err(Error::TooManySystems)));
}

#[test]
fn a_key_of_the_host_leaves_no_key_file() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("data");
    let key = DataKey::random().unwrap();
    drop(SqliteStore::open(&directory, Some(&key), false).unwrap());
    assert!(!directory.join("key").exists());
    let other = DataKey::random().unwrap();
    assert!(matches!(SqliteStore::open(&directory, Some(&other), false), Err(Error::KeyWrong)));
    assert!(matches!(SqliteStore::open(&directory, None, false), Err(Error::KeyMissing { .. })));
    assert!(!directory.join("key").exists(), "a new key would only hide that the right one is missing");
    drop(SqliteStore::open(&directory, Some(&key), false).unwrap());
}
