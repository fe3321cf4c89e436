//! External systems, as the administrator knows them.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::events::Kind;
use super::{Connector, Event, UseError};
use crate::Error;
use crate::identity::App;
use crate::store::settings::Fault;
use crate::store::{Connected, Forget, Overview, Settings, SignIn, SignInState, System};

/// What ends a sign-in of a system that was changed.
const CHANGED: UseError = UseError::Canceled { what: "The system was changed" };

/// What an administrator may change of a system, as a merge patch (RFC 7396).
const FIELDS: [&str; 4] = ["title", "client_id", "tenant_id", "settings"];

impl From<(Fault, &'static str)> for UseError {
    fn from((fault, parameter): (Fault, &'static str)) -> Self {
        Self::Argument { parameter, field: Some(fault.field), reason: fault.reason }
    }
}

impl System {
    /// The app registration with what the host uses of it.
    pub fn app(&self) -> Result<App, Error> {
        let cloud = self.settings.cloud().ok_or(Error::Internal("a system's cloud is not known"))?;
        Ok(App {
            cloud,
            client_id: self.client_id.clone(),
            tenant_id: self.tenant_id.clone(),
            serves: self.settings.serves.clone(),
            openid: self.settings.openid,
        })
    }

    fn check(&self) -> Result<(), UseError> {
        check_text("title", &self.title, 256)?;
        check_text("client_id", &self.client_id, 256)?;
        check_text("tenant_id", &self.tenant_id, 253)?;
        let printable = self.client_id.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        if !printable || (self.settings.is_microsoft() && Uuid::try_parse(&self.client_id).is_err()) {
            return Err(UseError::argument(
                "client_id",
                "it must be the GUID that the app registration shows as \"Application (client) ID\"",
            ));
        }
        if !is_tenant(&self.tenant_id) {
            return Err(UseError::argument(
                "tenant_id",
                "it must be the GUID that the app registration shows as \"Directory (tenant) ID\", or a domain of the \
                 organisation",
            ));
        }
        Ok(())
    }
}

fn check_text(parameter: &'static str, text: &str, longest: usize) -> Result<(), UseError> {
    let reason = if text.trim().is_empty() {
        "it is empty".to_owned()
    } else if text.len() > longest {
        format!("it is longer than {longest} octets")
    } else if text.chars().any(char::is_control) {
        "it holds control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(UseError::argument(parameter, reason))
}

/// A GUID or a domain name: nothing that would change the address it is put into. Not Microsoft's aliases (common,
/// organizations): an app of one organisation is not known there, and anybody could sign in.
fn is_tenant(tenant: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    Uuid::try_parse(tenant).is_ok_and(|_| tenant.len() == 36)
        || (tenant.contains('.') && tenant.split('.').all(is_label))
}

impl Connector {
    /// Adds a system; gives its id.
    pub fn add_system(
        &self,
        title: &str,
        client_id: &str,
        tenant_id: &str,
        settings: Option<&Json>,
    ) -> Result<String, Error> {
        self.check_open()?;
        let settings = match settings {
            Some(json) => Settings::from_json(json).map_err(|fault| UseError::from((fault, "settings_json")))?,
            None => Settings::default(),
        };
        let system = System {
            id: Uuid::now_v7().to_string(),
            title: title.trim().to_owned(),
            client_id: client_id.trim().to_owned(),
            tenant_id: tenant_id.trim().to_owned(),
            settings,
            revision: 1,
        };
        system.check()?;
        let id = system.id.clone();
        self.core.store().add_system(system)?;
        self.core.system_changed(&id, "added");
        Ok(id)
    }

    /// Changes a system by a merge patch. Another client ID, tenant ID or cloud ends its connection.
    pub fn update_system(&self, system_id: &str, patch: &Json) -> Result<(), Error> {
        self.check_open()?;
        let wrong = |field: &str, reason: &str| UseError::Argument {
            parameter: "patch_json",
            field: Some(field.to_owned()),
            reason: reason.to_owned(),
        };
        let before = self.core.system(system_id)?;
        let changes = patch.as_object().ok_or_else(|| wrong("", "it must be an object"))?;
        if let Some(unknown) = changes.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            return Err(wrong(unknown, "there is no such member").into());
        }
        let text = |field: &str, old: &str| match changes.get(field) {
            None => Ok(old.to_owned()),
            Some(Json::String(text)) => Ok(text.trim().to_owned()),
            Some(_) => Err(wrong(field, "it must be a text")),
        };
        let settings = match changes.get("settings") {
            None => before.settings.clone(),
            Some(Json::Null) => Settings::default(),
            Some(patch) => before.settings.patched(patch).map_err(|fault| {
                wrong(&format!("settings/{}", fault.field).trim_end_matches('/').replace("//", "/"), &fault.reason)
            })?,
        };
        let after = System {
            id: before.id.clone(),
            title: text("title", &before.title)?,
            client_id: text("client_id", &before.client_id)?,
            tenant_id: text("tenant_id", &before.tenant_id)?,
            settings,
            revision: before.revision + 1,
        };
        after.check()?;
        let other_identity = after.client_id != before.client_id
            || after.tenant_id != before.tenant_id
            || after.settings.cloud != before.settings.cloud;
        let forget = if other_identity {
            Forget::Everything(CHANGED.report())
        } else if after.settings != before.settings {
            Forget::SignIn(CHANGED.report())
        } else {
            Forget::Nothing
        };
        if !self.core.store().update_system(after, &forget)? {
            return Err(UseError::Changed.into());
        }
        if !matches!(forget, Forget::Nothing) {
            self.core.forget(system_id);
        }
        self.core.system_changed(system_id, "changed");
        Ok(())
    }

    /// Removes a system with its tokens.
    pub fn remove_system(&self, system_id: &str) -> Result<(), Error> {
        self.check_open()?;
        if !self.core.store().remove_system(system_id)? {
            return Err(UseError::NotFound { what: "system", id: system_id.to_owned() }.into());
        }
        self.core.forget(system_id);
        self.core.publish_removed(system_id);
        Ok(())
    }

    /// A system with its settings and status.
    pub fn system_json(&self, system_id: &str) -> Result<Json, Error> {
        self.check_open()?;
        let overview = self.core.overview(system_id)?;
        Ok(self.core.describe(&overview))
    }

    /// All systems with their settings and status.
    pub fn systems_json(&self) -> Result<Json, Error> {
        self.check_open()?;
        let overviews = self.core.store().overviews(None)?;
        let described: Vec<_> = overviews.iter().map(|overview| self.core.describe(overview)).collect();
        Ok(json!({ "systems": described }))
    }

    /// Forgets the tokens of a system. Local: Microsoft is not told.
    pub fn sign_out(&self, system_id: &str) -> Result<(), Error> {
        self.check_open()?;
        let why = UseError::Canceled { what: "The system was signed out" }.report();
        if !self.core.store().forget(system_id, &Forget::Everything(why))? {
            return Err(UseError::NotFound { what: "system", id: system_id.to_owned() }.into());
        }
        self.core.forget(system_id);
        self.core.system_changed(system_id, "signed_out");
        Ok(())
    }
}

impl super::Core {
    fn overview(&self, system_id: &str) -> Result<Overview, Error> {
        let found = self.store().overviews(Some(system_id))?.into_iter().next();
        Ok(found.ok_or_else(|| UseError::NotFound { what: "system", id: system_id.to_owned() })?)
    }

    /// The same from a task; `None` when the system is not there any more.
    pub(super) async fn overview_now(&self, system_id: &str) -> Result<Option<Overview>, Error> {
        let id = system_id.to_owned();
        Ok(self.in_store(move |store| store.overviews(Some(&id))).await?.into_iter().next())
    }

    /// Its connection alone.
    pub(super) async fn connected_now(&self, system_id: &str) -> Result<Option<Connected>, Error> {
        Ok(self.overview_now(system_id).await?.and_then(|overview| overview.connected))
    }

    /// Tells everybody that a system changed, with its new state. From a thread that may block.
    pub fn system_changed(&self, system_id: &str, change: &str) {
        self.tell(system_id, change, self.overview(system_id).ok().as_ref());
    }

    /// The same from a task.
    pub async fn announce(&self, system_id: &str, change: &str) {
        let found = self.overview_now(system_id).await;
        self.tell(system_id, change, found.ok().flatten().as_ref());
    }

    fn tell(&self, system_id: &str, change: &str, overview: Option<&Overview>) {
        let mut event = json!({"type": "system", "system_id": system_id, "change": change});
        if let (Some(overview), Some(members)) = (overview, event.as_object_mut()) {
            let status = self.status(overview);
            members.insert("state".to_owned(), status.get("state").cloned().unwrap_or_default());
            members.insert("status".to_owned(), status);
        }
        self.publish(&Event::of_system(Kind::System, system_id, event));
        self.wake();
    }

    fn describe(&self, overview: &Overview) -> Json {
        let system = &overview.system;
        json!({
            "id": system.id,
            "title": system.title,
            "client_id": system.client_id,
            "tenant_id": system.tenant_id,
            "settings": system.settings,
            "status": self.status(overview),
        })
    }

    fn status(&self, overview: &Overview) -> Json {
        let Overview { system, connected, sign_in: latest } = overview;
        let now = self.clock.unix_ms();
        let running = latest.as_ref().filter(|sign_in| sign_in.is_running(now));
        let state = match (connected, running) {
            _ if !system.settings.enabled => "disabled",
            // The new tokens are there, but not proven yet.
            (_, Some(SignIn { state: SignInState::Proving, .. })) => "signing_in",
            (Some(Connected { dead: None, .. }), _) => "connected",
            (_, Some(SignIn { state: SignInState::CodeWaiting, .. })) => "code_waiting",
            (_, Some(_)) => "signing_in",
            (Some(_), None) => "sign_in_required",
            (None, None) => "not_connected",
        };
        let sign_in = latest.as_ref().map(|sign_in| self.sign_in_json(sign_in, None));
        json!({
            "state": state,
            "account": connected.as_ref().and_then(|connected| connected.account.clone()),
            "login_name": connected.as_ref().map(|connected| &connected.login_name),
            "scopes": connected.as_ref().map(|connected| &connected.scopes),
            "connected_at_unix_s": connected.as_ref().map(|connected| connected.connected_at_unix_s),
            "error": connected.as_ref().and_then(|connected| connected.dead.as_ref()).map(crate::base::Report::to_json),
            "warnings": warnings_json(connected.as_ref()),
            "sign_in": sign_in,
        })
    }
}

/// What refused although the sign-in worked.
#[must_use]
pub fn warnings_json(connected: Option<&Connected>) -> Json {
    let warnings = connected.map(|connected| connected.warnings.as_slice()).unwrap_or_default().iter().map(|warning| {
        let mut json = warning.report.to_json();
        if let Some(members) = json.as_object_mut() {
            members.insert("protocol".to_owned(), json!(warning.protocol));
        }
        json
    });
    Json::Array(warnings.collect())
}

#[cfg(test)]
mod tests {
    use super::is_tenant;

    #[test]
    fn a_tenant_is_a_guid_or_a_domain_and_nothing_else() {
        for good in ["5f2c1f0e-8d3a-4b7e-9a61-0c1d2e3f4a5b", "contoso.onmicrosoft.com"] {
            assert!(is_tenant(good), "{good}");
        }
        for bad in [
            "",
            "contoso",
            "organizations",
            "a/b.com",
            "a..b",
            "-a.com",
            "a.com/../x",
            "5f2c1f0e8d3a4b7e9a610c1d2e3f4a5b",
            "ü.de",
        ] {
            assert!(!is_tenant(bad), "{bad}");
        }
    }
}
