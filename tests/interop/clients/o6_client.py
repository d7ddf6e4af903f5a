"""A client on the open62541 stack (o6), over Basic256Sha256 SignAndEncrypt if nothing else is said. Options and output as those of node_client.mjs;
steps: read, browse, history. A process of its own: the library prints a banner and ends its host after ten minutes.
"""

import datetime
import json
import re
import sys

import o6

MODES = {"Sign": o6.SecurityMode.SIGN, "SignAndEncrypt": o6.SecurityMode.SIGN_AND_ENCRYPT}
POLICIES = {
    "Basic256Sha256": o6.SecurityPolicy.BASIC256SHA256,
    "Aes128_Sha256_RsaOaep": o6.SecurityPolicy.AES128_SHA256_RSAOAEP,
    "Aes256_Sha256_RsaPss": o6.SecurityPolicy.AES256_SHA256_RSAPSS,
}
options = json.loads(sys.argv[1])
user = options.get("user")
login = {"username": user["name"], "password": user["password"]} if user else {}
client = o6.Client(
    options["url"],
    certificate=options["certificate"],
    privateKey=options["key"],
    applicationUri=options["application_uri"],
    securityMode=MODES[options.get("mode", "SignAndEncrypt")],
    securityPolicy=POLICIES[options.get("policy", "Basic256Sha256")],
    **login,
)


def node_id(text):
    found = re.match("nsu=([^;]*);(.*)$", text)
    return f"ns={namespaces.index(found[1])};{found[2]}" if found else text


def time_of(text):
    return datetime.datetime.fromisoformat(text)


def sample(value):
    source = value.sourceTimestamp
    plain = value.value.item() if hasattr(value.value, "item") else value.value
    return {"value": plain, "status": int(value.status), "source": source and str(source)}


def read(nodes):
    return [sample(value) for value in client.read([node_id(node) for node in nodes], valueOnly=False)]


def browse(node):
    return [str(reference.browseName.name) for reference in client.browse(node_id(node), resultMask=63)]


def history(node, start, end):
    return [sample(value) for value in client.historyRead(node_id(node), time_of(start), time_of(end)).dataValues]


STEPS = {"read": read, "browse": browse, "history": history}
with client:
    namespaces = [str(uri) for uri in client.read("i=2255")]
    answers = [STEPS[name](**what) for step in options["steps"] for name, what in step.items()]
print(json.dumps(answers))
