//! Sign-ins, running and over, in the memory of one process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::SignIn;

/// How many sign-ins of one system are remembered.
const SIGN_INS: usize = 32;

/// By system, and by id, which is in the order of time.
#[derive(Default)]
pub(super) struct SignIns(Mutex<HashMap<String, BTreeMap<String, SignIn>>>);

impl SignIns {
    fn all(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<String, SignIn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, sign_in: SignIn) {
        let mut all = self.all();
        let of_system = all.entry(sign_in.system_id.clone()).or_default();
        of_system.insert(sign_in.id.clone(), sign_in);
        while of_system.len() > SIGN_INS {
            of_system.pop_first();
        }
    }

    pub(super) fn get(&self, system_id: &str, sign_in_id: Option<&str>) -> Option<SignIn> {
        let all = self.all();
        let of_system = all.get(system_id)?;
        match sign_in_id {
            Some(id) => of_system.get(id).cloned(),
            None => of_system.last_key_value().map(|(_, latest)| latest.clone()),
        }
    }

    pub(super) fn forget(&self, system_id: &str) {
        self.all().remove(system_id);
    }
}
