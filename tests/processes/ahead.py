"""Tokens are refreshed before anybody asks, by a connector that was opened for it, and by one only."""

import time

from world import Simulator, Worker, check, expect, until

LIFE_S = 12
# src/connector/refresher.rs: after 66 to 76 percent of its life, and it looks once a second at the oftenest.
EARLIEST_S, LATEST_S = 0.66 * LIFE_S, 0.77 * LIFE_S + 1.5


def run():
    with check("four connectors with run_refresh refresh once, ahead of the end, with nobody asking") as this:
        with Simulator(access_token_lifetime_s=LIFE_S, rotation="revoking") as simulator:
            with Worker(simulator.options()) as host:
                system = host.add(simulator)
                host.connect(simulator, system)
                connected = time.monotonic()
            workers = [Worker(simulator.options(run_refresh=True)) for _ in range(4)]
            try:
                simulator.set(access_token_lifetime_s=None)
                until(LIFE_S, simulator.refreshes, f"nobody refreshed in {LIFE_S} s")
                after = time.monotonic() - connected
                expect(EARLIEST_S - 1 < after < LATEST_S, f"after {after:.1f} s")
                time.sleep(LIFE_S - after + 1)
                tokens = {worker.ask("token", system, 0).ok().text for worker in workers}
                expect(len(tokens) == 1, f"{len(tokens)} tokens")
            finally:
                for worker in workers:
                    worker.end()
            asked = [request["status"] for request in simulator.refreshes()]
            expect(asked == [200], asked)
            this.note(f"after {after:.1f} of {LIFE_S} s")

    with check("without run_refresh nobody refreshes before somebody asks"):
        with Simulator(access_token_lifetime_s=2) as simulator, Worker(simulator.options()) as host:
            system = host.add(simulator)
            host.connect(simulator, system)
            time.sleep(4)
            expect(not simulator.refreshes(), "it was refreshed")
            host.ask("token", system, 0).ok()
            expect(len(simulator.refreshes()) == 1)
