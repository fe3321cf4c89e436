//! The identity platform: metadata, the device flow, tokens, and the pages for the person.

mod devicecode;
mod errors;
pub(crate) mod jwt;
mod metadata;
mod pages;
pub(crate) mod scopes;
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use self::errors::Problem;
use crate::clock;
use crate::http::{self, Answer, Asked, Ending};
use crate::ids;
use crate::misbehave::{Fault, HttpBody, Moment, When};
use crate::state::{Request, State};

const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// Answers a request and writes it into the log.
pub(crate) async fn answer(state: &Arc<State>, asked: &Asked) -> Answer {
    let number = {
        let mut inner = state.inner();
        inner.requests.push(Request {
            at_ms: state.clock.real_ms(),
            method: asked.method.clone(),
            path: asked.path.clone(),
            query: asked.query.clone(),
            headers: asked.headers.clone(),
            form: asked.form(),
            status: 0,
            error: None,
        });
        inner.requests.len() - 1
    };
    let answer = route(state, asked).await;
    let answered = matches!(answer.ending, Ending::Whole | Ending::Close | Ending::Cut(_));
    if let Some(request) = state.inner().requests.get_mut(number) {
        request.status = if answered { answer.status } else { 0 };
        let body = serde_json::from_slice::<Value>(&answer.body).ok();
        request.error = body.and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
    }
    answer
}

async fn route(state: &Arc<State>, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    match path.as_slice() {
        [tenant, "oauth2", "v2.0", "devicecode"] => {
            // Only errors have a status that is open: exchange.md section 1.2.
            let error_status = state.knobs().devicecode_error_status;
            endpoint(state, asked, Moment::DeviceCode, error_status, |_| devicecode::answer(state, tenant, asked)).await
        }
        [tenant, "oauth2", "v2.0", "token"] => {
            let refresh = asked.form().get("grant_type").is_some_and(|grant| grant == "refresh_token");
            let moment = if refresh { Moment::Refresh } else { Moment::Poll };
            endpoint(state, asked, moment, 400, |faults| token::answer(state, tenant, asked, faults)).await
        }
        [tenant, "v2.0", ".well-known", "openid-configuration"] => {
            endpoint(state, asked, Moment::Metadata, 400, |_| metadata::configuration(state, tenant)).await
        }
        ["common", "discovery", "instance"] => {
            endpoint(state, asked, Moment::Metadata, 400, |_| Ok(metadata::instances(state))).await
        }
        [_, "discovery", "v2.0", "keys"] => {
            endpoint(state, asked, Moment::Metadata, 400, |_| Ok(state.signer.keys())).await
        }
        _ => pages::answer(state, &path, asked),
    }
}

/// One JSON endpoint with everything that rules can do to it. `work` is only done if the service
/// is to do it at all.
async fn endpoint(
    state: &State,
    asked: &Asked,
    moment: Moment,
    error_status: u16,
    work: impl FnOnce(&[Fault]) -> Result<Value, Problem>,
) -> Answer {
    let faults = state.due(moment);
    http::delay(&faults, When::Before).await;
    if let Some(instead) = faults.iter().find_map(|fault| not_even_tried(fault, state, asked, error_status)) {
        return instead;
    }
    let mut answer = match work(&faults) {
        Ok(mut body) => {
            faults.iter().for_each(|fault| change(fault, &mut body));
            let mut answer = Answer::json(200, &body);
            answer.headers.push(("x-ms-request-id", ids::guid()));
            answer
        }
        Err(problem) => problem_answer(&problem, state, asked, error_status),
    };
    http::delay(&faults, When::Unanswered).await;
    for fault in &faults {
        match fault {
            Fault::Change { status: Some(status), .. } => answer.status = *status,
            Fault::DateSkew { seconds } => answer.headers.push(("date", clock::stamp_http(*seconds))),
            Fault::Cut { octets } => answer.ending = Ending::Cut(*octets),
            Fault::Drop { when: When::Unanswered } => answer.ending = Ending::Drop,
            Fault::Reset { when: When::Unanswered } => answer.ending = Ending::Reset,
            Fault::Drop { .. } | Fault::Reset { .. } => answer.ending = Ending::Close,
            Fault::Withhold { .. } => answer.ending = Ending::Withhold,
            _ => {}
        }
    }
    answer
}

