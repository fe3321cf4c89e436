//! An engine that keeps everything in the memory of one process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};

use super::sign_ins::SignIns;
use super::{Error, Grant, SignIn, Store, System};
use crate::base::limits;

/// Systems with all that belongs to them, by id.
#[derive(Default)]
pub struct MemoryStore {
    entries: Mutex<HashMap<String, Entry>>,
    sign_ins: SignIns,
}

struct Entry {
    /// Counts the systems as they were added.
    position: usize,
    system: System,
    grant: Option<Grant>,
}

impl MemoryStore {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
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
        let position = entries.values().map(|entry| entry.position + 1).max().unwrap_or(0);
        entries.insert(system.id.clone(), Entry { position, system, grant: None });
        Ok(())
    }

    fn system(&self, system_id: &str) -> Result<Option<System>, Error> {
        Ok(self.with(system_id, |entry| entry.system.clone()))
    }

    fn systems(&self) -> Result<Vec<System>, Error> {
        let entries = self.entries();
        let mut in_order: Vec<_> = entries.values().collect();
        in_order.sort_by_key(|entry| entry.position);
        Ok(in_order.into_iter().map(|entry| entry.system.clone()).collect())
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
        let mut entries = self.entries();
        self.sign_ins.forget(system_id);
        Ok(entries.remove(system_id).is_some())
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
        // Under the lock of the systems, so that none comes after the removal of its system.
        Ok(self.with(&sign_in.system_id.clone(), |_| self.sign_ins.put(sign_in)).is_some())
    }

    fn sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<Option<SignIn>, Error> {
        Ok(self.sign_ins.get(system_id, sign_in_id))
    }

    fn close(&self) {}
}
