//! Requests to the identity service, as bytes. The `oauth2` crate writes them; our own loop sends them, because the
//! crate's polling ends at the first 503 and drops Microsoft's `error_codes`.

use std::sync::Mutex;

use oauth2::basic::{BasicClient, BasicErrorResponse, BasicTokenResponse};
use oauth2::{
    ClientId, DeviceAuthorizationUrl, EmptyExtraDeviceAuthorizationFields, HttpRequest, HttpResponse, RefreshToken,
    RequestTokenError, Scope, StandardDeviceAuthorizationResponse, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::cloud::TENANT;
use super::{Cloud, Error};

/// A POST of a form; the answer is JSON.
pub struct Request {
    /// Where to.
    pub url: String,
    /// `application/x-www-form-urlencoded`; holds secrets.
    pub form: Zeroizing<Vec<u8>>,
}

/// The mail protocols that a host uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Outgoing mail.
    Smtp,
    /// Incoming mail.
    Imap,
    /// Incoming mail.
    Pop3,
}

impl Protocol {
    /// The delegated permission that it needs, without the cloud's prefix.
    #[must_use]
    pub fn permission(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP.Send",
            Self::Imap => "IMAP.AccessAsUser.All",
            Self::Pop3 => "POP.AccessAsUser.All",
        }
    }
}

/// An app registration, and what is asked in its name.
#[derive(Debug, Clone)]
pub struct App {
    /// The world it lives in.
    pub cloud: Cloud,
    /// Application (client) ID.
    pub client_id: String,
    /// Directory (tenant) ID or a domain of it.
    pub tenant_id: String,
    /// What the host uses.
    pub serves: Vec<Protocol>,
    /// Whether `openid profile` are asked too, which tell who signed in.
    pub openid: bool,
}

impl App {
    /// The mail scopes asked for, one for each protocol, with the prefix of the cloud.
    #[must_use]
    pub fn mail_scopes(&self) -> Vec<String> {
        self.serves.iter().map(|protocol| format!("{}{}", self.cloud.scope_prefix, protocol.permission())).collect()
    }

    fn scopes(&self) -> impl Iterator<Item = Scope> {
        let openid: &[&str] = if self.openid { &["openid", "profile"] } else { &[] };
        let rest = std::iter::once("offline_access").chain(openid.iter().copied()).map(String::from);
        self.mail_scopes().into_iter().chain(rest).map(Scope::new)
    }

    /// Where tokens are asked for.
    #[must_use]
    pub fn token_endpoint(&self) -> String {
        self.endpoint(&self.cloud.token_endpoint)
    }

    fn endpoint(&self, template: &str) -> String {
        template.replace(TENANT, &self.tenant_id)
    }

    /// Asks for a device code (RFC 8628 section 3.1).
    pub fn device_code_request(&self) -> Result<Request, Error> {
        let url = DeviceAuthorizationUrl::new(self.endpoint(&self.cloud.device_authorization_endpoint));
        let url = url.map_err(|_| Error::Endpoint { name: "device_authorization_endpoint" })?;
        let client = BasicClient::new(ClientId::new(self.client_id.clone())).set_device_authorization_url(url);
        let recorder = Recorder::default();
        let _: Result<StandardDeviceAuthorizationResponse, _> = client
            .exchange_device_code()
            .add_scopes(self.scopes())
            .request::<_, EmptyExtraDeviceAuthorizationFields>(&recorder.client());
        recorder.into_request()
    }

    /// Asks whether the person has confirmed the code (RFC 8628 section 3.4).
    pub fn poll_request(&self, device_code: &SecretString) -> Result<Request, Error> {
        // The crate makes the request from the answer that brought the code, of which only the code matters here.
        let answer = Zeroizing::new(
            serde_json::json!({
                "device_code": device_code.expose_secret(), "user_code": "-",
                "verification_uri": "https://localhost/", "expires_in": 900,
            })
            .to_string(),
        );
        let details: StandardDeviceAuthorizationResponse =
            serde_json::from_str(&answer).map_err(|_| Error::Endpoint { name: "token_endpoint" })?;
        let client = self.token_client()?;
        let recorder = Recorder::default();
        let _: Result<BasicTokenResponse, _> =
            client.exchange_device_access_token(&details).request(&recorder.client(), |_| (), None);
        recorder.into_request()
    }

