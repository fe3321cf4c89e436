"""Judges what lower_interval.py has recorded.

    judge.py RECORD ASPECT      says what is wrong and ends with 1, or says nothing
"""

import json
import sys

INTERVAL = 1  # what lower_interval.py announced
LONGER = 5  # RFC 8628, section 3.5
with open(sys.argv[1]) as f:
    record = [json.loads(line) for line in f]
polls = [entry for entry in record if entry["what"] == "poll"]


def first(error):
    found = [n for n, poll in enumerate(polls) if poll["error"] == error]
    if not found:
        raise SystemExit(f"no poll was answered by {error}")
    return found[0]


def pauses(entries, least):
    for before, after in zip(entries, entries[1:]):
        pause = after["time"] - before["answered"]
        if pause < least - 0.05:  # clocks of two processes
            raise SystemExit(f"polled {pause:.2f} s after the answer before, which is less than {least} s")


def interval():
    device = [entry for entry in record if entry["what"] == "device"]
    if len(device) != 1:
        raise SystemExit(f"{len(device)} device codes were asked for")
    pauses(polls[: first("slow_down") + 1], INTERVAL)


def slow_down():
    told = first("slow_down")
    pauses(polls[told:], INTERVAL + LONGER)
    if [poll["status"] for poll in polls].count(200) != 1 or polls[-1]["status"] != 200:
        raise SystemExit("the last poll, and it alone, should have got the tokens")
    if any(poll["error"] == "slow_down" for poll in polls[told + 1 :]):
        raise SystemExit("it was told to slow down again")


def refresh():
    signed_in = polls[-1]
    refreshed = [entry for entry in record if entry["what"] == "refresh"]
    if not refreshed or any(entry["status"] != 200 for entry in refreshed):
        raise SystemExit("there should be refreshes, and none refused")
    for before, entry in zip([signed_in, *refreshed], refreshed):
        if entry["used_refresh"] != before["refresh"]:
            raise SystemExit("a refresh token was used that is not the newest")
    access = [signed_in["access"], *(entry["access"] for entry in refreshed)]
    if None in access or len(set(access)) != len(access):
        raise SystemExit(f"each refresh should bring another access token: {access}")


{"interval": interval, "slow_down": slow_down, "refresh": refresh}[sys.argv[2]]()
