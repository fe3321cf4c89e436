#!/usr/bin/env python3
"""Prints an access token of oidc-provider, got without our library: device flow, with approve.py as the person.

    token.py LOGIN SCOPE        as in: token.py bob@example.test IMAP.AccessAsUser.All

Environment: PEER_IDP (base address), PEER_CA, MXO_CLIENT_ID.
"""

import json
import os
import ssl
import sys
import urllib.parse
import urllib.request

import approve

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def post(path, **fields):
    context = ssl.create_default_context(cafile=os.environ["PEER_CA"])
    body = urllib.parse.urlencode({"client_id": os.environ["MXO_CLIENT_ID"], **fields}).encode()
    with urllib.request.urlopen(os.environ["PEER_IDP"] + path, body, timeout=20, context=context) as answer:
        return json.load(answer)


login, scope = sys.argv[1:]
device = post("/device/auth", scope=f"openid https://outlook.office.com/{scope}")
approve.answer(device["verification_uri"], device["user_code"], login, os.environ["PEER_CA"])
print(post("/token", grant_type=DEVICE_CODE, device_code=device["device_code"])["access_token"])