    /// Trades a refresh token for a fresh set (RFC 6749 section 6).
    pub fn refresh_request(&self, refresh_token: &SecretString) -> Result<Request, Error> {
        let client = self.token_client()?;
        let refresh_token = RefreshToken::new(refresh_token.expose_secret().into());
        let recorder = Recorder::default();
        let _: Result<BasicTokenResponse, RequestTokenError<_, BasicErrorResponse>> =
            client.exchange_refresh_token(&refresh_token).add_scopes(self.scopes()).request(&recorder.client());
        recorder.into_request()
    }

    fn token_client(
        &self,
    ) -> Result<
        BasicClient<
            oauth2::EndpointNotSet,
            oauth2::EndpointNotSet,
            oauth2::EndpointNotSet,
            oauth2::EndpointNotSet,
            oauth2::EndpointSet,
        >,
        Error,
    > {
        let url = TokenUrl::new(self.endpoint(&self.cloud.token_endpoint));
        let url = url.map_err(|_| Error::Endpoint { name: "token_endpoint" })?;
        Ok(BasicClient::new(ClientId::new(self.client_id.clone())).set_token_uri(url))
    }
}

/// Stands where the crate expects an HTTP client: keeps the request, and gives an answer at which the crate stops.
#[derive(Default)]
struct Recorder(Mutex<Option<HttpRequest>>);

impl Recorder {
    fn client(&self) -> impl Fn(HttpRequest) -> Result<HttpResponse, std::io::Error> + '_ {
        |request| {
            if let Ok(mut slot) = self.0.lock() {
                *slot = Some(request);
            }
            let mut answer = HttpResponse::new(br#"{"error":"access_denied"}"#.to_vec());
            *answer.status_mut() = oauth2::http::StatusCode::BAD_REQUEST;
            Ok(answer)
        }
    }

    fn into_request(self) -> Result<Request, Error> {
        let request = self.0.into_inner().ok().flatten().ok_or(Error::Endpoint { name: "token_endpoint" })?;
        Ok(Request { url: request.uri().to_string(), form: Zeroizing::new(request.into_body()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        App {
            cloud: Cloud::named("worldwide").unwrap(),
            client_id: "0d6f3c9a-51b2-4c84-9e0f-7a8b6c5d4e3f".into(),
            tenant_id: "contoso.com".into(),
            serves: vec![Protocol::Smtp, Protocol::Imap],
            openid: true,
        }
    }

    fn form(request: &Request) -> String {
        String::from_utf8(request.form.to_vec()).unwrap()
    }

    #[test]
    fn the_device_code_request_asks_only_what_the_host_uses() {
        let request = app().device_code_request().unwrap();
        assert_eq!(request.url, "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/devicecode");
        let form = form(&request);
        assert!(form.contains("client_id=0d6f3c9a-51b2-4c84-9e0f-7a8b6c5d4e3f"));
        assert!(form.contains(
            "scope=https%3A%2F%2Foutlook.office.com%2FSMTP.Send+https%3A%2F%2Foutlook.office.com%2F\
             IMAP.AccessAsUser.All+offline_access+openid+profile"
        ));
        assert!(!form.contains("POP") && !form.contains("secret"));
        let plain = App { openid: false, ..app() }.device_code_request().unwrap();
        assert!(!String::from_utf8(plain.form.to_vec()).unwrap().contains("openid"));
    }

    #[test]
    fn polls_and_refreshes_go_to_the_token_endpoint() {
        let poll = app().poll_request(&"secret code".to_owned().into()).unwrap();
        assert_eq!(poll.url, "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token");
        assert!(form(&poll).contains("device_code=secret+code"));
        assert!(form(&poll).contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code"));
        let refresh = app().refresh_request(&"r1".to_owned().into()).unwrap();
        assert!(form(&refresh).contains("grant_type=refresh_token&refresh_token=r1"));
        assert!(form(&refresh).contains("SMTP.Send"));
    }
}
