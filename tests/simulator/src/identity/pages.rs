//! The pages where a person types the code. Plain forms: a browser and a script post the same.
//!
//! `/devicelogin` (field `otc`) → `/devicelogin/account` (`login`) → `/devicelogin/confirm`
//! (`action` = `continue` or `cancel`). Each step hands the code on in the hidden field `otc`.

use super::errors::Problem;
use crate::http::{Answer, Asked};
use crate::misbehave::Moment;
use crate::state::{Decision, State};

pub(super) fn answer(state: &State, path: &[&str], asked: &Asked) -> Answer {
    let form = asked.form();
    let get = |name: &str| form.get(name).map(|value| value.trim()).unwrap_or_default();
    match (asked.method.as_str(), path) {
        ("GET" | "HEAD", ["devicelogin" | "device" | "deviceauth"] | ["common", "oauth2", "deviceauth"]) => {
            code_form(200, asked.queried("otc").unwrap_or_default().trim(), None)
        }
        ("POST", ["devicelogin"]) => match open_code(state, get("otc")) {
            Ok(()) => account_form(state, get("otc"), None),
            Err(why) => code_form(400, get("otc"), Some(&why)),
        },
        ("POST", ["devicelogin", "account"]) => account(state, get("otc"), get("login"), get("action")),
        ("POST", ["devicelogin", "confirm"]) => confirm(state, get("otc"), get("login"), get("action")),
        ("GET" | "HEAD", ["devicelogin", _]) => code_form(200, "", None),
        ("GET" | "HEAD", [""]) => page(
            200,
            "A Microsoft in a box",
            &format!(
                "<p>This is a simulator. To sign a device in, <a href=\"/devicelogin\">enter its code</a>.</p><p>Tenant {}<br>Application {}</p>",
                escape(&state.options.tenant_id),
                escape(&state.options.client_id)
            ),
        ),
        (_, [_, "oauth2", "v2.0", "authorize"]) => {
            trouble(&Problem::said(90023, "Only the device code flow is served here."))
        }
        ("GET" | "HEAD", ["error"]) => {
            let code = asked.queried("code").and_then(|code| code.parse().ok()).unwrap_or_default();
            page(200, "Error", &format!("<p>{}</p>", escape(&Problem::number(code).text)))
        }
        _ => page(404, "Not found", "<p>There is nothing at this address.</p>"),
    }
}

/// Whether the code can still be used; if not, what the page says.
fn open_code(state: &State, code: &str) -> Result<(), String> {
    if code.is_empty() {
        return Err("Please enter the code. (AADSTS90119)".into());
    }
    let now = state.clock.now_ms();
    let mut inner = state.inner();
    let Some(grant) = inner.grant_of(code) else {
        return Err("That code didn't work. Check the code and try again. (AADSTS70018)".into());
    };
    if grant.expires_ms <= now {
        return Err("That code has expired. Get a new code on your device and try again. (AADSTS70019)".into());
    }
    if grant.decision != Decision::Pending {
        return Err("That code was used already. Get a new code on your device. (AADSTS90120)".into());
    }
    Ok(())
}

fn account(state: &State, code: &str, login: &str, action: &str) -> Answer {
    if let Err(why) = open_code(state, code) {
        return code_form(400, code, Some(&why));
    }
    if action == "cancel" {
        return decline(state, code);
    }
    match state.account(login) {
        Some(account) if account.enabled => confirm_form(state, code, &account.upn),
        Some(_) => trouble(&Problem::number(50057)),
        None if login.is_empty() => account_form(state, code, Some("Enter a valid email address.")),
        None => account_form(
            state,
            code,
            Some(
                "This username may be incorrect. Make sure you typed it correctly. Otherwise, contact your admin. (AADSTS50034)",
            ),
        ),
    }
}

fn confirm(state: &State, code: &str, login: &str, action: &str) -> Answer {
    if let Err(why) = open_code(state, code) {
        return code_form(400, code, Some(&why));
    }
    match action {
        "cancel" => decline(state, code),
        "continue" => {
            // Most refusals are seen here and nowhere else; the poller goes on waiting.
            if let Some(problem) = state.due(Moment::Page).iter().find_map(Problem::from_rule) {
                return trouble(&problem);
            }
            match state.approve(code, login) {
                Ok(()) => page(
                    200,
                    "You have signed in",
                    &format!(
                        "<p>You have signed in to the {} application on your device. You may now close this window.</p>",
                        escape(&state.options.app_name)
                    ),
                ),
                Err(_) => account_form(state, code, Some("Pick an account.")),
            }
        }
        _ => confirm_form(state, code, login),
    }
}

