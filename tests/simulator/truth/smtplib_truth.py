"""Python's smtplib sends with MSAL's token, and understands the refusals."""

import os
import smtplib
import ssl

from box import CA, READY, check, control, end, same

with open(os.environ["TOKEN_FILE"], encoding="ascii") as file:
    TOKEN = file.read()
SENDER = READY["account"]


def log_in(user=SENDER, token=TOKEN):
    server = smtplib.SMTP("localhost", READY["smtp_port"], timeout=30)
    try:
        server.starttls(context=ssl.create_default_context(cafile=CA))
        server.ehlo()
        server.auth("XOAUTH2", lambda challenge=None: f"user={user}\x01auth=Bearer {token}\x01\x01",
                    initial_response_ok=False)
    except BaseException:
        server.close()
        raise
    return server


def message(sender=SENDER, body=b"Good day.\r\n"):
    return b"From: <%b>\r\nTo: <b@fabrikam.example>\r\nSubject: truth\r\n\r\n%b" % (sender.encode(), body)


def refused(kind, code, text, action):
    try:
        action()
    except kind as error:
        same(error.smtp_code, code)
        assert text in error.smtp_error, error.smtp_error
        return
    raise AssertionError("nothing was refused")


@check("smtplib sends, and three million octets with dots arrive as they were")
def _():
    body = b".\r\n..\r\n" + b".dot at the start, and a line as long as lines may be ........\r\n" * 50_000 + b".\r\n"
    with log_in() as server:
        same(server.sendmail(SENDER, ["b@fabrikam.example", "c@fabrikam.example"], message(body=body)), {})
    mails = control("mails")
    same(mails[-1]["recipients"], ["b@fabrikam.example", "c@fabrikam.example"])
    same(control(f"mails/{len(mails) - 1}/raw"), message(body=body))


@check("smtplib hears 535 5.7.3 for a wrong token and for a wrong user")
def _():
    refused(smtplib.SMTPAuthenticationError, 535, b"5.7.3 Authentication unsuccessful", lambda: log_in(token="bad"))
    refused(smtplib.SMTPAuthenticationError, 535, b"5.7.3", lambda: log_in(user="printer@contoso.example"))


@check("smtplib hears that SMTP AUTH is off for the tenant")
def _():
    control("misbehave", {"name": "tenant-disabled", "times": 1})
    refused(smtplib.SMTPAuthenticationError, 535, b"5.7.139 Authentication unsuccessful, SmtpClient", log_in)


@check("smtplib may write the alias in From, and hears SendAsDenied for a stranger")
def _():
    with log_in() as server:
        server.sendmail(SENDER, ["b@fabrikam.example"], message("printer@contoso.example"))
        refused(smtplib.SMTPDataError, 554, b"5.2.252 SendAsDenied; " + SENDER.encode(),
                lambda: server.sendmail(SENDER, ["b@fabrikam.example"], message("admin@contoso.example")))


@check("smtplib hears which recipient was refused, and the others get the mail")
def _():
    control("misbehave", {"name": "recipient-refused", "recipient": "nobody@fabrikam.example", "times": 1})
    with log_in() as server:
        refusals = server.sendmail(SENDER, ["b@fabrikam.example", "nobody@fabrikam.example"], message())
    same(list(refusals), ["nobody@fabrikam.example"])
    same(control("mails")[-1]["recipients"], ["b@fabrikam.example"])


end()
