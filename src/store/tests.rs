//! Both engines keep the trait's promises; then what only the file can go through.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{DataKey, Error, Grant, MemoryStore, Settings, SignIn, SignInState, SqliteStore, Store, System, Warning};
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
        account: Some(Account {
            username: "scan@contoso.com".to_owned(),
            name: "Scän".to_owned(),
            tenant: "t".to_owned(),
            object: "o".to_owned(),
        }),
        login_name: "scan@contoso.com".to_owned(),
        scopes: vec!["one".to_owned(), "two".to_owned()],
        refresh_token: refresh_token.into(),
        access_token: "access".into(),
        expires_at_unix_ms: 1_800_000_000_123,
        connected_at_unix_s: -1,
        dead: None,
        warnings: Vec::new(),
    }
}

fn sign_in(system_id: &str, id: &str) -> SignIn {
    SignIn { id: id.to_owned(), system_id: system_id.to_owned(), state: SignInState::Starting, code: None, error: None }
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
    promise(&MemoryStore::default());
    promise(&new_on_disk().1);
}

#[test]
fn systems_are_kept_in_their_order_and_changed_one_revision_at_a_time() {
    each_engine(|store| {
        for id in ["b", "a", "c"] {
            store.add_system(system(id)).unwrap();
        }
        let ids: Vec<_> = store.systems().unwrap().into_iter().map(|system| system.id).collect();
        assert_eq!(ids, ["b", "a", "c"]);
        let changed = System { title: "Changed".to_owned(), revision: 2, ..system("a") };
        assert!(store.update_system(changed.clone()).unwrap());
        assert!(!store.update_system(changed).unwrap(), "somebody else was first");
        assert!(!store.update_system(System { revision: 2, ..system("nobody") }).unwrap());
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
        assert!(!store.put_grant("a", Some(grant("1"))).unwrap(), "there is no such system");
        store.add_system(system("a")).unwrap();
        assert!(store.grant("a").unwrap().is_none());
        let mut report = Report::new(Status::Policy, "Blocked.").remedy("Ask.").transient();
        report.retry_after = Some(Duration::from_secs(7));
        report.service.aadsts = Some(53_003);
        let kept = Grant {
            dead: Some(report.clone()),
            warnings: vec![Warning { protocol: Some(Protocol::Smtp), report }],
            ..grant("1")
        };
        assert!(store.put_grant("a", Some(kept.clone())).unwrap());
        let stored = store.grant("a").unwrap().unwrap();
        assert_eq!(stored.account, kept.account);
        assert_eq!((stored.login_name, stored.scopes), (kept.login_name, kept.scopes));
        assert_eq!(stored.access_token.expose_secret(), "access");
        assert_eq!(stored.refresh_token.expose_secret(), "1");
        assert_eq!((stored.expires_at_unix_ms, stored.connected_at_unix_s), (1_800_000_000_123, -1));
        let dead = stored.dead.unwrap();
        assert_eq!(dead.to_json(), kept.dead.unwrap().to_json());
        assert_eq!(stored.warnings[0].report.to_json(), dead.to_json());
        assert_eq!(stored.warnings[0].protocol, Some(Protocol::Smtp));
        assert!(store.put_grant("a", None).unwrap());
        assert!(store.grant("a").unwrap().is_none());
        store.put_grant("a", Some(grant("2"))).unwrap();
        store.remove_system("a").unwrap();
        store.add_system(system("a")).unwrap();
        assert!(store.grant("a").unwrap().is_none());
    });
}

#[test]
fn a_grant_is_renewed_only_over_the_one_that_was_read() {
    each_engine(|store| {
        store.add_system(system("a")).unwrap();
        let old = SecretString::from("old");
        assert!(!store.renew_grant("a", &old, grant("new")).unwrap(), "signed out");
        store.put_grant("a", Some(grant("old"))).unwrap();
        assert!(store.renew_grant("a", &old, grant("new")).unwrap());
        assert!(!store.renew_grant("a", &old, grant("newer")).unwrap());
        assert_eq!(refresh_token(store, "a").as_deref(), Some("new"));
    });
}

#[test]
fn sign_ins_are_remembered_by_system() {
    each_engine(|store| {
        assert!(!store.put_sign_in(sign_in("a", "1")).unwrap(), "there is no such system");
        store.add_system(system("a")).unwrap();
        for id in ["1", "2"] {
            assert!(store.put_sign_in(sign_in("a", id)).unwrap());
        }
        assert_eq!(store.sign_in("a", None).unwrap().unwrap().id, "2");
        assert_eq!(store.sign_in("a", Some("1")).unwrap().unwrap().id, "1");
        assert!(store.sign_in("b", None).unwrap().is_none());
        store.remove_system("a").unwrap();
        assert!(store.sign_in("a", None).unwrap().is_none());
    });
}

#[test]
fn of_two_that_renew_the_same_grant_one_wins() {
    let (temporary, one) = new_on_disk();
    let directory = temporary.path().join("new/data");
    one.add_system(system("a")).unwrap();
    one.put_grant("a", Some(grant("0"))).unwrap();
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
                        if store.renew_grant("a", &before, grant(&after)).unwrap() {
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
    assert!(matches!(store.systems(), Err(Error::Closed)));
    assert!(matches!(store.add_system(system("b")), Err(Error::Closed)));
    assert_eq!(on_disk(&temporary.path().join("new/data")).systems().unwrap().len(), 1);
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
    let store = MemoryStore::default();
    for id in 0..crate::base::limits::SYSTEMS {
        store.add_system(system(&id.to_string())).unwrap();
    }
    assert!(matches!(store.add_system(system("more")), Err(Error::TooManySystems)));
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
