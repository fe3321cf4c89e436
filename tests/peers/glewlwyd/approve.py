#!/usr/bin/env python3
"""The person in the browser, at Glewlwyd; but one who dawdles until the client has been told to slow down.

    approve.py VERIFICATION_URI USER_CODE

Environment: PEER_RECORD (what lower_interval.py writes), PEER_FOLDER, and what admin.py wants.
"""

import os
import subprocess
import sys
import time

import admin


def told_to_slow_down():
    with open(os.environ["PEER_RECORD"]) as f:
        return "slow_down" in f.read()


def approve(code):
    # Bounded, and then done all the same: a client that is never told to slow down shall fail at the check, not hang.
    end = time.monotonic() + 20
    while time.monotonic() < end and not told_to_slow_down():
        time.sleep(0.05)
    person = admin.Session(os.environ["PEER_LOGIN"], admin.PASSWORD)
    person.call("PUT", "/auth/grant/" + os.environ["MXO_CLIENT_ID"], {"scope": " ".join(["openid", *admin.SCOPES])})
    where = person.call("GET", f"/oidc/device?code={code}&g_continue=", wanted=302)
    if "prompt=deviceComplete" not in where:
        raise SystemExit(f"approve.py: glewlwyd sends the person to {where}")


if sys.argv[1] != "--later":
    # A host may well wait for this program before its first poll: so the dawdling is done by another process.
    with open(os.path.join(os.environ["PEER_FOLDER"], "log", "approve"), "w") as log:
        subprocess.Popen([sys.executable, __file__, "--later", sys.argv[2]], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
else:
    approve(sys.argv[2])
