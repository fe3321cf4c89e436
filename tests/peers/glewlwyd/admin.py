"""Glewlwyd's JSON interface, as far as the tests use it.

    admin.py set-up         makes the scopes, the person, the client and the device flow

Environment: PEER_IDP (base address), PEER_CA, PEER_LOGIN, MXO_CLIENT_ID.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request

PASSWORD = "of no value"
SCOPES = ["SMTP.Send", "IMAP.AccessAsUser.All", "POP.AccessAsUser.All", "offline_access", "profile"]  # openid is there from the start
INTERVAL = 2  # seconds that Glewlwyd wants between two polls; more than lower_interval.py announces


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Session:
    """A browser that is signed in: one set of cookies."""

    def __init__(self, login, password):
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=os.environ["PEER_CA"])),
            urllib.request.HTTPCookieProcessor(),
            _NoRedirect(),
        )
        self.call("POST", "/auth/", {"username": login, "password": password})

    def call(self, method, path, body=None, wanted=200):
        """Returns the Location of the answer, if it has one."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(os.environ["PEER_IDP"] + "/api" + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            answer = self.opener.open(request, timeout=20)
        except urllib.error.HTTPError as e:
            answer = e
        if answer.status != wanted:
            raise SystemExit(f"glewlwyd: {method} {path}: {answer.status} {answer.read()[:500]!r}")
        return answer.headers.get("Location")


def set_up():
    admin = Session("admin", "password")  # as the package ships it
    for scope in SCOPES:
        admin.call("POST", "/scope/", {"name": scope, "display_name": scope, "password_required": False, "scheme": {}})
    granted = ["openid", *SCOPES]
    admin.call("POST", "/user/", {
        "username": os.environ["PEER_LOGIN"], "password": PASSWORD, "name": "Alice", "email": os.environ["PEER_LOGIN"],
        "scope": granted, "enabled": True,
    })
    admin.call("POST", "/client/", {
        "client_id": os.environ["MXO_CLIENT_ID"], "name": "connector", "confidential": False, "enabled": True,
        "authorization_type": ["device_authorization", "refresh_token"], "scope": granted,
    })
    admin.call("POST", "/mod/plugin/", {
        "module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": True, "parameters": {
            "iss": os.environ["PEER_IDP"], "jwt-type": "sha", "jwt-key-size": "256", "key": "of no value either",
            "code-duration": 600, "access-token-duration": 3600, "refresh-token-duration": 86400,
            "allow-non-oidc": True, "refresh-token-rolling": True, "refresh-token-one-use": "always",
            "auth-type-device-enabled": True, "auth-type-refresh-enabled": True,
            "auth-type-client-enabled": False, "auth-type-code-enabled": False, "auth-type-token-enabled": False,
            "auth-type-implicit-enabled": False, "auth-type-password-enabled": False, "auth-type-none-enabled": False,
            "device-authorization-expiration": 600, "device-authorization-interval": INTERVAL,
        },
    })


if __name__ == "__main__":
    if sys.argv[1:] != ["set-up"]:
        raise SystemExit(__doc__)
    set_up()
