//! What a check has found so far: steps in order, the first fault, and all of it in plain words.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::millis;
use crate::Error;
use crate::base::{Report, Status, Value};
use crate::connector::{Operation, UseError};
use crate::net;

/// A step's name, and what it is called for people.
pub(super) type Name = (&'static str, &'static str);

/// What a step found: words, and facts for programs.
pub(super) struct Found {
    pub(super) words: String,
    pub(super) facts: Json,
}

impl Found {
    pub(super) fn new(words: impl Into<String>, facts: Json) -> Self {
        Self { words: words.into(), facts }
    }
}

struct Step {
    name: Name,
    state: &'static str,
    words: String,
    facts: Json,
    duration_ms: u64,
    error: Option<Report>,
}

/// A walk along the road.
pub(super) struct Walk<'a> {
    system_id: String,
    operation: &'a Operation,
    steps: Vec<Step>,
    /// Its time ran out at this step: none after it is tried.
    over: Option<Name>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(system_id: String, operation: &'a Operation) -> Self {
        Self { system_id, operation, steps: Vec::new(), over: None }
    }

    /// Whether a step was taken and found good.
    pub(super) fn is_ok(&self, name: Name) -> bool {
        self.steps.iter().any(|step| step.name == name && step.state == "ok")
    }

    /// Takes a step. One whose forerunners failed is skipped; the host's change of mind ends the walk, and a fault is
    /// what was looked for.
    pub(super) async fn step<T>(
        &mut self,
        name: Name,
        after: &[Name],
        work: impl Future<Output = Result<(T, Found), Error>>,
    ) -> Result<Option<T>, Error> {
        if self.is_blocked(name, after) {
            return Ok(None);
        }
        let begun = Instant::now();
        let done = work.await;
        self.enter(name, millis(begun.elapsed()), done)
    }

    /// Enters what became of a step.
    pub(super) fn enter<T>(
        &mut self,
        name: Name,
        duration_ms: u64,
        done: Result<(T, Found), Error>,
    ) -> Result<Option<T>, Error> {
        match done {
            Ok((result, Found { words, facts })) => {
                self.add(Step { name, state: "ok", words, facts, duration_ms, error: None });
                Ok(Some(result))
            }
            Err(Error::Use(error @ (UseError::Canceled { .. } | UseError::Closed))) => Err(error.into()),
            Err(error) => {
                if matches!(error, Error::Use(UseError::Timeout)) {
                    self.over = Some(name);
                }
                let facts = match &error {
                    Error::Net(net::Error::Issuer { issuer, .. }) => json!({"issuer": issuer}),
                    Error::Net(net::Error::Certificate { issuer, .. }) => json!({"issuer": issuer}),
                    _ => json!({}),
                };
                let report = error.report();
                let words = report.message.clone();
                self.add(Step { name, state: "failed", words, facts, duration_ms, error: Some(report) });
                Ok(None)
            }
        }
    }

    /// Skips a step if one of those before it failed.
    fn is_blocked(&mut self, name: Name, after: &[Name]) -> bool {
        let in_the_way = |step: &&Step| {
            self.over == Some(step.name)
                || after.contains(&step.name) && (step.error.is_some() || step.state == "blocked")
        };
        let by = self.steps.iter().find(in_the_way).map(|step| step.name);
        by.inspect(|by| self.block(name, *by)).is_some()
    }

    /// Skips those of the steps that were not taken, because of the last fault.
    pub(super) fn block_rest(&mut self, names: &[Name]) {
        let Some(by) = self.steps.iter().rfind(|step| step.error.is_some()).map(|step| step.name) else { return };
        for name in names {
            if !self.steps.iter().any(|step| step.name == *name) {
                self.block(*name, by);
            }
        }
    }

    fn block(&mut self, name: Name, by: Name) {
        let words = format!("Not tried, because of \"{}\".", by.1);
        self.add(Step { name, state: "blocked", words, facts: json!({}), duration_ms: 0, error: None });
    }

    /// A step that is not needed, and why.
    pub(super) fn skip(&mut self, name: Name, why: &str) {
        self.add(Step { name, state: "skipped", words: why.to_owned(), facts: json!({}), duration_ms: 0, error: None });
    }

    fn add(&mut self, step: Step) {
        self.steps.push(step);
        self.operation.changed(&Arc::new(Value::from(self.told("pending"))));
    }

    /// All that was found.
    pub(super) fn result(&self) -> Json {
        self.told("ok")
    }

    /// All that is known by now, with the verdict as long as there is no fault.
    fn told(&self, verdict: &str) -> Json {
        let fault = self.steps.iter().find_map(|step| step.error.as_ref().map(|error| (step, error)));
        json!({
            "system_id": self.system_id,
            "verdict": if fault.is_some() { "failed" } else { verdict },
            "cause": fault.map(|(step, error)| {
                let mut cause = error.to_json();
                if let Some(members) = cause.as_object_mut() {
                    members.insert("step".to_owned(), json!(step.name.0));
                }
                cause
            }),
            "steps": self.steps.iter().map(Step::to_json).collect::<Vec<_>>(),
            "text": self.text(),
        })
    }

    /// The checklist in plain words.
    fn text(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            let mark = match step.state {
                "ok" => "[ok]    ",
                "failed" => "[FAILED]",
                _ => "[-]     ",
            };
            // Into a text it cannot fail.
            let _ = writeln!(text, "{mark} {}: {}", step.name.1, step.words);
            if let Some(remedy) = step.error.as_ref().and_then(|error| error.remedy.as_ref()) {
                let _ = writeln!(text, "         What to do: {remedy}");
            }
        }
        text
    }
}

impl Step {
    fn to_json(&self) -> Json {
        let status = self.error.as_ref().map_or(Status::Ok, |error| error.status);
        json!({
            "step": self.name.0,
            "title": self.name.1,
            "state": if self.state == "blocked" { "skipped" } else { self.state },
            "duration_ms": self.duration_ms,
            "detail": self.words,
            "facts": self.facts,
            "status": status,
            "name": status.name(),
            "error": self.error.as_ref().map(Report::to_json),
        })
    }
}
