//! Scopes: what they ask for, and of which resource.

use super::errors::Problem;

const OIDC: [&str; 5] = ["openid", "profile", "email", "offline_access", "address"];
const GRAPH: &str = "https://graph.microsoft.com";
/// Two names of one resource; a token for either opens the mail protocols.
pub(crate) const OUTLOOK: [&str; 2] = ["https://outlook.office.com", "https://outlook.office365.com"];
/// What the app registration has for Exchange Online, and what `.default` therefore gives.
const REGISTERED: [&str; 3] = ["SMTP.Send", "IMAP.AccessAsUser.All", "POP.AccessAsUser.All"];
/// What the resource has besides, without the registration listing it.
const UNREGISTERED: [&str; 4] = ["EWS.AccessAsUser.All", "Mail.Read", "Mail.ReadWrite", "Mail.Send"];

/// A `scope` field, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scopes {
    /// Audience of the access token.
    pub(crate) resource: String,
    /// Names within the resource, e.g. `SMTP.Send`.
    pub(crate) names: Vec<String>,
    pub(crate) oidc: Vec<String>,
}

impl Scopes {
    pub(crate) fn parse(field: &str) -> Result<Self, Problem> {
        let mut resource: Option<String> = None;
        let (mut names, mut oidc) = (Vec::<String>::new(), Vec::<String>::new());
        for scope in field.split_ascii_whitespace() {
            if OIDC.iter().any(|known| known.eq_ignore_ascii_case(scope)) {
                oidc.push(scope.to_ascii_lowercase());
                continue;
            }
            // A bare name is Microsoft Graph's.
            let (host, name) = match scope.rsplit_once('/') {
                Some((host, name)) => (host.trim_end_matches('/'), name),
                None => (GRAPH, scope),
            };
            if resource.as_deref().is_some_and(|before| !before.eq_ignore_ascii_case(host)) {
                return Err(Problem::said(
                    28000,
                    &format!(
                        "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope {field} is not valid."
                    ),
                ));
            }
            resource = Some(host.to_ascii_lowercase());
            if OUTLOOK.iter().any(|known| known.eq_ignore_ascii_case(host)) {
                if name == ".default" {
                    names.extend(REGISTERED.map(Into::into));
                } else if let Some(known) = REGISTERED.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                    names.push((*known).into());
                } else if UNREGISTERED.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    return Err(Problem::number(65001));
                } else {
                    return Err(Problem::said(
                        70011,
                        &format!(
                            "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
                        ),
                    ));
                }
            } else if host.eq_ignore_ascii_case(GRAPH) {
                names.push(if name == ".default" { "User.Read".into() } else { name.into() });
            } else {
                return Err(Problem::said(
                    500_011,
                    &format!(
                        "The resource principal named {host} was not found in the tenant named Contoso. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."
                    ),
                ));
            }
        }
        if names.is_empty() && oidc.is_empty() {
            return Err(Problem::missing("scope"));
        }
        names.dedup();
        Ok(Self { resource: resource.unwrap_or_else(|| GRAPH.into()), names, oidc })
    }

    pub(crate) fn has(&self, oidc: &str) -> bool {
        self.oidc.iter().any(|known| known == oidc)
    }

    /// The `scope` of a good answer: full names; of OIDC's only Graph's answers list any.
    pub(crate) fn granted(&self) -> String {
        let mut all: Vec<String> = self.names.iter().map(|name| format!("{}/{name}", self.resource)).collect();
        if self.resource == GRAPH {
            all.extend(self.oidc.iter().filter(|name| *name != "offline_access").cloned());
        }
        all.join(" ")
    }

    /// Takes one scope away, by full or short name.
    pub(crate) fn without(mut self, scope: &str) -> Self {
        let short = scope.rsplit('/').next().unwrap_or(scope);
        self.names.retain(|name| !name.eq_ignore_ascii_case(short));
        self.oidc.retain(|name| !name.eq_ignore_ascii_case(short));
        self
    }

    /// Whether a grant of `self` covers a refresh that asks for `wanted`.
    pub(crate) fn covers(&self, wanted: &Self) -> bool {
        // Consent is per person and app: Graph's basics are always among it.
        wanted.resource == GRAPH || wanted.names.iter().all(|name| self.names.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_resource_only_and_bare_names_are_graphs() {
        let scopes = Scopes::parse("https://outlook.office.com/SMTP.Send offline_access openid").unwrap();
        assert_eq!(scopes.granted(), "https://outlook.office.com/SMTP.Send");
        assert!(scopes.has("offline_access"));
        let two = Scopes::parse("https://outlook.office.com/SMTP.Send User.Read").unwrap_err();
        assert_eq!(two.codes, [28000]);
        assert_eq!(Scopes::parse("SMTP.Send").unwrap().resource, GRAPH);
        assert_eq!(Scopes::parse("https://outlook.office.com/SMTP.Sent").unwrap_err().codes, [70011]);
        assert_eq!(Scopes::parse("https://mail.example/x").unwrap_err().error, "invalid_resource");
        assert_eq!(Scopes::parse(" ").unwrap_err().codes, [900_144]);
    }
}
