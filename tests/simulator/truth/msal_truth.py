"""MSAL Python signs in, refreshes, and understands the errors."""

import os

import msal

from box import CA, READY, check, control, end, person, same

SCOPES = ["https://outlook.office.com/SMTP.Send", "https://outlook.office.com/IMAP.AccessAsUser.All"]
AUTHORITY = f"{READY['identity_url']}/{READY['tenant_id']}"


def client(client_id=READY["client_id"], **more):
    where = more or {"authority": AUTHORITY}
    return msal.PublicClientApplication(client_id, instance_discovery=False, verify=CA, **where)


def sign_in(app, *words):
    flow = app.initiate_device_flow(scopes=SCOPES)
    assert "user_code" in flow, flow
    person(flow, *words)
    return app.acquire_token_by_device_flow(flow)


control("set", {"interval_s": 1})


@check("MSAL completes the device flow through the pages, and a silent refresh")
def _():
    app = client()
    first = sign_in(app)
    assert "access_token" in first, first
    same(first["id_token_claims"]["preferred_username"], READY["account"])
    same(first["id_token_claims"]["tid"], READY["tenant_id"])
    same(set(first["scope"].split()), set(SCOPES))
    [account] = app.get_accounts()
    same(account["username"], READY["account"])
    second = app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert second and "access_token" in second, second
    assert second["access_token"] != first["access_token"]
    with open(os.environ["TOKEN_FILE"], "w", encoding="ascii") as file:
        file.write(second["access_token"])


@check("MSAL gets a token of a narrower scope out of the same sign-in")
def _():
    app = client()
    sign_in(app)
    [account] = app.get_accounts()
    token = app.acquire_token_silent(SCOPES[:1], account, force_refresh=True)
    same(token["scope"], SCOPES[0])


@check("MSAL signs in another account, and at an OIDC authority")
def _():
    result = sign_in(client(oidc_authority=f"{AUTHORITY}/v2.0"), "admin@contoso.example")
    same(result["id_token_claims"]["preferred_username"], "admin@contoso.example")


@check("MSAL signs in at the tenant's domain name")
def _():
    result = sign_in(client(authority=f"{READY['identity_url']}/contoso.example"))
    same(result["id_token_claims"]["tid"], READY["tenant_id"])


@check("MSAL hears that the person declined")
def _():
    result = sign_in(client(), "--decline")
    same(result["error"], "authorization_declined")


@check("MSAL hears AADSTS7000218")
def _():
    control("set", {"public_client_flows": False})
    try:
        app = client()
        result = app.acquire_token_by_device_flow(app.initiate_device_flow(scopes=SCOPES))
        same(result["error"], "invalid_client")
        same(result["error_codes"], [7000218])
        assert result["error_description"].startswith("AADSTS7000218: "), result
        assert result["trace_id"] in result["error_description"], result
    finally:
        control("set", {"public_client_flows": True})


@check("MSAL hears that the code expired")
def _():
    app = client()
    flow = app.initiate_device_flow(scopes=SCOPES)
    control("advance", {"seconds": 901})
    same(app.acquire_token_by_device_flow(flow)["error"], "expired_token")


@check("MSAL hears of an unknown app and of an unknown scope before there is a code")
def _():
    flow = client("11111111-2222-4333-8444-555555555555").initiate_device_flow(scopes=SCOPES)
    same((flow["error"], flow["error_codes"]), ("unauthorized_client", [700016]))
    flow = client().initiate_device_flow(scopes=["https://outlook.office.com/SMTP.Sent"])
    same((flow["error"], flow["error_codes"]), ("invalid_scope", [70011]))
    flow = client().initiate_device_flow(scopes=[SCOPES[0], "https://graph.microsoft.com/User.Read"])
    same(flow["error_codes"], [28000])


@check("MSAL hears of a revoked refresh token as MSAL classifies it")
def _():
    app = client()
    sign_in(app)
    control("revoke", {"upn": READY["account"]})
    [account] = app.get_accounts()
    result = app.acquire_token_silent_with_error(SCOPES, account, force_refresh=True)
    same((result["error"], result["error_codes"]), ("invalid_grant", [50173]))


@check("MSAL outlives slow_down and a string for expires_in")
def _():
    control("misbehave", {"name": "error", "error": "slow_down", "at": "poll", "times": 1})
    control("misbehave", {"name": "expires-in-string", "at": "poll"})
    try:
        assert "access_token" in sign_in(client())
    finally:
        control("behave", {})


end()
