//! Watches what other processes write into the store: caches are dropped, waiters woken, events published.

use std::sync::Weak;

use serde_json::json;

use super::events::Kind;
use super::{Core, Event, Level};
use crate::base::limits;
use crate::store::News;

/// Looks for as long as the core lives. `latest`: the news that were there when it was opened.
pub(super) async fn watch(core: Weak<Core>, mut latest: i64) {
    let mut version = None;
    loop {
        {
            let Some(core) = core.upgrade() else { return };
            if core.stop.is_cancelled() {
                return;
            }
            let seen = core.in_store(|store| store.version()).await;
            if let Ok(seen) = seen
                && version.replace(seen) != Some(seen)
            {
                match core.in_store(move |store| store.news_since(latest)).await {
                    Ok(all) => {
                        for news in &all {
                            latest = latest.max(news.number);
                            core.hear(news).await;
                        }
                        core.wake();
                        core.drive_unfinished().await;
                    }
                    // Looked at again in a moment.
                    Err(error) => {
                        version = None;
                        core.log(
                            Level::Warning,
                            "store",
                            &format!("the store cannot be read: {}", error.report().message),
                        );
                    }
                }
            }
        }
        tokio::time::sleep(limits::STORE_WATCH).await;
    }
}

impl Core {
    /// Another process has changed something.
    async fn hear(&self, news: &News) {
        let (system_id, change) = (news.system_id.as_str(), news.change.as_str());
        if let Some(sign_in_id) = &news.sign_in_id {
            if let Ok((sign_in, connected)) = self.sign_in_now(system_id, sign_in_id).await {
                self.publish_sign_in(&sign_in, connected.as_ref());
            }
            return;
        }
        // Tokens and connections of before are not to be used any more.
        if !matches!(change, "added" | "sign_in_failed") {
            self.forget(system_id);
        }
        if change == "removed" {
            self.publish_removed(system_id);
        } else {
            self.announce(system_id, change).await;
        }
    }

    /// Tells of a system that is gone.
    pub(super) fn publish_removed(&self, system_id: &str) {
        let event = json!({"type": "system", "system_id": system_id, "change": "removed", "state": "removed"});
        self.publish(&Event::of_system(Kind::System, system_id, event));
        self.wake();
    }
}
