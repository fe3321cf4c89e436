//! Error answers in the shape of the identity platform, and its numbers.

use serde_json::{Map, Value, json};

use crate::clock;
use crate::ids;
use crate::misbehave::{Aadsts, Fault};

/// An error answer before it gets its ids and stamp.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) error: String,
    pub(crate) codes: Vec<u32>,
    pub(crate) text: String,
    pub(crate) suberror: Option<Box<str>>,
    pub(crate) claims: Option<Box<str>>,
}

impl Problem {
    /// The error with this number, in its usual words.
    pub(crate) fn number(code: u32) -> Self {
        let row = ROWS.iter().find(|row| row.code == code);
        let (error, text) =
            row.map_or(("invalid_grant", "Something that this list does not know."), |row| (row.error, row.text));
        Self {
            // OAuth 2.0 section 5.2: invalid_client may be 401, and Microsoft does it.
            status: if error == "invalid_client" { 401 } else { 400 },
            error: error.into(),
            codes: vec![code],
            text: format!("AADSTS{code}: {text}"),
            suberror: suberror(code).map(Into::into),
            claims: None,
        }
    }

    /// The error with this number, in words of the moment.
    pub(crate) fn said(code: u32, text: &str) -> Self {
        Self { text: format!("AADSTS{code}: {text}"), ..Self::number(code) }
    }

    pub(crate) fn missing(field: &str) -> Self {
        Self::said(900_144, &format!("The request body must contain the following parameter: '{field}'."))
    }

    /// The error that a rule asks for.
    pub(crate) fn from_rule(fault: &Fault) -> Option<Self> {
        match fault {
            Fault::Aadsts(Aadsts { code, error, description, status, suberror, claims, codes }) => {
                let mut problem = match description {
                    Some(text) => Self::said(*code, text),
                    None => Self::number(*code),
                };
                if let Some(error) = error {
                    problem.error.clone_from(error);
                    problem.status = if error == "invalid_client" { 401 } else { 400 };
                }
                if !codes.is_empty() {
                    problem.codes.clone_from(codes);
                }
                problem.status = status.unwrap_or(problem.status);
                problem.suberror = suberror.as_deref().map(Into::into).or(problem.suberror);
                problem.claims = claims.as_deref().map(Into::into);
                Some(problem)
            }
            Fault::Error { error, description, codes, status, suberror, claims } => Some(Self {
                status: status.unwrap_or(400),
                error: error.clone(),
                codes: codes.clone(),
                text: description.clone().unwrap_or_else(|| "An error that was asked for.".into()),
                suberror: suberror.as_deref().map(Into::into),
                claims: claims.as_deref().map(Into::into),
            }),
            _ => None,
        }
    }

    /// The JSON body. `correlation` is what the client called its request, if it did.
    pub(crate) fn body(&self, correlation: Option<&str>, base: &str) -> Value {
        let trace = ids::guid();
        let correlation = correlation.map_or_else(ids::guid, Into::into);
        let stamp = clock::stamp();
        let mut body = Map::new();
        body.insert("error".into(), json!(self.error));
        body.insert(
            "error_description".into(),
            json!(format!("{}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {stamp}", self.text)),
        );
        body.insert("error_codes".into(), json!(self.codes));
        body.insert("timestamp".into(), json!(stamp));
        body.insert("trace_id".into(), json!(trace));
        body.insert("correlation_id".into(), json!(correlation));
        if let Some(code) = self.codes.last() {
            body.insert("error_uri".into(), json!(format!("{base}/error?code={code}")));
        }
        if let Some(suberror) = &self.suberror {
            body.insert("suberror".into(), json!(suberror));
        }
        if let Some(claims) = &self.claims {
            body.insert("claims".into(), json!(claims));
        }
        Value::Object(body)
    }
}

fn suberror(code: u32) -> Option<&'static str> {
    match code {
        65001 | 90094 | 90095 | 90008 => Some("consent_required"),
        50055 | 50144 => Some("user_password_expired"),
        50072 | 50074 | 50076 | 50078 | 50079 | 50158 | 70043 => Some("basic_action"),
        50097 | 53000 | 53001 | 53003 | 50131 | 530_003 => Some("message_only"),
        70000 | 50173 => Some("bad_token"),
        70008 | 700_082 => Some("token_expired"),
        _ => None,
    }
}

/// The texts of errors that the service itself gives; also looked up by rules.
pub(crate) const PENDING: u32 = 70016;

struct Row {
    code: u32,
    error: &'static str,
    text: &'static str,
}

const fn row(code: u32, error: &'static str, text: &'static str) -> Row {
    Row { code, error, text }
}

