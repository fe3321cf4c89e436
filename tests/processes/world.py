"""What the tests of many processes stand on: the simulator as a program of its own, workers (worker.c, one.php), checks."""

import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIBRARY_DIR = Path(os.environ.get("LIBRARY_DIR", ROOT / "target/debug")).resolve()
SIMULATOR = Path(os.environ.get("SIMULATOR", ROOT / "target/debug/exchange-simulator")).resolve()
LONG = bool(os.environ.get("MXO_LONG"))

# The CA comes with the system's settings, and nothing here goes through a proxy: what else this machine knows must not help.
CHILD_ENVIRONMENT = {
    name: value for name, value in os.environ.items()
    if name not in ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE") and "proxy" not in name.lower()
} | {"LD_LIBRARY_PATH": str(LIBRARY_DIR)}


# --- checks ---

class Failed(Exception):
    """What a test hoped for did not happen; the text says what did."""


def expect(what, said=""):
    if not what:
        raise Failed(said() if callable(said) else str(said))


counts = {True: 0, False: 0}


class check:
    """`with check(SENTENCE): …` prints `ok - SENTENCE`, or `not ok - SENTENCE` and what was said. It goes on in either case."""

    def __init__(self, sentence):
        self.sentence, self.notes = sentence, []

    def note(self, text):
        """Something worth reading although it went well, as a duration."""
        self.notes.append(text)

    def __enter__(self):
        self.begun = time.monotonic()
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and not issubclass(kind, Exception):
            return False
        good = error is None
        counts[good] += 1
        took = f"{time.monotonic() - self.begun:.1f} s"
        print(f"{'ok' if good else 'not ok'} - {self.sentence} ({'; '.join([*self.notes, took])})")
        if not good:
            while trace.tb_next is not None:
                trace = trace.tb_next
            where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
            print(f"#   {where}: {kind.__name__}: {error}"[:3000].replace("\n", "\n#   "))
        sys.stdout.flush()
        return True


def until(seconds, what, said="it never came to pass", pause=0.02):
    """Waits until `what` gives something true, and gives that."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        expect(time.monotonic() < end, said)
        time.sleep(pause)


def in_ms(milliseconds):
    """A moment a little ahead, on the clock that all processes share."""
    return int(time.time() * 1000) + milliseconds


def fingerprint(token):
    """What of a token may be seen."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


# --- the simulator ---

class Simulator:
    """A simulator with a working directory of its own, where data directories find a place too."""

    def __init__(self, **knobs):
        self.temporary = tempfile.TemporaryDirectory(prefix="mxo-processes-")
        self.home = Path(self.temporary.name)
        directory = self.home / "simulator"
        directory.mkdir()
        self.process = subprocess.Popen(
            [SIMULATOR, "--directory", directory], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=CHILD_ENVIRONMENT)
        ready = directory / "ready.json"
        try:
            until(30, lambda: ready.exists() or self.process.poll() is not None, "the simulator does not start")
            expect(ready.exists(), "the simulator ended")
            told = json.loads(ready.read_text())
        except BaseException:
            self.close()
            raise
        self.client_id, self.tenant_id, self.account = told["client_id"], told["tenant_id"], told["account"]
        self.settings = (directory / "settings.json").read_text()
        self.settings = json.dumps(json.loads(self.settings))
        self.control = told["control_url"]
        trust = ssl.create_default_context(cafile=told["ca_file"])
        self.opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust), urllib.request.ProxyHandler({}))
        self.set(**{"interval_s": 1, **knobs})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.temporary.cleanup()

    def say(self, verb, body):
        data = json.dumps(body).encode() if body is not None else None
        try:
            with self.opener.open(f"{self.control}/{verb}", data, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise Failed(f"/simulator/{verb}: {error.read().decode()}") from error

    def set(self, **knobs):
        self.say("set", knobs)

    def misbehave(self, **rule):
        self.say("misbehave", rule)

    def behave(self):
        self.say("behave", {})

    def approve(self, user_code):
        self.say("approve", {"user_code": user_code})

    def requests(self):
        return self.say("requests", None)

    def mails(self):
        return self.say("mails", None)

    def refreshes(self):
        return [request for request in self.requests() if request["form"].get("grant_type") == "refresh_token"]

    def polls(self):
        return [request for request in self.requests() if "device_code" in request["form"]]

    def codes(self):
        return [request for request in self.requests() if request["path"].endswith("/devicecode")]

    def options(self, data="data", **options):
        """Options of a connector with a data directory in this simulator's home."""
        return json.dumps({"data_directory": str(self.home / data), "proxy": "none", **options})


# --- workers ---

class Answer:
    """The status of a call by its name, and what was told."""

    def __init__(self, line):
        self.status, _, self.text = line.rstrip("\n").partition("\t")

    @property
    def json(self):
        return json.loads(self.text)

    def ok(self):
        expect(self.status == "MXO_OK", f"{self.status} {self.text}")
        return self

    def __repr__(self):
        return f"{self.status} {self.text[:200] if self.text.startswith('{') else ''}"


class Worker:
    """A process that has the library loaded and does what it is told."""

    program = None

    def __init__(self, options=None):
        self.process = subprocess.Popen(
            [self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=CHILD_ENVIRONMENT, text=True, bufsize=1)
        if options is not None:
            self.ask("open", options).ok()

    @classmethod
    def build(cls, directory):
        cls.program = Path(directory) / "worker"
        command = ["gcc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}", HERE / "worker.c", "-o",
                   cls.program, f"-L{LIBRARY_DIR}", f"-Wl,-rpath,{LIBRARY_DIR}", "-lmyq_exchange_online", "-pthread"]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        expect(built.returncode == 0, built.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def tell(self, verb, *arguments):
        """Gives an order without awaiting its answer."""
        self.process.stdin.write("\t".join([verb, *map(str, arguments)]) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        expect(line, "the worker is gone")
        return Answer(line)

    def ask(self, verb, *arguments):
        self.tell(verb, *arguments)
        return self.answer()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.finish()

    def end(self):
        """Closes its input; it closes its connector and ends."""
        if self.process.poll() is None:
            try:
                self.process.stdin.close()
                self.process.wait(20)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self.process.kill()
        self.finish()

    def finish(self):
        self.process.wait(20)
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    # What nearly every test does.

    def add(self, simulator):
        return self.ask("add", simulator.client_id, simulator.tenant_id, simulator.settings).ok().text

    def begin(self, system):
        """Begins a sign-in; gives the code that the person types."""
        self.ask("start", system).ok()
        return self.ask("code", system, 20000).ok().json["user_code"]

    def connect(self, simulator, system):
        simulator.approve(self.begin(system))
        outcome = self.ask("wait", 60000).ok().json
        expect(outcome["state"] == "connected" and outcome["warnings"] == [], outcome)

    def state_of(self, system):
        return self.ask("get", system).ok().json["status"]["state"]

    def next_event(self, seconds, fits):
        """Reads events until one fits; gives it and how long it took."""
        begun = time.monotonic()
        while True:
            left = seconds - (time.monotonic() - begun)
            expect(left > 0, f"no such event in {seconds} s")
            answer = self.ask("event", int(left * 1000))
            if answer.status == "MXO_OK" and fits(answer.json):
                return answer.json, time.monotonic() - begun
