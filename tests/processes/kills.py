"""A process is killed while it refreshes. Whoever asks next gets a token, and nobody has to sign in again.

Each lane has a simulator and a data directory of its own and goes through rounds: the token has ended, a process asks for
one and is killed at a random moment, another process asks.
"""

import random
import threading
import time

from world import LONG, Simulator, Worker, check, expect

LANES, ROUNDS = (10, 20) if LONG else (10, 2)
TOKEN_S = 2
# Answers take up to so long, all of it after the refresh token was rotated.
ANSWER_MS = 100
# A lease of eight seconds, and some.
TAKEOVER_S = 15
LENIENT = {"rotation": "lenient"}
STRICT = {"rotation": "strict", "rotation_grace_s": 60}


class Lane(threading.Thread):
    def __init__(self, knobs):
        super().__init__()
        self.knobs = knobs
        self.failure = None
        self.takeovers, self.killed = [], {"before": 0, "meanwhile": 0, "afterwards": 0}

    def run(self):
        try:
            with Simulator(access_token_lifetime_s=TOKEN_S, **self.knobs) as simulator:
                self.simulator = simulator
                with Worker(simulator.options()) as host:
                    self.system = host.add(simulator)
                    host.connect(simulator, self.system)
                time.sleep(TOKEN_S)
                begun = time.monotonic()
                self.ask()
                # From the start of a process to its token; unhurried ones are killed later.
                usual_s = time.monotonic() - begun
                simulator.misbehave(name="delay", ms=ANSWER_MS, random=True, when="unanswered", at="refresh")
                for _ in range(ROUNDS):
                    time.sleep(TOKEN_S + 0.1)
                    self.round(random.uniform(0, usual_s + ANSWER_MS / 1000))
        except Exception as failure:
            self.failure = failure

    def ask(self):
        with Worker(self.simulator.options()) as worker:
            answer = worker.ask("token", self.system, 0)
            state = worker.state_of(self.system)
        expect(answer.status == "MXO_OK" and state == "connected", f"{answer}, the system is {state}")
        return answer.text

    def round(self, kill_after_s):
        before = len(self.simulator.refreshes())
        # Its orders wait for it.
        with Worker() as victim:
            victim.tell("open", self.simulator.options())
            victim.tell("token", self.system, 0)
            time.sleep(kill_after_s)
            victim.kill()
        seen = self.simulator.refreshes()[before:]
        begun = time.monotonic()
        self.ask()
        self.takeovers.append(time.monotonic() - begun)
        answered = self.simulator.refreshes()[before:before + 1][0]["status"] == 200 if seen else False
        self.killed["before" if not seen else "afterwards" if answered else "meanwhile"] += 1
        expect(self.takeovers[-1] < TAKEOVER_S, f"the next process waited {self.takeovers[-1]:.1f} s for its token")
        asked = len(self.simulator.refreshes()) - before
        expect(asked <= 2, f"{asked} refreshes in one round")


def run():
    kills = LANES * ROUNDS
    with check(f"{kills} processes are killed around their refresh: the next one has a token, and nobody must sign in") as this:
        lanes = [Lane(LENIENT if number % 2 == 0 else STRICT) for number in range(LANES)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        failures = [f"{lane.knobs['rotation']}: {lane.failure!r}" for lane in lanes if lane.failure is not None]
        expect(not failures, "; ".join(failures))
        killed = {when: sum(lane.killed[when] for lane in lanes) for when in lanes[0].killed}
        expect(sum(killed.values()) == kills, killed)
        # A test whose processes all die too early tests nothing.
        expect(killed["meanwhile"] > 0, killed)
        this.note(f"{killed['before']} before the service was asked, {killed['meanwhile']} before it had answered, {killed['afterwards']} afterwards")
        this.note(f"longest takeover {max(takeover for lane in lanes for takeover in lane.takeovers):.1f} s")
