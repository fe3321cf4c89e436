//! An engine that keeps everything in the memory of one process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};

use super::{Error, Grant, SignIn, Store, System};
use crate::base::limits;

/// How many sign-ins of one system are remembered.
const SIGN_INS: usize = 32;

/// Systems with all that belongs to them, by id, which is in the order of time.
#[derive(Default)]
pub struct MemoryStore(Mutex<BTreeMap<String, Entry>>);

struct Entry {
    system: System,
    grant: Option<Grant>,
    /// By id, which is in the order of time.
    sign_ins: BTreeMap<String, SignIn>,
}

impl MemoryStore {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, system_id: &str, act: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.entries().get_mut(system_id).map(act)
    }
}

impl Store for MemoryStore {
    fn add_system(&self, system: System) -> Result<(), Error> {
        let mut entries = self.entries();
        if entries.len() >= limits::SYSTEMS {
            return Err(Error::TooManySystems);
        }
        entries.insert(system.id.clone(), Entry { system, grant: None, sign_ins: BTreeMap::new() });
        Ok(())
    }

    fn system(&self, system_id: &str) -> Result<Option<System>, Error> {
        Ok(self.with(system_id, |entry| entry.system.clone()))
    }

    fn systems(&self) -> Result<Vec<System>, Error> {
        Ok(self.entries().values().map(|entry| entry.system.clone()).collect())
    }

    fn update_system(&self, system: System) -> Result<bool, Error> {
        let replaced = self.with(&system.id.clone(), |entry| {
            let in_order = entry.system.revision.checked_add(1) == Some(system.revision);
            if in_order {
                entry.system = system;
            }
            in_order
        });
        Ok(replaced.unwrap_or(false))
    }

    fn remove_system(&self, system_id: &str) -> Result<bool, Error> {
        Ok(self.entries().remove(system_id).is_some())
    }

    fn grant(&self, system_id: &str) -> Result<Option<Grant>, Error> {
        Ok(self.with(system_id, |entry| entry.grant.clone()).flatten())
    }

    fn put_grant(&self, system_id: &str, grant: Option<Grant>) -> Result<bool, Error> {
        Ok(self.with(system_id, |entry| entry.grant = grant).is_some())
    }

    fn renew_grant(&self, system_id: &str, before: &SecretString, grant: Grant) -> Result<bool, Error> {
        let renewed = self.with(system_id, |entry| match &mut entry.grant {
            Some(stored) if stored.refresh_token.expose_secret() == before.expose_secret() => {
                *stored = grant;
                true
            }
            _ => false,
        });
        Ok(renewed.unwrap_or(false))
    }

    fn put_sign_in(&self, sign_in: SignIn) -> Result<bool, Error> {
        let kept = self.with(&sign_in.system_id.clone(), |entry| {
            entry.sign_ins.insert(sign_in.id.clone(), sign_in);
            while entry.sign_ins.len() > SIGN_INS {
                entry.sign_ins.pop_first();
            }
        });
        Ok(kept.is_some())
    }

    fn sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<Option<SignIn>, Error> {
        let found = self.with(system_id, |entry| match sign_in_id {
            Some(id) => entry.sign_ins.get(id).cloned(),
            None => entry.sign_ins.last_key_value().map(|(_, latest)| latest.clone()),
        });
        Ok(found.flatten())
    }
}
