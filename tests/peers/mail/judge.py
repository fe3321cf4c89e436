"""Compares what arrived with what the host was told to send (MXO_... of the environment).

    judge.py ASPECT FILE...     says what is wrong and ends with 1, or says nothing

Reads with Python's own email package: no code of ours has a part in the judgement.
"""

import email
import email.policy
import hashlib
import os
import re
import sys


def message(path):
    if not os.path.exists(path):
        raise SystemExit(f"{os.path.basename(path)} was not fetched")
    with open(path, "rb") as f:
        return email.message_from_binary_file(f, policy=email.policy.default)


def same(what, arrived, sent):
    if arrived != sent:
        raise SystemExit(f"{what} differs:\n  arrived {arrived!r}\n  sent    {sent!r}")


def addresses(header):
    return [] if header is None else [a.addr_spec for a in header.addresses]


def listed(variable):
    return [a for a in os.environ[variable].split(",") if a]


def subject(path):
    same("subject", message(path)["subject"], os.environ["MXO_SUBJECT"])
    # Headers are ASCII: nobody has offered SMTPUTF8.
    with open(path, "rb") as f:
        head = f.read().partition(b"\r\n\r\n")[0]
    if not head.isascii():
        raise SystemExit(f"the header holds bytes beyond ASCII: {head!r}")


def from_and_to(path):
    same("From", addresses(message(path)["from"]), [os.environ["PEER_LOGIN"]])
    same("To", addresses(message(path)["to"]), listed("MXO_TO"))


def message_id(path):
    values = message(path).get_all("message-id") or []
    if len(values) != 1 or not re.fullmatch(r"<[^\s<>@]+@[^\s<>@]+>", values[0].strip()):
        raise SystemExit(f"there should be one Message-ID: {values!r}")
    if message(path)["date"] is None:
        raise SystemExit("there is no Date")


def text(path):
    body = message(path).get_body(("plain",))
    if body is None:
        raise SystemExit("there is no text/plain body")
    # A body ends with a line end, whether the text did or not.
    same("text", body.get_content().removesuffix("\n"), os.environ["MXO_TEXT"])


def attachment(path):
    parts = list(message(path).iter_attachments())
    same("number of attachments", len(parts), 1)
    same("file name", parts[0].get_filename(), os.path.basename(os.environ["MXO_ATTACH"]))
    with open(os.environ["MXO_ATTACH"], "rb") as f:
        sent = f.read()
    arrived = parts[0].get_payload(decode=True)
    same("size of the attachment", len(arrived), len(sent))
    same("SHA-256 of the attachment", hashlib.sha256(arrived).hexdigest(), hashlib.sha256(sent).hexdigest())


def bcc(path, copy):
    same("Message-ID of the copy", message(copy)["message-id"], message(path)["message-id"])
    for file in (path, copy):
        for name, value in message(file).items():
            # What Postfix and Dovecot put on top tells each mailbox its own address.
            own = name.lower() in ("delivered-to", "received", "return-path")
            if name.lower() == "bcc" or (not own and any(a in value for a in listed("MXO_BCC"))):
                raise SystemExit(f"{os.path.basename(file)} betrays the Bcc: {name}: {value}")


def envelope(maillog):
    with open(maillog) as f:
        log = f.read()
    signed_in = re.findall(r"smtpd\[\d+\]: (\w+): client=.*sasl_method=(\w+), sasl_username=(\S+)", log)
    same("number of messages sent", len(signed_in), 1)
    queue_id, method, login = signed_in[0]
    same("sign-in", (method, login), ("XOAUTH2", os.environ["PEER_LOGIN"]))
    same("sender", re.findall(rf" {queue_id}: from=<([^>]*)>", log), [os.environ["PEER_LOGIN"]])
    same("recipients", sorted(re.findall(rf" {queue_id}: to=<([^>]*)>.*status=sent", log)), sorted(listed("MXO_TO") + listed("MXO_BCC")))


ASPECTS = {
    "subject": subject,
    "addresses": from_and_to,
    "message-id": message_id,
    "text": text,
    "attachment": attachment,
    "bcc": bcc,
    "envelope": envelope,
}
ASPECTS[sys.argv[1]](*sys.argv[2:])
