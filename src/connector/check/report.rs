//! What a check has found so far: steps in order, the first fault, and all of it in plain words.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::millis;
use crate::Error;
use crate::base::{Report, Status, Value};
use crate::connector::{Operation, UseError};

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
}

impl<'a> Walk<'a> {
    pub(super) fn new(system_id: String, operation: &'a Operation) -> Self {
        Self { system_id, operation, steps: Vec::new() }
    }

    /// Whether none of these steps has failed or was skipped for another's failure.
    pub(super) fn passed(&self, names: &[Name]) -> bool {
        !self.steps.iter().any(|step| names.contains(&step.name) && matches!(step.state, "failed" | "blocked"))
    }

    /// Takes a step. One whose forerunners failed is skipped; the host's change of mind and our own deadline end the
    /// walk, and a fault is what was looked for.
    pub(super) async fn step<T>(
        &mut self,
        name: Name,
        after: &[Name],
        work: impl Future<Output = Result<(T, Found), Error>>,
    ) -> Result<Option<T>, Error> {
        if let Some(blocked) =
            self.steps.iter().find(|step| after.contains(&step.name) && matches!(step.state, "failed" | "blocked"))
        {
            let words = format!("Not tried, because of \"{}\".", blocked.name.1);
            self.add(Step { name, state: "blocked", words, facts: json!({}), duration_ms: 0, error: None });
            return Ok(None);
        }
        let begun = Instant::now();
        let done = work.await;
        let duration_ms = millis(begun.elapsed());
        match done {
            Ok((result, Found { words, facts })) => {
                self.add(Step { name, state: "ok", words, facts, duration_ms, error: None });
                Ok(Some(result))
            }
            Err(Error::Use(error @ (UseError::Canceled { .. } | UseError::Closed))) => Err(error.into()),
            Err(error) => {
                let report = error.report();
                let words = report.message.clone();
                self.add(Step { name, state: "failed", words, facts: json!({}), duration_ms, error: Some(report) });
                Ok(None)
            }
        }
    }

    /// A step that is not needed, and why.
    pub(super) fn skip(&mut self, name: Name, why: &str) {
        self.add(Step { name, state: "skipped", words: why.to_owned(), facts: json!({}), duration_ms: 0, error: None });
    }

    fn add(&mut self, step: Step) {
        self.steps.push(step);
        self.operation.changed(&Arc::new(Value::from(self.result())));
    }

    /// All that is known by now.
    pub(super) fn result(&self) -> Json {
        let fault = self.steps.iter().find_map(|step| step.error.as_ref().map(|error| (step, error)));
        json!({
            "system_id": self.system_id,
            "verdict": if fault.is_some() { "failed" } else { "ok" },
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
