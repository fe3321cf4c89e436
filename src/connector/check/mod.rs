//! The diagnosis: walks the whole road to a mailbox and says of each step whether it works, and what to do if not.

mod identity;
mod report;
mod smtp;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::options::parse;
use super::smtp::Patience;
use super::{Core, Operation, Success, UseError};
use crate::Error;
use crate::base::limits;
use report::Walk;
use steps::Road;

/// The options of a check. Schema: `docs/schema/check-options.schema.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckOptions {
    /// Looks at the network only: asks for no code and no token, and logs in nowhere.
    pub network_only: bool,
    /// How long all of it may take, in seconds.
    pub timeout_s: i64,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { network_only: false, timeout_s: limits::CHECK.as_secs().cast_signed() }
    }
}

impl CheckOptions {
    /// Reads options; an unknown one is refused and named.
    pub fn from_json(text: &str) -> Result<Self, UseError> {
        let options: Self = parse("options_json", text)?;
        let range = 1..=limits::CHECK_LONGEST.as_secs().cast_signed();
        if !range.contains(&options.timeout_s) {
            return Err(UseError::Argument {
                parameter: "options_json",
                field: Some("timeout_s".to_owned()),
                reason: format!("must be from {} to {}", range.start(), range.end()),
            });
        }
        Ok(options)
    }
}

/// Checks a system. A fault that is found is the check's result, not its failure.
pub async fn check(
    core: Arc<Core>,
    system_id: String,
    options: CheckOptions,
    operation: Arc<Operation>,
) -> Result<Success, Error> {
    let overview = core.overview_now(&system_id).await?;
    let overview = overview.ok_or_else(|| UseError::NotFound { what: "system", id: system_id.clone() })?;
    let time = Duration::from_secs(options.timeout_s.unsigned_abs());
    let patience = Patience { until: Instant::now().checked_add(time), cancel: operation.cancel.clone() };
    let app = overview.system.app()?;
    let live = core.live(&system_id);
    let mut walk = Walk::new(system_id, &operation);
    let road = Road { core: &core, live: &live, app: &app, overview: &overview, patience: &patience };
    let login = road.identity(&mut walk, options).await?;
    road.smtp(&mut walk, options, login).await?;
    Ok(Success::ok(walk.result()))
}

/// A duration in whole milliseconds.
fn millis(duration: Duration) -> u64 {
    crate::base::clock::millis(duration)
}
