//! Leases held by this process: prolonged while they live, given back at their end.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Core, lock};
use crate::Error;
use crate::base::limits;
use crate::store::Lease;

/// A lease of the store that a task of this process holds.
pub(super) struct Hold {
    core: Arc<Core>,
    name: String,
    /// Whoever had it before did not give it back: what it was doing is not known.
    pub(super) taken_over: bool,
    ended: CancellationToken,
    beats: Option<JoinHandle<()>>,
}

impl Core {
    /// Takes a lease, unless another task or process has it.
    pub(super) async fn lease(self: &Arc<Self>, name: String) -> Result<Option<Hold>, Error> {
        if !lock(&self.leased).insert(name.clone()) {
            return Ok(None);
        }
        // From here on the name is given up with the hold, whatever happens.
        let mut hold =
            Hold { core: Arc::clone(self), name, taken_over: false, ended: CancellationToken::new(), beats: None };
        let taken = self.prolong(hold.name.clone()).await?;
        if taken == Lease::Held {
            return Ok(None);
        }
        hold.taken_over = taken == Lease::TakenOver;
        let (core, name, ended) = (Arc::clone(self), hold.name.clone(), hold.ended.clone());
        hold.beats = Some(self.handle().spawn(async move {
            while ended.run_until_cancelled(tokio::time::sleep(limits::LEASE / 4)).await.is_some() {
                // One that cannot be prolonged ends; the store's compare-and-set keeps the rest in order.
                let _ = core.prolong(name.clone()).await;
            }
        }));
        Ok(Some(hold))
    }

    async fn prolong(self: &Arc<Self>, name: String) -> Result<Lease, Error> {
        let now = self.clock.unix_ms();
        self.in_store(move |store| store.take_lease(&name, now, limits::LEASE)).await
    }
}

impl Hold {
    /// Gives it back. One that is dropped instead ends by itself: what was done under it was not ended either.
    pub(super) async fn give_back(mut self) {
        self.ended.cancel();
        if let Some(beats) = self.beats.take() {
            // The last beat must not come after the end.
            let _ = beats.await;
        }
        let name = self.name.clone();
        // Failing that it ends by itself.
        let _ = self.core.in_store(move |store| store.return_lease(&name)).await;
        let core = Arc::clone(&self.core);
        drop(self);
        core.wake();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.ended.cancel();
        lock(&self.core.leased).remove(&self.name);
    }
}
