"""Foreign clients on other stacks, run as processes: steps in, answers out (the scripts in clients/ say which)."""

import json
import pathlib
import subprocess
import sys

from support.client import Sample, time_of

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "clients"
COMMANDS = {
    "node": ["node", FOLDER / "node_client.mjs"],
    "o6": [sys.executable, FOLDER / "o6_client.py"],
}


def run_steps(stack, url, folder, identity, *steps, timeout_s=120, user=None, policy=None, mode=None):
    """What each step gave; fails with the client's own words. Without identity: policy None."""
    options = {"url": url, "folder": str(folder / "node-client-pki"), "steps": steps}
    if user:  # name and password, or certificate and key
        options["user"] = user
    if policy:
        options |= {"policy": policy, "mode": mode}
    if identity:
        options |= {"application_uri": identity.uri, "certificate": str(identity.certificate), "key": str(identity.key)}
    done = subprocess.run([*COMMANDS[stack], json.dumps(options)], capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stderr[-4000:]
    # The libraries print to the same stream, some of it after the answers.
    return json.loads(next(line for line in reversed(done.stdout.split("\n")) if line.startswith("[")))


def samples_of(answers):
    return [Sample(answer["value"], answer["status"], answer["source"] and time_of(answer["source"])) for answer in answers]
