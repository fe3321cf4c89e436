"""Stands before Glewlwyd with TLS, tells clients a polling interval that Glewlwyd finds too short, and keeps a record.

    lower_interval.py PORT CERTIFICATE KEY BACKEND_PORT RECORD

Glewlwyd says slow_down to whom polls more often than its interval; but it announces that interval, so that a good client
never meets the answer. Here the announcement says 1 s. RECORD gets a line of JSON for each device and token request.
"""

import hashlib
import http.client
import http.server
import json
import ssl
import sys
import time
import urllib.parse

LOWERED = 1
port, certificate, key, backend, record = sys.argv[1:]


def digest(token):
    """Enough to tell tokens apart without writing them down."""
    return token and hashlib.sha256(token.encode()).hexdigest()[:16]


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def forward(self):
        came = time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection("127.0.0.1", int(backend), timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()

        path = self.path.partition("?")[0].rstrip("/")
        if path.endswith("/device_authorization"):
            content = self.device(came, answer.status, content)
        elif path.endswith("/token"):
            self.token(came, answer.status, body, content)

        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = forward

    def device(self, came, status, content):
        said = json.loads(content or b"{}")
        self.note(came, what="device", status=status, announced=said.get("interval"), error=said.get("error"))
        if status != 200:
            return content
        said["interval"] = LOWERED
        return json.dumps(said).encode()

    def token(self, came, status, body, content):
        asked = dict(urllib.parse.parse_qsl(body.decode()))
        said = json.loads(content or b"{}")
        self.note(
            came,
            what="refresh" if asked.get("grant_type") == "refresh_token" else "poll",
            status=status,
            error=said.get("error"),
            used_refresh=digest(asked.get("refresh_token")),
            access=digest(said.get("access_token")),
            refresh=digest(said.get("refresh_token")),
        )

    def note(self, came, **entry):
        with open(record, "a") as f:
            f.write(json.dumps({"time": round(came, 3), "answered": round(time.monotonic(), 3), **entry}) + "\n")

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Proxy)
# The handshake is left to each connection's own thread: a client that is slow with it does not hold up the others.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
