//! Leases held by this process: prolonged while they live, given back at their end.

use std::sync::Arc;

use tokio::task::AbortHandle;

use super::Core;
use crate::Error;
use crate::base::limits;
use crate::store::Lease;

/// A lease of the store that this process holds.
pub(super) struct Hold {
    core: Arc<Core>,
    name: String,
    /// Whoever had it before did not give it back: what it was doing is not known.
    pub(super) taken_over: bool,
    heartbeat: AbortHandle,
}

impl Core {
    /// Takes a lease, unless another process has it.
    pub(super) async fn lease(self: &Arc<Self>, name: String) -> Result<Option<Hold>, Error> {
        let taken = self.prolong(name.clone()).await?;
        if taken == Lease::Held {
            return Ok(None);
        }
        let (core, kept) = (Arc::clone(self), name.clone());
        let heartbeat = self.handle().spawn(async move {
            loop {
                tokio::time::sleep(limits::LEASE / 4).await;
                // One that cannot be prolonged ends; the store's compare-and-set keeps the rest in order.
                let _ = core.prolong(kept.clone()).await;
            }
        });
        let (core, taken_over) = (Arc::clone(self), taken == Lease::TakenOver);
        Ok(Some(Hold { core, name, taken_over, heartbeat: heartbeat.abort_handle() }))
    }

    async fn prolong(self: &Arc<Self>, name: String) -> Result<Lease, Error> {
        let now = self.clock.unix_ms();
        self.in_store(move |store| store.take_lease(&name, now, limits::LEASE)).await
    }
}

impl Hold {
    /// Gives it back. One that is dropped instead ends by itself: what was done under it was not ended either.
    pub(super) async fn give_back(self) {
        self.heartbeat.abort();
        let name = self.name.clone();
        // Failing that it ends by itself.
        let _ = self.core.in_store(move |store| store.return_lease(&name)).await;
        self.core.wake();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}
