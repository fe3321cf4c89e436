"""What one process does, the others hear."""

import json

from world import Simulator, Worker, check, expect

HEARD_S = 2


def heard(listener, system, state, seconds=HEARD_S):
    """The event of the system with this state, in time; gives how long it took."""
    event, took = listener.next_event(seconds, lambda event: event["type"] == "system" and event.get("state") == state)
    expect(event["system_id"] == system, event)
    if state != "removed":
        told = listener.state_of(system)
        expect(told == state, f"the event says {state}, and the system {told}")
    return took


def run():
    with Simulator() as simulator, Worker(simulator.options()) as listener, Worker(simulator.options()) as actor:
        listener.ask("subscribe", json.dumps({"types": ["system", "sign_in"]})).ok()
        with check("another process hears within 2 s that a system was added, is being connected, is connected") as this:
            system = actor.add(simulator)
            slowest = heard(listener, system, "not_connected")
            actor.ask("start", system).ok()
            actor.ask("code", system, 20000).ok()
            event, took = listener.next_event(HEARD_S, lambda event: event["type"] == "sign_in" and event["state"] == "code_waiting")
            expect(event["system_id"] == system and event["code"]["user_code"], event)
            slowest = max(slowest, took)
            simulator.approve(event["code"]["user_code"])
            outcome = actor.ask("wait", 30000).ok().json
            event, took = listener.next_event(HEARD_S, lambda event: event["type"] == "sign_in" and event["state"] == "connected")
            expect(event["sign_in_id"] == outcome["sign_in_id"] and event["login_name"] == simulator.account, event)
            slowest = max(slowest, took, heard(listener, system, "connected"))
            this.note(f"slowest {slowest:.2f} s")
        with check("another process hears within 2 s that a system was changed") as this:
            actor.ask("update", system, '{"title": "Another title"}').ok()
            event, took = listener.next_event(HEARD_S, lambda event: event["type"] == "system" and event["change"] == "changed")
            expect(event["state"] == "connected", event)
            expect(listener.ask("get", system).ok().json["title"] == "Another title")
            this.note(f"{took:.2f} s")
        with check("a token that another process refreshed or lost is not given any more") as this:
            before = listener.ask("token", system, 0).ok().text
            newer = actor.ask("token", system, 1_000_000).ok().text
            expect(newer != before, "it was refreshed")
            actor.ask("sign-out", system).ok()
            this.note(f"{heard(listener, system, 'not_connected'):.2f} s")
            refused = listener.ask("token", system, 0)
            expect(refused.status == "MXO_E_SIGN_IN_REQUIRED", refused)
        with check("another process hears within 2 s that somebody must sign in again") as this:
            actor.connect(simulator, system)
            heard(listener, system, "connected")
            simulator.say("revoke", {})
            refused = actor.ask("token", system, 1_000_000)
            expect(refused.status == "MXO_E_SIGN_IN_REQUIRED", refused)
            this.note(f"{heard(listener, system, 'sign_in_required'):.2f} s")
        with check("another process hears within 2 s that a system was removed") as this:
            actor.ask("remove", system).ok()
            this.note(f"{heard(listener, system, 'removed'):.2f} s")
            expect(listener.ask("get", system).status == "MXO_E_NOT_FOUND")
