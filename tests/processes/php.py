"""A host that is PHP alone: one process for each call. And the same beside a process that holds the sign-in."""

import subprocess
import threading
import time

from world import CHILD_ENVIRONMENT, HERE, Answer, Simulator, Worker, check, expect, fingerprint, until

INTERVAL_S = 2
# Clocks of two processes do not agree to the millisecond; the simulator grants as much.
TOLERANCE_MS = 50
LEASE_S = 8
RUNNING = ("starting", "code_waiting", "proving")


def php(verb, simulator, *arguments):
    """A whole life of a PHP process."""
    command = ["php", "-d", "ffi.enable=1", HERE / "one.php", verb, simulator.options(), *map(str, arguments)]
    done = subprocess.run(command, env=CHILD_ENVIRONMENT, capture_output=True, text=True, timeout=90, check=False)
    expect(done.returncode == 0 and done.stdout.count("\n") == 1, f"php {verb}: {done.returncode} {done.stdout}{done.stderr}")
    return Answer(done.stdout)


class Page(threading.Thread):
    """A web page that asks where the sign-in stands until it has ended, by a new process each time."""

    def __init__(self, simulator, system, pause_s, timeout_ms=1500):
        super().__init__()
        self.simulator, self.system, self.pause_s, self.timeout_ms = simulator, system, pause_s, timeout_ms
        self.asked, self.last, self.failure, self.stop = 0, None, None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self.stop.is_set():
                self.last = php("state", self.simulator, self.system, self.timeout_ms).ok().json
                self.asked += 1
                if self.last["state"] not in RUNNING:
                    return
                self.stop.wait(self.pause_s)
        except Exception as failure:
            self.failure = failure

    def end(self, seconds=0):
        """Waits for the end of the sign-in, if seconds are given."""
        self.join(seconds)
        ended = not self.is_alive()
        self.stop.set()
        self.join()
        if self.failure is not None:
            raise self.failure
        expect(ended or not seconds, f"after {seconds} s the sign-in stands at {self.last}")
        return self.last


def in_time(simulator, sign_ins=1):
    """Nobody polled too early, and nobody was told so."""
    polls = simulator.polls()
    codes = {poll["form"]["device_code"] for poll in polls}
    expect(len(codes) == sign_ins, f"{len(codes)} device codes")
    for code in codes:
        times = [poll["at_ms"] for poll in polls if poll["form"]["device_code"] == code]
        gaps = [later - earlier for earlier, later in zip(times, times[1:])]
        expect(all(gap >= INTERVAL_S * 1000 - TOLERANCE_MS for gap in gaps), f"milliseconds between polls: {gaps}")
    told = {poll["error"] for poll in polls} - {None, "authorization_pending"}
    expect(not told, f"the service told a poll: {told}")
    return len(polls)


def polls_go_on(simulator, count, seconds=20):
    before = len(simulator.polls())
    until(seconds, lambda: len(simulator.polls()) >= before + count, lambda: f"{len(simulator.polls()) - before} polls in {seconds} s")


def world():
    return Simulator(interval_s=INTERVAL_S, slow_down=True)


def one_process_for_each_call():
    with check("PHP alone, one process for each call: it connects, and polls no oftener than it may") as this, world() as simulator:
        system = php("add", simulator, simulator.client_id, simulator.tenant_id, simulator.settings).ok().text
        php("start", simulator, system).ok()
        # The process that began it is gone, perhaps before there was a code.
        user_code = until(20, lambda: php("code", simulator, system, 3000).text, "no code")
        expect(php("state", simulator, system, 0).ok().json["state"] == "code_waiting")
        page = Page(simulator, system, 1)
        polls_go_on(simulator, 2)
        simulator.approve(user_code)
        expect(page.end(20)["state"] == "connected", page.last)
        this.note(f"{page.asked} pages, {in_time(simulator)} polls")
        expect(len(simulator.codes()) == 1, "it asked for one code")

    with check("PHP alone: a process that begins a sign-in and ends keeps nobody waiting for its code, 10 times") as this, world() as simulator:
        slowest = 0
        for _ in range(10):
            system = php("add", simulator, simulator.client_id, simulator.tenant_id, simulator.settings).ok().text
            php("start", simulator, system).ok()
            begun = time.monotonic()
            until(20, lambda: php("code", simulator, system, 3000).text, "no code")
            slowest = max(slowest, time.monotonic() - begun)
        expect(slowest < LEASE_S / 2, f"the slowest code came after {slowest:.1f} s")
        this.note(f"slowest {slowest:.1f} s")

    with check("PHP alone: a token by one process, a mail by the next") as this, world() as simulator:
        with Worker(simulator.options()) as host:
            system = host.add(simulator)
            host.connect(simulator, system)
        token = php("token", simulator, system).ok().text
        expect(len(token) > 1000 and fingerprint(php("token", simulator, system).ok().text) == fingerprint(token), "one token")
        php("send", simulator, system, "bob@example.test").ok()
        expect([mail["recipients"] for mail in simulator.mails()] == [["bob@example.test"]], "one mail")
        expect(not simulator.refreshes(), "there was no need to refresh")

    with check("PHP alone: a page that only looks (timeout 0) asks the service nothing") as this, world() as simulator:
        system = php("add", simulator, simulator.client_id, simulator.tenant_id, simulator.settings).ok().text
        php("start", simulator, system).ok()
        until(20, lambda: php("code", simulator, system, 3000).text, "no code")
        before = len(simulator.polls())
        page = Page(simulator, system, 0.1, timeout_ms=0)
        time.sleep(2 * INTERVAL_S)
        page.end()
        expect(page.asked > 5 and len(simulator.polls()) == before, f"{page.asked} looks, {len(simulator.polls()) - before} polls")


