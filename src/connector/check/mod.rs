//! The diagnosis: walks the whole road to a mailbox and says of each step whether it works, and what to do if not.

mod report;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::smtp::Patience;
use super::{Core, Operation, Success, UseError};
use crate::Error;
use crate::base::limits;
use report::Walk;
use steps::Road;

/// The options of a check. Schema: `docs/schema/check-options.schema.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckOptions {
    /// Looks at the network only: asks for no code and no token, and logs in nowhere.
    pub network_only: bool,
}

/// Checks a system. A fault that is found is the check's result, not its failure.
pub async fn check(
    core: Arc<Core>,
    system_id: String,
    options: CheckOptions,
    operation: Arc<Operation>,
) -> Result<Success, Error> {
    let id = system_id.clone();
    let overview = core.in_store(move |store| store.overviews(Some(&id))).await?.into_iter().next();
    let overview = overview.ok_or_else(|| UseError::NotFound { what: "system", id: system_id.clone() })?;
    let patience = Patience { until: Instant::now().checked_add(limits::CHECK), cancel: operation.cancel.clone() };
    let app = overview.system.app()?;
    let live = core.live(&system_id);
    let mut walk = Walk::new(system_id, &operation);
    let road = Road { core: &core, live: &live, app: &app, overview: &overview, patience: &patience };
    road.identity(&mut walk, options).await?;
    road.tokens(&mut walk, options).await?;
    road.smtp(&mut walk, options).await?;
    Ok(Success::ok(walk.result()))
}

/// A duration in whole milliseconds.
fn millis(duration: Duration) -> u64 {
    crate::base::clock::millis(duration)
}
