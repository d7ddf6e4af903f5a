"""Writes the config of a service that sees foreign PLCs: one twin per PLC, one variable per line of plcs/line.json."""

import json

from support.pki import PKI_FOLDER
from support.plc import LINE, PASSWORD, USER

PUBLISHING_MS = 100
SAMPLING_MS = 50


def twin_type():
    """A twin type `Line` that takes over every variable of the PLC, untouched."""
    lines = ["[twin_type.Line]"]
    for variable in LINE["variables"]:
        lines += [
            f"[twin_type.Line.variable.{variable['name']}]",
            f"source = \"nsu={variable['namespace']};{variable['id']}\"",
            f"data_type = \"{variable['type']}\"",
            f"array = {str(variable.get('array', False)).lower()}",
            # Load changes faster than anything samples it: every change is asked for.
            f'sampling_interval = "{0 if variable["name"] == "Load" else SAMPLING_MS}ms"',
        ]
        if variable["name"] == "Temperature":
            lines += ['unit = "°C"', "range = [-50, 150]"]
    return lines


def plc_table(plc, backfill):
    security = ("Basic256Sha256", "SignAndEncrypt") if plc.identity else ("None", "None")
    lines = [
        f"[plc.{plc.name}]",
        f'endpoint = "{plc.url}"',
        f'security_policy = "{security[0]}"',
        f'security_mode = "{security[1]}"',
        f'publishing_interval = "{PUBLISHING_MS}ms"',
    ]
    if plc.identity:
        lines.append(f'user.password = {{ name = {json.dumps(USER)}, env = "PLC_PASSWORD" }}')
    if backfill:
        lines.append(f'backfill = "{backfill}"')
    return lines


def twin_name(plc):
    return f"{plc.name}Line"


def write_config(folder, port, plcs, backfill=None, anonymous="engineer", replace=None):
    """The config file, with texts replaced where a test wants a fault, and the environment that it refers to."""
    lines = [
        "[server]",
        'name = "Foreign lines"',
        f'endpoint = "opc.tcp://127.0.0.1:{port}"',
        'advertise = "127.0.0.1"',
        'data_dir = "data"',
        f'pki_dir = "{PKI_FOLDER}"',
        "[server.security]",
        'policies = ["None", "Basic256Sha256"]',
        f'anonymous = "{anonymous}"',
    ]
    for plc in plcs:
        lines += plc_table(plc, backfill)
    lines += twin_type()
    for plc in plcs:
        lines += [f"[twin.{twin_name(plc)}]", 'type = "Line"', f'plc = "{plc.name}"']
    config = folder / "uatwin.toml"
    text = "\n".join(lines) + "\n"
    for old, new in (replace or {}).items():
        text = text.replace(old, new)
    config.write_text(text)
    return config, {"PLC_PASSWORD": PASSWORD}