/// The answer of a service that did not do what it was asked.
fn not_even_tried(fault: &Fault, state: &State, asked: &Asked, error_status: u16) -> Option<Answer> {
    let gone = |ending| Some(Answer { ending, ..Answer::of(200, "text/plain", Vec::new()) });
    match fault {
        Fault::Drop { when: When::Before } => gone(Ending::Drop),
        Fault::Reset { when: When::Before } => gone(Ending::Reset),
        Fault::Withhold { when: Some(When::Before) } => gone(Ending::Withhold),
        Fault::Http { status, retry_after, location, body, octets } => {
            let mut answer = match body {
                HttpBody::Html => Answer::html(*status, pages::outage(*status)),
                HttpBody::Json => {
                    problem_answer(&Problem { status: *status, ..Problem::number(90033) }, state, asked, 400)
                }
                HttpBody::Empty => Answer::of(*status, "text/plain", Vec::new()),
            };
            answer.body.resize(answer.body.len().max(*octets), b' ');
            answer.headers.extend(retry_after.clone().map(|value| ("retry-after", value)));
            answer.headers.extend(location.clone().map(|value| ("location", value)));
            Some(answer)
        }
        _ => Problem::from_rule(fault).map(|problem| problem_answer(&problem, state, asked, error_status)),
    }
}

fn problem_answer(problem: &Problem, state: &State, asked: &Asked, error_status: u16) -> Answer {
    // What a request is called comes by header (MSAL Python), field or query (MSAL for JavaScript).
    let named = asked
        .headers
        .get("client-request-id")
        .cloned()
        .or_else(|| asked.form().get("client-request-id").cloned())
        .or_else(|| asked.queried("client-request-id"));
    let status = if problem.status == 400 { error_status } else { problem.status };
    let mut answer = Answer::json(status, &problem.body(named.as_deref(), state.identity_url()));
    answer.headers.push(("x-ms-request-id", ids::guid()));
    answer
}

/// A good answer made odd.
fn change(fault: &Fault, body: &mut Value) {
    let Value::Object(fields) = body else { return };
    let stringify = |fields: &mut serde_json::Map<String, Value>, name: &str| {
        if let Some(value) = fields.get_mut(name)
            && value.is_number()
        {
            *value = value.to_string().into();
        }
    };
    match fault {
        Fault::Change { set, remove, .. } => {
            fields.extend(set.clone());
            remove.iter().for_each(|name| drop(fields.remove(name)));
        }
        Fault::ExpiresInString {} => {
            stringify(fields, "expires_in");
            stringify(fields, "ext_expires_in");
        }
        Fault::IntervalString {} => stringify(fields, "interval"),
        Fault::IntervalMissing {} => drop(fields.remove("interval")),
        Fault::NoRefreshToken {} => drop(fields.remove("refresh_token")),
        Fault::NoIdToken {} => drop(fields.remove("id_token")),
        Fault::ScopeMissing {} => drop(fields.remove("scope")),
        _ => {}
    }
}

/// What every endpoint checks first: the tenant, then the app.
fn check_tenant(state: &State, tenant: &str) -> Result<(), Problem> {
    let options = &state.options;
    if tenant.eq_ignore_ascii_case(&options.tenant_id)
        || options.domains.iter().any(|domain| domain.eq_ignore_ascii_case(tenant))
    {
        return Ok(());
    }
    match tenant.to_ascii_lowercase().as_str() {
        "common" | "organizations" if state.knobs().single_tenant => Err(Problem::number(50059)),
        "common" | "organizations" => Ok(()),
        "consumers" | CONSUMERS => Err(Problem::number(9_002_332)),
        name if is_guid(name) || is_domain(name) => Err(Problem::said(
            90002,
            &format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
            ),
        )),
        _ => Err(Problem::said(
            900_023,
            &format!(
                "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
            ),
        )),
    }
}

fn check_client(state: &State, form: &BTreeMap<String, String>) -> Result<String, Problem> {
    let client = field(form, "client_id")?;
    if !client.eq_ignore_ascii_case(&state.options.client_id) {
        return Err(Problem::said(
            700_016,
            &format!(
                "Application with identifier '{client}' was not found in the directory 'Contoso'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
            ),
        ));
    }
    Ok(client.to_ascii_lowercase())
}

fn field<'a>(form: &'a BTreeMap<String, String>, name: &str) -> Result<&'a str, Problem> {
    match form.get(name) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Problem::missing(name)),
    }
}

fn check_post(asked: &Asked) -> Result<(), Problem> {
    if asked.method == "POST" {
        return Ok(());
    }
    Err(Problem::said(
        900_561,
        &format!("The endpoint only accepts POST requests. Received a {} request.", asked.method),
    ))
}

fn is_guid(name: &str) -> bool {
    let parts: Vec<usize> = name.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && name.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn is_domain(name: &str) -> bool {
    name.contains('.')
        && name
            .split('.')
            .all(|label| !label.is_empty() && label.chars().all(|c| c == '-' || c.is_ascii_alphanumeric()))
}