fn decline(state: &State, code: &str) -> Answer {
    match state.decline(code) {
        Ok(()) => page(200, "You declined", "<p>You have declined the sign-in. You may now close this window.</p>"),
        Err(why) => code_form(400, code, Some(&why)),
    }
}

fn code_form(status: u16, code: &str, error: Option<&str>) -> Answer {
    page(
        status,
        "Enter code",
        &format!(
            "{}<p>Enter the code displayed on your app or device.</p>\
         <form method=\"post\" action=\"/devicelogin\">\
         <input name=\"otc\" value=\"{}\" placeholder=\"Code\" aria-label=\"Code\" maxlength=\"18\" autocomplete=\"off\" autofocus required>\
         <div><button type=\"submit\">Next</button></div></form>",
            alert(error),
            escape(code)
        ),
    )
}

fn account_form(state: &State, code: &str, error: Option<&str>) -> Answer {
    let known: String =
        state.options.accounts.iter().map(|account| format!("<option value=\"{}\">", escape(&account.upn))).collect();
    page(
        if error.is_some() { 400 } else { 200 },
        "Sign in",
        &format!(
            "{}<p>You're signing in to <b>{}</b> on another device. If it's not you, cancel.</p>\
         <form method=\"post\" action=\"/devicelogin/account\">\
         <input type=\"hidden\" name=\"otc\" value=\"{}\">\
         <input name=\"login\" list=\"accounts\" placeholder=\"someone@example.com\" aria-label=\"Account\" autofocus>\
         <datalist id=\"accounts\">{known}</datalist>\
         <div><button name=\"action\" value=\"next\">Next</button> \
         <button class=\"second\" name=\"action\" value=\"cancel\">Cancel</button></div></form>",
            alert(error),
            escape(&state.options.app_name),
            escape(code)
        ),
    )
}

fn confirm_form(state: &State, code: &str, login: &str) -> Answer {
    page(
        200,
        &format!("Are you trying to sign in to {}?", state.options.app_name),
        &format!(
            "<p>{}</p><p>Only continue if you downloaded the app from a store or website that you trust.</p>\
         <form method=\"post\" action=\"/devicelogin/confirm\">\
         <input type=\"hidden\" name=\"otc\" value=\"{}\"><input type=\"hidden\" name=\"login\" value=\"{}\">\
         <div><button name=\"action\" value=\"continue\">Continue</button> \
         <button class=\"second\" name=\"action\" value=\"cancel\">Cancel</button></div></form>",
            escape(login),
            escape(code),
            escape(login)
        ),
    )
}

fn trouble(problem: &Problem) -> Answer {
    let body = problem.body(None, "");
    let text = body["error_description"].as_str().unwrap_or_default();
    page(400, "Sorry, but we're having trouble signing you in.", &format!("<pre>{}</pre>", escape(text)))
}

/// What a gateway says when the service behind it is gone.
pub(super) fn outage(status: u16) -> String {
    format!(
        "<!DOCTYPE html><html><head><title>Service unavailable</title></head><body><h2>Our services aren't available right now</h2><p>Status {status}. We're working to restore all services as soon as possible.</p></body></html>"
    )
}

fn alert(error: Option<&str>) -> String {
    error.map(|text| format!("<p class=\"error\" role=\"alert\">{}</p>", escape(text))).unwrap_or_default()
}

fn page(status: u16, title: &str, body: &str) -> Answer {
    let title = escape(title);
    Answer::html(
        status,
        format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title><style>\
         body{{font:16px/1.5 system-ui,sans-serif;background:#f2f2f2;color:#1b1b1b;margin:0}}\
         main{{background:#fff;max-width:26rem;margin:12vh auto;padding:2.5rem;box-shadow:0 2px 6px #0003}}\
         h1{{font-size:1.4rem;font-weight:600;margin-top:0}}input:not([type=hidden]){{width:100%;box-sizing:border-box;font:inherit;padding:.4rem 0;border:0;border-bottom:1px solid #666}}\
         form div{{margin-top:1.5rem;text-align:right}}button{{font:inherit;padding:.35rem 1.6rem;border:0;background:#0067b8;color:#fff;cursor:pointer}}\
         .second{{background:#ccc;color:#000}}.error{{color:#b3000c}}pre{{white-space:pre-wrap}}\
         </style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
        ),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
