"""Compares what came to pass at the simulator with what a host was told to do (MXO_... of the environment).

    judge.py mark              remembers how much there is before a host runs
    judge.py ASPECT OUTPUT     what is wrong since then, and ends with 1; or says nothing. OUTPUT is the file with what the host printed

Reads with Python's own email package: no code of ours has a part in the judgement.
Environment besides: HOSTS_CONTROL (the simulator's control address), HOSTS_MARK (a file), MXO_CA_FILE, HOSTS_ACCOUNT (who signed in).
"""

import email
import email.policy
import hashlib
import json
import os
import re
import ssl
import sys
import urllib.request

KINDS = ("mails", "requests", "sessions")


def get(path):
    trust = ssl.create_default_context(cafile=os.environ["MXO_CA_FILE"])
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust), urllib.request.ProxyHandler({}))
    with opener.open(f"{os.environ['HOSTS_CONTROL']}/{path}", timeout=30) as answer:
        return answer.read()


def mark():
    with open(os.environ["HOSTS_MARK"], "w") as f:
        json.dump({kind: len(json.loads(get(kind))) for kind in KINDS}, f)


def since_mark(kind):
    with open(os.environ["HOSTS_MARK"]) as f:
        first = json.load(f)[kind]
    return first, json.loads(get(kind))[first:]


def same(what, arrived, sent):
    if arrived != sent:
        raise SystemExit(f"{what} differs:\n  arrived {arrived!r}\n  meant   {sent!r}")


def listed(variable):
    return [address for address in os.environ[variable].split(",") if address]


def said(printed, word):
    if word not in printed:
        raise SystemExit(f"the host did not print '{word}'")
    return printed[word]


def main_mail():
    """The first of the host's mails, as its octets."""
    first, mails = since_mark("mails")
    if not mails:
        raise SystemExit("no mail arrived")
    return get(f"mails/{first}/raw")


def message():
    return email.message_from_bytes(main_mail(), policy=email.policy.default)


def envelopes(_printed):
    account = os.environ["HOSTS_ACCOUNT"]
    _, mails = since_mark("mails")
    same("number of mails", len(mails), 2)
    for mail in mails:
        same("login and sender", (mail["user"], mail["from"]), (account, account))
    same("recipients", sorted(mails[0]["recipients"]), sorted(listed("MXO_TO") + listed("MXO_BCC")))
    same("recipients of the note", mails[1]["recipients"], listed("MXO_NOTE_TO"))


def header(_printed):
    head = main_mail().partition(b"\r\n\r\n")[0]
    if not head.isascii():
        raise SystemExit(f"the header holds bytes beyond ASCII: {head!r}")
    mail = message()
    same("subject", mail["subject"], os.environ["MXO_SUBJECT"])
    same("From", [a.addr_spec for a in mail["from"].addresses], [os.environ["HOSTS_ACCOUNT"]])
    same("To", [a.addr_spec for a in mail["to"].addresses], listed("MXO_TO"))
    same("first name", mail["to"].addresses[0].display_name, os.environ["MXO_TO_NAME"])
    for name in ("message-id", "date"):
        same(f"number of {name} headers", len(mail.get_all(name) or []), 1)


def bcc(_printed):
    octets = main_mail()
    for address in listed("MXO_BCC"):
        if address.encode() in octets:
            raise SystemExit(f"the mail betrays {address}, who is in Bcc")
    if message()["bcc"] is not None:
        raise SystemExit("there is a Bcc header")


def text(_printed):
    bare = re.search(rb".*(?<!\r)\n|\r(?!\n).*", main_mail())
    if bare:
        raise SystemExit(f"a line end is not CRLF: {bare[0]!r}")
    body = message().get_body(("plain",))
    if body is None:
        raise SystemExit("there is no text/plain body")
    # On the wire line ends are CRLF, and a body ends with one, whether the text did or not.
    same("text", body.get_content().replace("\r\n", "\n").removesuffix("\n"), os.environ["MXO_TEXT"])


def attachment(_printed):
    parts = list(message().iter_attachments())
    same("number of attachments", len(parts), 1)
    same("file name", parts[0].get_filename(), os.path.basename(os.environ["MXO_ATTACH"]))
    same("type", parts[0].get_content_type(), "application/pdf")
    with open(os.environ["MXO_ATTACH"], "rb") as f:
        sent = f.read()
    arrived = parts[0].get_payload(decode=True)
    same("size", len(arrived), len(sent))
    same("SHA-256", hashlib.sha256(arrived).hexdigest(), hashlib.sha256(sent).hexdigest())


def identity(printed):
    _, requests = since_mark("requests")
    good = [r for r in requests if r["status"] == 200 and r["path"].endswith(("/devicecode", "/token"))]
    kinds = [r["form"].get("grant_type", "devicecode").rpartition(":")[2] for r in good]
    same("requests that were granted", kinds, ["devicecode", "device_code", "refresh_token"])
    # "user=" login ^A "auth=Bearer " token ^A ^A, in base64
    octets = len("user=") + len(os.environ["HOSTS_ACCOUNT"]) + 1 + len("auth=Bearer ") + int(said(printed, "refreshed")) + 2
    same("length of the XOAUTH2 response", int(said(printed, "xoauth2")), (octets + 2) // 3 * 4)


def server(printed):
    reply = said(printed, "sent")
    _, mails = since_mark("mails")
    same("printed reply", re.findall("<([^>]*)>", reply), [mails[0]["message_id"]])
    same("Message-ID", message()["message-id"], f"<{mails[0]['message_id']}>")
    _, sessions = since_mark("sessions")
    same("SMTP connections", len(sessions), 1)
    wanted = json.loads(os.environ["MXO_OPTIONS"])["client_name"]
    same("EHLO", {c for c in sessions[0]["commands"] if c.startswith("EHLO")}, {f"EHLO {wanted}"})


ASPECTS = {f.__name__: f for f in (envelopes, header, bcc, text, attachment, identity, server)}
if sys.argv[1:] == ["mark"]:
    mark()
else:
    with open(sys.argv[2], encoding="utf-8") as lines:
        ASPECTS[sys.argv[1]](dict(line.rstrip("\n").partition(" ")[::2] for line in lines))
