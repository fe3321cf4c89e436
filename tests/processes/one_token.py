"""Many processes ask for a token at the same moment, when the one in the store has ended: one refresh, and the same for all."""

import time

from world import LONG, Simulator, Worker, check, expect, fingerprint, in_ms

PROCESSES, THREADS = 16, 8
# Time for 16 processes to be told; what they then do begins at one moment.
HEADSTART_MS = 1500


def expired(simulator):
    """A connected system whose access token has ended, and none longer than usual to come."""
    simulator.set(access_token_lifetime_s=2)
    with Worker(simulator.options()) as host:
        system = host.add(simulator)
        host.connect(simulator, system)
        time.sleep(2)
    simulator.set(access_token_lifetime_s=None)
    return system


def all_ask(simulator, system, open_already, slowest_s, refreshes):
    """Gives how long the slowest had to wait."""
    before = len(simulator.refreshes())
    workers = [Worker(simulator.options() if open_already else None) for _ in range(PROCESSES)]
    try:
        moment = in_ms(HEADSTART_MS)
        for worker in workers:
            if not open_already:
                worker.tell("at", moment)
                worker.tell("open", simulator.options())
            worker.tell("tokens", system, THREADS, moment)
        got = []
        for worker in workers:
            if not open_already:
                worker.answer().ok()
                worker.answer().ok()
            got += [worker.answer() for _ in range(THREADS)]
        took = time.time() - moment / 1000
        states = {worker.state_of(system) for worker in workers[:3]}
    finally:
        for worker in workers:
            worker.end()
    bad = [answer for answer in got if answer.status != "MXO_OK"]
    expect(not bad, f"{len(bad)} of {len(got)} calls failed, the first with {bad[:1]}")
    tokens = {fingerprint(answer.text) for answer in got}
    expect(len(got) == PROCESSES * THREADS and len(tokens) == 1, f"{len(tokens)} tokens for {len(got)} calls")
    asked = simulator.refreshes()[before:]
    asked = [request["status"] for request in asked]
    expect(asked == refreshes, f"the service answered {asked} to refreshes, and not {refreshes}")
    expect(states == {"connected"}, states)
    expect(took < slowest_s, f"the slowest waited {took:.1f} s")
    return f"the slowest waited {took:.1f} s"


ROUNDS = 10 if LONG else 2


def run():
    everybody = f"{PROCESSES} processes with {THREADS} threads each"
    # What, how the service is, whether they have the store open already, seconds that the slowest may wait, refreshes.
    cases = [
        ("ask at once", None, True, 10, [200]),
        ("open and ask at once", None, False, 20, [200]),
        ("ask a service that takes 3 s", {"name": "delay", "ms": 3000, "at": "refresh"}, True, 13, [200]),
        ("ask a service that fails once", {"name": "http", "status": 503, "at": "refresh", "times": 1}, True, 15, [503, 200]),
    ]
    for what, rule, open_already, slowest_s, refreshes in cases:
        with check(f"{everybody} {what}, {ROUNDS} times: one refresh, one token") as this:
            for _ in range(ROUNDS):
                # To use a refresh token twice would be fatal here.
                with Simulator(rotation="revoking") as simulator:
                    system = expired(simulator)
                    if rule is not None:
                        simulator.misbehave(**rule)
                    this.note(all_ask(simulator, system, open_already, slowest_s, refreshes))