def beside_a_holder():
    with check("four PHP pages beside the process that holds the sign-in: not one poll too many") as this, world() as simulator:
        with Worker(simulator.options()) as holder:
            system = holder.add(simulator)
            user_code = holder.begin(system)
            pages = [Page(simulator, system, 0.05) for _ in range(4)]
            polls_go_on(simulator, 4)
            simulator.approve(user_code)
            expect(holder.ask("wait", 30000).ok().json["state"] == "connected")
            expect({page.end(20)["state"] for page in pages} == {"connected"}, [page.last for page in pages])
        this.note(f"{sum(page.asked for page in pages)} pages, {in_time(simulator)} polls")

    with check("a process that holds the sign-in asks for its state all the time: not one poll too many") as this, world() as simulator:
        with Worker(simulator.options()) as holder:
            system = holder.add(simulator)
            user_code = holder.begin(system)
            end = time.monotonic() + 4 * INTERVAL_S
            asked = 0
            while time.monotonic() < end:
                holder.ask("state", system, 1000).ok()
                asked += 1
            simulator.approve(user_code)
            holder.ask("wait", 30000).ok()
        this.note(f"asked {asked} times, {in_time(simulator)} polls")

    with check("the holder is killed: PHP pages take over, and it connects") as this, world() as simulator:
        with Worker(simulator.options()) as holder:
            system = holder.add(simulator)
            user_code = holder.begin(system)
            pages = [Page(simulator, system, 0.05) for _ in range(4)]
            polls_go_on(simulator, 1)
            holder.kill()
            killed = time.monotonic()
            polls_go_on(simulator, 1, LEASE_S + INTERVAL_S + 2)
            this.note(f"the next poll came after {time.monotonic() - killed:.1f} s")
            simulator.approve(user_code)
            expect({page.end(LEASE_S + 20)["state"] for page in pages} == {"connected"}, [page.last for page in pages])
        in_time(simulator)

    with check("the holder is killed while it polls: PHP pages take over after its lease, and it connects") as this, world() as simulator:
        with Worker(simulator.options()) as holder:
            system = holder.add(simulator)
            user_code = holder.begin(system)
            # The next poll's answer does not come before the holder is gone.
            simulator.misbehave(name="withhold", at="poll", when="before", times=1)
            polls_go_on(simulator, 1)
            holder.kill()
        killed = time.monotonic()
        pages = [Page(simulator, system, 0.05) for _ in range(4)]
        polls_go_on(simulator, 1, LEASE_S + INTERVAL_S + 2)
        this.note(f"the next poll came after {time.monotonic() - killed:.1f} s")
        simulator.approve(user_code)
        expect({page.end(LEASE_S + 20)["state"] for page in pages} == {"connected"}, [page.last for page in pages])
        in_time(simulator)

    with check("the holder closes while the answer that connects is on its way: it is not lost") as this, world() as simulator:
        with Worker(simulator.options()) as holder:
            system = holder.add(simulator)
            user_code = holder.begin(system)
            simulator.misbehave(name="delay", ms=400, when="unanswered", at="poll")
            simulator.approve(user_code)
            polls_go_on(simulator, 1)
            holder.ask("close").ok()
        closed = time.monotonic()
        expect(Page(simulator, system, 0.2).end(LEASE_S + 20)["state"] == "connected")
        this.note(f"connected {time.monotonic() - closed:.1f} s later")
        in_time(simulator)

    with check("the holder is killed while nobody asks: a connector that runs sign-ins sees it through") as this, world() as simulator:
        with Worker(simulator.options(run_sign_ins=True)) as runner, Worker(simulator.options()) as holder:
            system = holder.add(simulator)
            user_code = holder.begin(system)
            holder.kill()
            simulator.approve(user_code)
            until(LEASE_S + 20, lambda: runner.state_of(system) == "connected", lambda: runner.state_of(system), 0.2)
        in_time(simulator)

    with check("another process cancels: the holder's operation has ended within 2 s") as this, world() as simulator:
        with Worker(simulator.options()) as holder:
            system = holder.add(simulator)
            holder.begin(system)
            holder.tell("wait", 30000)
            php("cancel", simulator, system).ok()
            cancelled = time.monotonic()
            ended = holder.answer()
            took = time.monotonic() - cancelled
            expect(ended.status == "MXO_E_CANCELED" and took < 2, f"{ended} after {took:.1f} s")
            expect(php("state", simulator, system, 0).ok().json["name"] == "MXO_E_CANCELED")
            polls = len(simulator.polls())
            time.sleep(INTERVAL_S + 1)
            expect(len(simulator.polls()) == polls, "nobody polls any more")
        this.note(f"after {took:.1f} s")

    with check("a second process joins: both operations end well, with one code") as this, world() as simulator:
        with Worker(simulator.options()) as one, Worker(simulator.options()) as other:
            system = one.add(simulator)
            user_code = one.begin(system)
            expect(other.begin(system) == user_code, "it is the same code")
            one.tell("wait", 30000)
            other.tell("wait", 30000)
            polls_go_on(simulator, 1)
            simulator.approve(user_code)
            outcomes = [worker.answer().ok().json for worker in (one, other)]
            expect([outcome["state"] for outcome in outcomes] == ["connected"] * 2, outcomes)
            expect(outcomes[0]["sign_in_id"] == outcomes[1]["sign_in_id"], "one sign-in")
        in_time(simulator)
        expect(len(simulator.codes()) == 1, "one code was asked for")


def run():
    one_process_for_each_call()
    beside_a_holder()
