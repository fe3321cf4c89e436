"""What the truth tests share: the simulator's addresses, its control API, and how a check is told."""

import json
import os
import subprocess
import sys
import traceback
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.environ["READY"], encoding="utf-8") as file:
    READY = json.load(file)
CA = READY["ca_file"]
failures = 0


def check(name):
    """Runs the function right away and says how it went."""

    def run(function):
        global failures
        try:
            function()
            print("ok -", name, flush=True)
        except Exception:
            failures += 1
            print("not ok -", name, flush=True)
            traceback.print_exc()

    return run


def control(verb, body=None):
    """POST with a body, GET without."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{READY['control_url']}/{verb}", data, timeout=30) as answer:
        read = answer.read()
        return json.loads(read) if answer.headers["Content-Type"].startswith("application/json") else read


def person(flow, *words):
    """A person at the pages; the words go to `approve` before and after the code."""
    options = [word for word in words if word.startswith("--")]
    others = [word for word in words if not word.startswith("--")]
    command = [os.path.join(HERE, "..", "approve"), *options, flow["verification_uri"], flow["user_code"], *others]
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)


def same(seen, expected):
    if seen != expected:
        raise AssertionError(f"{seen!r} is not {expected!r}")


def end():
    sys.exit(1 if failures else 0)