const GRANT: &str = "invalid_grant";
const REQUEST: &str = "invalid_request";
const CLIENT: &str = "invalid_client";
const UNAUTHORIZED: &str = "unauthorized_client";
const RESOURCE: &str = "invalid_resource";
const SCOPE: &str = "invalid_scope";
const INTERACTION: &str = "interaction_required";
const UNAVAILABLE: &str = "temporarily_unavailable";

/// Every number of exchange.md section 2.3 that can reach a client.
const ROWS: &[Row] = &[
    // The device flow.
    row(
        PENDING,
        "authorization_pending",
        "OAuth 2.0 device flow error. Authorization is pending. Continue polling. The provided request has not yet been authorized by the user.",
    ),
    row(
        70018,
        "bad_verification_code",
        "Invalid verification code due to User typing in wrong user code for device code flow, or the device code is not known.",
    ),
    row(70019, "expired_token", "Verification code expired. Have the user retry the sign-in."),
    row(
        70020,
        "expired_token",
        "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
    ),
    row(90119, REQUEST, "The user code is null or empty."),
    row(90120, GRANT, "The request was already authorized or declined."),
    row(
        54005,
        GRANT,
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
    ),
    row(
        50134,
        GRANT,
        "The user was sent to another data center than the one that the device flow was begun in. Retry the sign-in.",
    ),
    row(
        50199,
        INTERACTION,
        "For security reasons, user confirmation is required for this request. Are you trying to sign in to this application?",
    ),
    // The app registration.
    row(
        7_000_218,
        CLIENT,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    row(700_025, CLIENT, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."),
    row(
        7_000_215,
        CLIENT,
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.",
    ),
    row(7_000_222, CLIENT, "The provided client secret keys are expired."),
    row(70002, CLIENT, "Error validating credentials."),
    row(
        700_016,
        UNAUTHORIZED,
        "Application was not found in the directory. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
    ),
    row(700_011, UNAUTHORIZED, "Application was not found in the directory."),
    row(70001, UNAUTHORIZED, "The application was not found in the tenant."),
    row(7_000_112, UNAUTHORIZED, "Application is disabled."),
    row(
        1_000_031,
        UNAUTHORIZED,
        "Application cannot be accessed at this time. Contact your administrator to enable access.",
    ),
    // The tenant.
    row(
        90002,
        REQUEST,
        "Tenant was not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.",
    ),
    row(
        50128,
        REQUEST,
        "Invalid domain name. No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    row(50029, REQUEST, "Invalid URI: domain name contains invalid characters."),
    row(
        90019,
        REQUEST,
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    row(900_023, REQUEST, "Specified tenant identifier is neither a valid DNS name, nor a valid external domain."),
    row(
        50059,
        REQUEST,
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    row(
        50194,
        REQUEST,
        "The application is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps. Use a tenant-specific endpoint or configure the application to be multi-tenant.",
    ),
    row(
        90130,
        REQUEST,
        "Application is not supported over the /common or /consumers endpoints. Use the /organizations or tenant-specific endpoint.",
    ),
    row(90124, REQUEST, "Resource is not supported over the /common or /consumers endpoints."),
    row(
        9_001_023,
        REQUEST,
        "The grant type is not supported over the /common or /consumers endpoints. Use the /organizations or tenant-specific endpoint.",
    ),
    row(
        9_002_332,
        REQUEST,
        "The application is configured for use by Azure Active Directory users only. Please do not use the /consumers endpoint to serve this request.",
    ),
    row(
        90038,
        REQUEST,
        "The tenant belongs to the National Cloud, which is not the cloud that this request was sent to.",
    ),
    row(90043, REQUEST, "National cloud authorization code: the tenant is in another cloud."),
    row(90051, REQUEST, "Invalid national cloud id."),
    row(900_382, REQUEST, "Confidential client is not supported in cross-cloud request."),
    row(900_432, REQUEST, "Confidential client is not supported in cross-cloud request."),
    row(1_000_104, REQUEST, "The application is not available in this national cloud."),
    // The request.
    row(
        70011,
        SCOPE,
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid.",
    ),
    row(
        28000,
        REQUEST,
        "Provided value for the input parameter scope is not valid because it contains more than one resource.",
    ),
    row(
        700_022,
        REQUEST,
        "Provided value for the input parameter scope is not valid because it contains more than one resource.",
    ),
    row(28002, SCOPE, "Provided value for the input parameter scope is not valid when requesting an access token."),
    row(
        28003,
        REQUEST,
        "Provided value for the input parameter scope cannot be empty when requesting an access token using the provided authorization code. Please specify a valid scope.",
    ),
    row(70003, "unsupported_grant_type", "The app requested an unsupported grant type."),
    row(900_144, REQUEST, "The request body must contain a parameter that is missing."),
    row(900_561, REQUEST, "The endpoint only accepts POST requests. Received a GET request."),
    row(9_002_313, REQUEST, "Invalid request. Request is malformed or invalid."),
    row(
        90014,
        REQUEST,
        "The required field is missing from the credential. Ensure that you have all the necessary parameters for the login request.",
    ),
    row(90100, REQUEST, "A parameter is empty or not valid."),
    row(90023, REQUEST, "The authentication service request is not valid."),
    row(
        500_011,
        RESOURCE,
        "The resource principal was not found in the tenant. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.",
    ),
    row(50001, RESOURCE, "The resource is disabled or does not exist."),
    row(
        650_052,
        UNAUTHORIZED,
        "The app needs access to a service that your organization has not subscribed to or enabled.",
    ),
    row(
        650_054,
        UNAUTHORIZED,
        "The application asked for permissions to access a resource that has been removed or is no longer available.",
    ),
    row(
        65005,
        UNAUTHORIZED,
        "The application's required resource access list does not contain applications discoverable by the resource.",
    ),
    row(
        650_056,
        UNAUTHORIZED,
        "Misconfigured application. This could be due to one of the following: the client has not listed any permissions in the requested permissions in the client's application registration.",
    ),
    row(
        650_057,
        RESOURCE,
        "Invalid resource. The client has requested access to a resource which is not listed in the requested permissions in the client's application registration.",
    ),
    // Consent.
    row(
        65001,
        GRANT,
        "The user or administrator has not consented to use the application. Send an interactive authorization request for this user and resource.",
    ),
    row(65004, "access_denied", "User declined to consent to access the app."),
    row(
        90094,
        GRANT,
        "An administrator of the tenant has set a policy that prevents you from granting the application the permissions it is requesting.",
    ),
    row(90095, GRANT, "Admin consent is required. The request was sent to the administrators."),
    row(
        90008,
        GRANT,
        "The user or administrator has not consented to use the application, because the application is misconfigured: it must require access to Microsoft Graph.",
    ),
    row(
        50105,
        INTERACTION,
        "Your administrator has configured the application to block users unless they are specifically granted ('assigned') access to the application.",
    ),
    // The person.
    row(
        50076,
        GRANT,
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access the resource.",
    ),
    row(
        50079,
        GRANT,
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access the resource.",
    ),
    row(50072, GRANT, "The user needs to enroll for second factor authentication (interactive)."),
    row(50074, GRANT, "Strong Authentication is required."),
    row(
        50078,
        GRANT,
        "Presented multi-factor authentication has expired due to policies configured by your administrator, you must refresh your multi-factor authentication to access the resource.",
    ),
    row(
        50158,
        INTERACTION,
        "External security challenge not satisfied. User will be redirected to another page or authentication provider to satisfy additional authentication challenges.",
    ),
    row(50055, GRANT, "The password is expired."),
    row(50144, GRANT, "The user's Active Directory password has expired."),
    row(50125, GRANT, "Sign-in was interrupted because of a password reset or password registration entry."),
    row(50135, GRANT, "Password change is required due to account risk."),
    row(50126, GRANT, "Error validating credentials due to invalid username or password."),
    row(50056, GRANT, "Invalid or null password: password does not exist in the directory for this user."),
    row(
        50053,
        GRANT,
        "You've tried to sign in too many times with an incorrect user ID or password, or the IP address has a bad reputation.",
    ),
    row(50057, GRANT, "The user account is disabled."),
    row(
        50020,
        GRANT,
        "User account from the identity provider does not exist in the tenant and cannot access the application in that tenant.",
    ),
    row(
        50034,
        GRANT,
        "The user account does not exist in the directory. To sign into this application, the account must be added to the directory.",
    ),
    row(51004, GRANT, "The user account does not exist in the directory."),
    row(50014, GRANT, "The user's redemption is in a pending state. The guest user account is not fully created yet."),
    row(
        16000,
        INTERACTION,
        "User account does not exist in the tenant and cannot access the application. Sign out and sign in again with a different user account.",
    ),
    row(16003, INTERACTION, "The user has not been explicitly added to the tenant."),
    row(
        90072,
        GRANT,
        "User account from the external identity provider does not exist in the tenant and must be added as an external user first.",
    ),
    row(500_208, GRANT, "The domain is not a valid login domain for the account type."),
    row(
        50085,
        GRANT,
        "Refresh token needs social identity provider login. Have the user sign in again with username and password.",
    ),
    row(70012, "server_error", "A server error occurred while authenticating a personal account."),
    // Policy.
    row(50002, GRANT, "Sign-in failed because of restricted proxy access by a tenant policy."),
    row(500_021, "access_denied", "Access to the tenant is denied."),
    row(500_022, "access_denied", "The Restrict-Access-To-Tenants header does not allow this tenant."),
    row(
        500_212,
        "access_denied",
        "The user's administrator has set an outbound access policy that does not allow access to the resource tenant.",
    ),
    row(
        500_213,
        "access_denied",
        "The resource tenant's cross-tenant access policy does not allow this user to access this tenant.",
    ),
    row(
        53003,
        GRANT,
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    ),
    row(
        50131,
        GRANT,
        "Device is not in the required state, or the request was blocked due to suspicious activity, access policy, or security policy decisions.",
    ),
    row(530_032, GRANT, "User blocked due to security policy."),
    row(
        530_034,
        GRANT,
        "Delegated administrator was blocked from accessing the tenant due to account risk in their home tenant.",
    ),
    row(
        530_035,
        GRANT,
        "Access has been blocked by security defaults. This is due to the request using legacy auth or being deemed unsafe by security defaults policies.",
    ),
    row(53002, GRANT, "Application used is not an approved application for Conditional Access."),
    row(
        53004,
        GRANT,
        "User needs to complete the multi-factor authentication registration process before accessing this content.",
    ),
    row(
        53010,
        GRANT,
        "Multi-factor authentication methods cannot be configured, because the organization requires this information to be set from specific locations or devices.",
    ),
    row(53011, GRANT, "User blocked due to risk on home tenant."),
    row(53000, INTERACTION, "Device is not in required device state: compliant."),
    row(53001, INTERACTION, "Device is not in required device state: domain joined."),
    row(50097, INTERACTION, "Device authentication is required."),
    row(50129, INTERACTION, "Device is not workplace joined. Workplace join is required to register the device."),
    row(
        50005,
        INTERACTION,
        "User tried to log in to a device from a platform that is currently not supported through Conditional Access policy.",
    ),
    row(50155, INTERACTION, "Device authentication failed for this user."),
    row(530_003, INTERACTION, "Your device is required to be managed to access this resource."),
    // Refresh tokens.
    row(70000, GRANT, "Provided grant is invalid or malformed."),
    row(
        70008,
        GRANT,
        "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.",
    ),
    row(
        700_082,
        GRANT,
        "The refresh token has expired due to inactivity. The token was issued and was inactive for 90.00:00:00.",
    ),
    row(
        700_084,
        GRANT,
        "The refresh token was issued to a single page app, and therefore has a fixed, limited lifetime, which can't be extended.",
    ),
    row(
        70043,
        GRANT,
        "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access.",
    ),
    row(
        50173,
        GRANT,
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password.",
    ),
    row(50132, GRANT, "The session is not valid due to password expiration or recent password change."),
    row(50133, GRANT, "The session is not valid due to password expiration or recent password change."),
    row(50089, GRANT, "Authentication failed due to flow token expired."),
    // Wait.
    row(
        50196,
        GRANT,
        "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
    ),
    row(90055, UNAVAILABLE, "The request was throttled because of too many requests by this tenant."),
    row(50166, UNAVAILABLE, "A request to the external OIDC endpoint failed because of too many requests."),
    row(50088, UNAVAILABLE, "The limit on telecom multi-factor calls was reached."),
    row(90033, UNAVAILABLE, "A transient error has occurred. Please try again."),
    row(90006, UNAVAILABLE, "An external server error occurred. Please try again."),
    row(90012, UNAVAILABLE, "The request has timed out. Please try again."),
    row(90024, UNAVAILABLE, "The request budget was exceeded. A transient error has occurred. Please try again."),
    row(90090, UNAVAILABLE, "The Graph returned a retryable error for this request."),
    row(50033, UNAVAILABLE, "A transient error has occurred. Please try again."),
    row(50087, UNAVAILABLE, "A transient error has occurred during strong authentication. Please try again."),
    row(40010, UNAVAILABLE, "A retryable error has occurred at the external identity provider."),
    row(50000, "server_error", "There was an issue issuing a token or an issue with the sign-in service."),
    row(90036, "server_error", "An unexpected, non-retryable error stemming from the directory service has occurred."),
    row(90092, "server_error", "The Graph returned a non-retryable error for this request."),
    row(50086, "server_error", "A non-retryable error has occurred in the session."),
    row(40008, "server_error", "There was an unexpected, non-retryable error from the external identity provider."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_listed_twice() {
        let mut codes: Vec<u32> = ROWS.iter().map(|row| row.code).collect();
        codes.sort_unstable();
        let all = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }

    #[test]
    fn the_body_has_what_microsoft_puts_there() {
        let body = Problem::number(7_000_218).body(Some("c0rr"), "https://localhost");
        assert_eq!(body["error"], "invalid_client");
        assert_eq!(body["error_codes"], json!([7_000_218]));
        assert_eq!(body["correlation_id"], "c0rr");
        let text = body["error_description"].as_str().unwrap();
        assert!(
            text.starts_with("AADSTS7000218: ") && text.contains("\r\nCorrelation ID: c0rr\r\nTimestamp: 2"),
            "{text}"
        );
    }
}
