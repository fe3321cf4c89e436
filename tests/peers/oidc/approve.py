#!/usr/bin/env python3
"""The person in the browser, at oidc-provider: opens the page, types the code, signs in and consents (or declines).

    approve.py VERIFICATION_URI USER_CODE

Environment: PEER_CA (the CA's file), PEER_LOGIN (who signs in), PEER_ANSWER (yes or no; yes if unset).
"""

import html
import os
import re
import ssl
import sys
import urllib.parse
import urllib.request


class Browser:
    def __init__(self, ca):
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)),
            urllib.request.HTTPCookieProcessor(),
        )

    def open(self, uri, fields=None):
        """Gets a page, or sends a form; cookies and redirections are seen to."""
        body = None if fields is None else urllib.parse.urlencode(fields).encode()
        with self.opener.open(uri, body, timeout=20) as answer:
            self.uri, self.page = answer.url, answer.read().decode()

    def form(self):
        """Address and fields of the first form on the page."""
        form = re.search(r'<form[^>]*\baction="([^"]*)"[^>]*>(.*?)</form>', self.page, re.S)
        if form is None:
            raise SystemExit(f"approve.py: no form on {self.uri}: {self.page[:500]}")
        fields = {}
        for tag in re.findall(r"<input[^>]*>", form[2]):
            attributes = {name: html.unescape(value) for name, value in re.findall(r'\b(name|value)="([^"]*)"', tag)}
            if "name" in attributes:
                fields[attributes["name"]] = attributes.get("value", "")
        return urllib.parse.urljoin(self.uri, html.unescape(form[1])), fields


def answer(uri, code, login, ca, accept=True):
    browser = Browser(ca)
    browser.open(uri)
    action, fields = browser.form()
    browser.open(action, {**fields, "user_code": code})

    action, fields = browser.form()
    if fields.get("confirm") != "yes":
        raise SystemExit(f"approve.py: the page does not take the code {code}: {browser.page[:500]}")
    if not accept:
        browser.open(action, {"xsrf": fields["xsrf"], "user_code": code, "abort": "yes"})
        return
    browser.open(action, fields)

    action, fields = browser.form()
    browser.open(action, {**fields, "login": login, "password": "any"})

    action, fields = browser.form()
    browser.open(action, fields)
    if "<form" in browser.page:
        raise SystemExit(f"approve.py: not signed in at the end: {browser.page[:500]}")


if __name__ == "__main__":
    answer(sys.argv[1], sys.argv[2], os.environ["PEER_LOGIN"], os.environ["PEER_CA"], os.environ.get("PEER_ANSWER", "yes") == "yes")
