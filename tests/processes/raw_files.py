"""What somebody finds who reads the files of a data directory."""

import base64
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from world import Simulator, Worker, check, expect

MORE_THAN_ANY_S = 1_000_000
# A sealed value may lie across pages; its pieces do not all do.
PIECE = 16


def raw(simulator):
    """Every file of the data directory, octet by octet; not the key, which is random."""
    return {path.name: path.read_bytes() for path in (simulator.home / "data").iterdir() if path.name not in ("key", "lock")}


def pieces(value):
    return [value[at:at + PIECE] for at in range(0, len(value) - PIECE + 1, PIECE)]


def forms(secret):
    """A secret as it is, in hexadecimal, and in base64 wherever in a group of three octets it begins."""
    plain = secret.encode()
    found = {plain, plain.hex().encode(), plain.hex().upper().encode()}
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # The outermost groups hold neighbours too.
            found.add(encode(b" " * before + plain)[4:-4])
    return found


def holds_none(files, secrets, when):
    for what, secret in secrets:
        expect(len(secret) > 20, f"this test is blind: {what}")
        for form in forms(secret):
            for name, content in files.items():
                # A part of it would be enough for somebody.
                expect(form[:64] not in content and form[-64:] not in content, f"{when}: {what} is in {name}")


def sealed(simulator):
    """The sealed values as they stand in the database, read from a copy: nobody may open the file itself."""
    with tempfile.TemporaryDirectory(dir=simulator.home) as copy:
        for path in (simulator.home / "data").glob("store.sqlite3*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, copy)
        database = sqlite3.connect(Path(copy) / "store.sqlite3")
        values = []
        for table in ("grants", "sign_ins"):
            for row in database.execute(f"SELECT * FROM {table}"):
                values += [value for value in row if isinstance(value, bytes)]
        database.close()
    return values


def found(simulator, values):
    """How many pieces of these values are in the files, and of how many."""
    everything = b"\n".join(raw(simulator).values())
    all_pieces = [piece for value in values for piece in pieces(value)]
    return sum(piece in everything for piece in all_pieces), len(all_pieces)


def no_secret_is_plain():
    with check("the raw files hold no token and no device code: as it is, in hexadecimal, in base64") as this, Simulator() as simulator:
        files = {}
        with Worker(simulator.options()) as host:
            system = host.add(simulator)
            user_code = host.begin(system)
            files["while the code is shown"] = raw(simulator)
            device_code = simulator.polls()[0]["form"]["device_code"]
            expect(len(sealed(simulator)) == 1, "the sealed device code")
            simulator.approve(user_code)
            host.ask("wait", 30000).ok()
            access = [host.ask("token", system, 0).ok().text]
            files["connected"] = raw(simulator)
            expect(len(sealed(simulator)) == 2, "two sealed tokens, and no device code any more")
            # It ends soon, so that the next one is refreshed too.
            simulator.set(access_token_lifetime_s=2)
            access.append(host.ask("token", system, MORE_THAN_ANY_S).ok().text)
            expect(access[0] != access[1], "it was refreshed")
            files["refreshed"] = raw(simulator)
        files["closed"] = raw(simulator)
        # What was in the files is told when it is used.
        time.sleep(2)
        with Worker(simulator.options()) as host:
            host.ask("token", system, MORE_THAN_ANY_S).ok()
        refresh = [request["form"]["refresh_token"] for request in simulator.refreshes()]
        expect(len(set(refresh)) >= 2, f"{len(refresh)} refresh tokens are known")
        files["at the end"] = raw(simulator)
        secrets = [("the device code", device_code)]
        secrets += [("an access token", token) for token in access] + [("a refresh token", token) for token in refresh]
        for when, content in files.items():
            expect(any(simulator.client_id.encode() in text for text in content.values()), f"{when}: this test is blind")
            holds_none(content, secrets, when)
        expect("store.sqlite3-wal" in files["connected"] and files["connected"]["store.sqlite3-wal"], "this test is blind")
        this.note(f"{len(secrets)} secrets, {len(files)} moments")


def nothing_sealed_is_left():
    another = "11111111-2222-4333-8444-555555555555"
    acts = [
        ("signed out", lambda host, system: host.ask("sign-out", system)),
        ("of another client ID", lambda host, system: host.ask("update", system, f'{{"client_id": "{another}"}}')),
        ("of another tenant", lambda host, system: host.ask("update", system, f'{{"tenant_id": "{another}"}}')),
        ("removed", lambda host, system: host.ask("remove", system)),
    ]
    for what, act in acts:
        with check(f"a system that is {what} leaves nothing in the files, not even sealed") as this, Simulator() as simulator:
            with Worker(simulator.options()) as reader, Worker(simulator.options()) as host:
                system = host.add(simulator)
                host.connect(simulator, system)
                old = sealed(simulator)
                # A second sign-in, whose device code is there too.
                host.begin(system)
                old += sealed(simulator)
                host.ask("token", system, MORE_THAN_ANY_S).ok()
                current = sealed(simulator)
                expect(len(current) == 3, f"{len(current)} sealed values")
                there, of = found(simulator, current)
                expect(there == of and of > 100, f"this test is blind: {there} of {of}")
                old += current
                # Another process reads now and then, and has nothing under way.
                reader.state_of(system)
                act(host, system).ok()
                left, of = found(simulator, old)
                expect(left == 0, f"{left} of {of} pieces are left while two processes have it open")
            left, of = found(simulator, old)
            expect(left == 0, f"{left} of {of} pieces are left after all have closed")
            this.note(f"{of} pieces")


def run():
    no_secret_is_plain()
    nothing_sealed_is_left()
