"""`uatwin import` makes a config of foreign PLCs that runs as it is; `uatwin check --online` says where a config and a PLC differ.

Measured on two shared cores, Basic256Sha256 SignAndEncrypt, `uatwin plant --load 120000`: 120,058 nodes in 9 s and 370 MB.
"""

import json
import re

import pytest
from asyncua import ua

from support.client import connected, eventually, twins, variables
from support.plc import PASSWORD, USER
from support.process import free_port
from support.service import Service
from support.pki import PKI_FOLDER, make_identity, trust
from support.tree import NAMESPACE, Tree, changed, command, imported, served_at

CELSIUS, BAR = 4408652, 4342098


def motor(hall, number, speed, torque=None):
    """A motor with numeric NodeIds."""
    path, first = [hall, f"Motor{number}"], {"North": 1000, "South": 2000}[hall] + 10 * number
    nodes = [
        {"path": path, "id": f"i={first}", "of": "MotorType"},
        {"path": [*path, "Speed"], "id": f"i={first + 1}", "type": "Double", "value": speed, "range": [0, 3000],
         "about": "Of the shaft"},
        {"path": [*path, "Running"], "id": f"i={first + 2}", "type": "Boolean", "value": True, "writable": True},
    ]
    if torque is not None:
        nodes.append({"path": [*path, "Torque"], "id": f"i={first + 3}", "type": "Float", "value": torque})
    return nodes


def tank(number, level):
    """A tank without an ObjectType, with NodeIds that have a pattern."""
    of = f"s=Farm.T{number}"
    return [
        {"path": [f"Tank{number}"], "id": of},
        {"path": [f"Tank{number}", "Level"], "id": f"{of}.Level", "type": "Double", "value": level, "range": [0, 4 + number]},
        {"path": [f"Tank{number}", "Heat"], "id": f"{of}.Heat"},
        {"path": [f"Tank{number}", "Heat", "T"], "id": f"{of}.Heat.T", "type": "Double", "value": 20.5 + number,
         "unit": [CELSIUS, "°C"], "range": [-10, 120]},
    ]


STRANGE = 'Quote" \\back\n/slash.dot:colon #é日本'
NODES = [
    {"path": ["North"], "id": "i=1"}, *motor("North", 1, 1450.0), *motor("North", 2, 2900.0),
    {"path": ["South"], "id": "i=2"}, *motor("South", 1, 700.0, torque=12.5),
    *tank(1, 1.25), *tank(2, 2.5),
    {"path": [STRANGE], "id": "s=" + STRANGE},
    {"path": [STRANGE, STRANGE], "id": "s=" + STRANGE + '.x', "type": "Int32", "value": -7},
    {"path": [STRANGE, "Statistics"], "id": "i=99", "type": "String", "value": "Brücke 7"},
    {"path": [STRANGE, "Profile"], "id": "i=100", "type": "Double", "value": [1.5, -2.5], "array": True},
    {"path": [STRANGE, "Mode"], "id": "i=101", "type": "UInt32", "value": 1, "states": ["Off", "Auto", 'By "hand"']},
    {"path": [STRANGE, "Valve"], "id": "i=104", "type": "Boolean", "value": False, "states": ["Closed", "Open"]},
    {"path": [STRANGE, "State"], "id": "i=105", "type": "Int32", "value": 2, "data_type": ua.ObjectIds.ServerState},
    {"path": [STRANGE, "Slow"], "id": "i=106", "type": "Double", "value": 1.0, "fastest": 5000},
    {"path": [STRANGE, "Matrix"], "id": "i=107", "type": "Double", "value": [[1.0, 2.0], [3.0, 4.0]]},
    {"path": [STRANGE, "Setup"], "id": "i=108", "type": "ExtensionObject", "value": [1.0, 2.0]},
    {"path": [STRANGE, "Key"], "id": "i=102", "type": "Guid", "value": "72962b91-fa75-4ae6-8d28-b404dc7daf63"},
    {"path": [STRANGE, "Secret"], "id": "i=103", "type": "Double", "value": 1.0, "hidden": True},
]
# By twin: its type, and its variables' values.
EXPECTED = {
    "Motor1": ("MotorType", {"Speed": 1450.0, "Running": True}),
    "Motor2": ("MotorType", {"Speed": 2900.0, "Running": True}),
    "South_Motor1": ("MotorType_2", {"Speed": 700.0, "Running": True, "Torque": 12.5}),
    "Tank1": ("Tank", {"Level": 1.25, "Heat_T": 21.5}),
    "Tank2": ("Tank", {"Level": 2.5, "Heat_T": 22.5}),
}


@pytest.fixture(scope="module", params=["asyncua", "node"])
def tree(request, tmp_path_factory):
    """A PLC of each stack, and what an import of it said."""
    folder = tmp_path_factory.mktemp("tree")
    tree = Tree(request.param, folder, NODES)
    tree.folder, tree.stack = folder, request.param
    tree.config = imported(folder, tree.url)
    yield tree
    tree.stop()


async def test_an_imported_config_runs_and_values_flow(tree):
    port = free_port()
    config = served_at(tree.folder, port)
    service = Service(tree.folder, tree.folder / PKI_FOLDER, ["run", "--config", config], port)
    try:
        async with connected(service.url) as client:
            found = await twins(client)
            strange = next(name for name in found if name.startswith("Quote"))
            assert set(found) == {*EXPECTED, strange}, tree.config
            for name, (twin_type, values) in EXPECTED.items():
                live = await variables(found[name])
                assert set(values) <= set(live), name
                of = client.get_node(await found[name].read_type_definition())
                assert (await of.read_browse_name()).Name == twin_type, name
                await has(live, values)
            live = await variables(found[strange])
            await has(live, {"Statistics_": "Brücke 7", "Profile": [1.5, -2.5], "Mode": 1, "Valve": False, "State": 2})
            speed = (await variables(found["Motor2"]))["Speed"]
            assert (await speed.read_description()).Text == "Of the shaft"
            tree.set("i=1021", 17.25)
            await has({"Speed": speed}, {"Speed": 17.25})
            tree.set("i=1021", 2900.0)
    finally:
        service.stop()


async def has(live, values):
    """The variables have these values before long."""
    for name, value in values.items():
        async def arrived():
            read = await live[name].read_data_value(raise_on_bad_status=False)
            return read.StatusCode.is_good() and (read.Value.Value,) == (value,)
        await eventually(arrived, 20)


def test_units_ranges_and_states_are_the_plcs(tree):
    table = r"\[twin_type\.Tank\.variable\.{}\][^\[]*(?:\[[^\]\w][^\[]*)*"
    heat, level = (re.search(table.format(name), tree.config).group() for name in ("Heat_T", "Level"))
    assert 'unit = "°C"' in heat and "range = [-10.0, 120.0]" in heat
    assert "\nrange" not in level and "from 0.0 to 6.0 in all" in level
    assert "range = [0.0, 3000.0]" in tree.config
    assert 'states = ["Off", "Auto", "By \\"hand\\""]' in tree.config
    assert 'states = ["Closed", "Open"]' in tree.config
    assert 'states = ["Running", "Failed", "NoConfiguration"' in tree.config
    assert 'sampling_interval = "5000ms"' in tree.config
    assert "# writable = true" in tree.config and "\nwritable" not in tree.config


def test_sources_are_templates_where_they_can_be(tree):
    assert f'source = "nsu={NAMESPACE};s={{device}}.Level"' in tree.config \
        or f'source = "nsu={NAMESPACE};s=Farm.T{{device}}.Level"' in tree.config, tree.config
    assert f'path = "/Objects/nsu={NAMESPACE}:North/nsu={NAMESPACE}:{{device}}/nsu={NAMESPACE}:Speed"' in tree.config
    assert f'source = "nsu={NAMESPACE};i=2011"' in tree.config


def test_what_no_twin_can_have_is_said(tree):
    for name in ("Key", "Setup"):
        assert re.search(f"# not taken: {name}: .*: uatwin has no variables of this type", tree.config), tree.config
    assert "# not taken: Matrix: Double: only scalars and one-dimensional arrays can be variables" in tree.config
    assert "# not taken: Secret: it may not be read" in tree.config


def test_an_imported_config_does_not_differ_from_its_plc(tree):
    assert command(tree.folder, "check", "--config", "uatwin.toml").returncode == 0
    done = command(tree.folder, "check", "--online", "--config", "uatwin.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 differences; 4 other variables there" in done.stdout


@pytest.mark.parametrize("old, new, what, hint", [
    ("i=2011", "i=2019", "missing", "did you mean `i=2011`?"),
    (":Running", ":Runing", "missing", "did you mean `Running`?"),
    ('data_type = "Float"', 'data_type = "Int16"', "data_type", "the config says Int16, the PLC has Float"),
    ("array = true\n", "", "array", "the PLC has an array"),
    ("range = [-10.0, 120.0]", "range = [-10, 130]", "range", "the config says [-10.0, 130.0], the PLC [-10.0, 120.0]"),
    ('unit = "°C"', 'unit = "bar"', "unit", "the config says bar, the PLC °C (CEL)"),
    ('data_type = "Float"', 'data_type = "Float"\nwritable = true', "writable", "does not let this user write"),
    ("i=100\"", "i=103\"", "unreadable", "does not let this user read"),
])
def test_check_online_says_where_a_config_differs(tree, old, new, what, hint):
    config = changed(tree.folder, old, new)
    done = command(tree.folder, "check", "--online", "--json", "--config", config)
    assert done.returncode == 1, done.stdout + done.stderr
    [plc] = json.loads(done.stdout)["plcs"]
    said = [difference for difference in plc["differences"] if difference["what"] == what]
    assert said and all(hint in difference["message"] for difference in said), plc
    assert hint in command(tree.folder, "check", "--online", "--config", config).stdout


def test_check_online_notes_what_changes_nothing(tree):
    config = changed(tree.folder, 'sampling_interval = "5000ms"', 'sampling_interval = "100ms"')
    done = command(tree.folder, "check", "--online", "--config", config)
    assert done.returncode == 0 and "0 differences" in done.stdout
    assert "note: " in done.stdout and "the PLC samples every 5s at best, the config asks for 100ms" in done.stdout


def test_check_online_says_that_a_plc_is_not_there(tree):
    config = changed(tree.folder, f'endpoint = "{tree.url}"', f'endpoint = "opc.tcp://127.0.0.1:{free_port()}"')
    done = command(tree.folder, "check", "--online", "--config", config)
    assert done.returncode == 1 and "not looked at" in done.stdout
    assert command(tree.folder, "check", "--online", "--config", changed(tree.folder, "[plc.", "[plx.")).returncode == 3


@pytest.mark.parametrize("untold", [False, True], ids=["told", "untold"])
def test_a_server_with_low_limits_gives_the_same(tree, tmp_path, untold):
    if tree.stack != "node":
        pytest.skip("asyncua has no limits")
    limits = {"browse": 7, "read": 5, "references": 1, "points": 2, "untold": untold}
    small = Tree("node", tmp_path, NODES, limits=limits)
    try:
        text = imported(tmp_path, small.url)
        assert command(tmp_path, "check", "--online", "--config", "uatwin.toml").returncode == 0
    finally:
        small.stop()
    assert body(text) == body(tree.config)


def body(config):
    """Without what is of one import alone, and in one order: continuation points may bring nodes in another one."""
    return sorted(line for line in config.splitlines() if not line.startswith(("# Written by", "endpoint")))


def test_an_import_begins_where_it_is_told_to(tree, tmp_path):
    text = imported(tmp_path, tree.url, "--root", f"/Objects/nsu={NAMESPACE}:North")
    assert "[twin.Motor2]" in text and "Tank" not in text
    assert "/nsu=urn:foreign:tree:North/nsu=urn:foreign:tree:{device}/" in text
    done = command(tmp_path, "import", tree.url, "--root", f"nsu={NAMESPACE};s=nowhere")
    assert done.returncode == 1 and "no such node" in done.stderr


def test_a_file_is_written_over_only_by_force(tree, tmp_path):
    (tmp_path / "mine.toml").write_text("precious")
    done = command(tmp_path, "import", tree.url, "--output", "mine.toml")
    assert done.returncode == 2 and "--force" in done.stderr
    assert (tmp_path / "mine.toml").read_text() == "precious"
    assert command(tmp_path, "import", tree.url, "--output", "nowhere/mine.toml").returncode == 2
    assert "[twin." in imported(tmp_path, tree.url, "--force", name="mine.toml")
    done = command(tmp_path, "import", tree.url)
    assert done.returncode == 0 and body(done.stdout.rstrip("\n")) == body(tree.config)
    assert [path.name for path in tmp_path.glob("*.*")] == ["mine.toml"], "nothing else is left behind"


def test_a_plc_that_is_not_there_is_one_sentence(tmp_path):
    done = command(tmp_path, "import", f"opc.tcp://127.0.0.1:{free_port()}")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert command(tmp_path, "import", "http://plc").returncode == 2


def test_a_secure_plc_is_imported_once_it_is_trusted(world):
    plc = world.plc("asyncua", "north", secure=True)
    login = ["--user", USER, "--password-env", "PLC_PASSWORD"]
    refused = command(world.folder, "import", plc.url, *login, env={"PLC_PASSWORD": PASSWORD})
    assert refused.returncode == 1 and "policy Basic256Sha256, mode SignAndEncrypt" in refused.stderr
    remedy = re.search(r"uatwin (cert trust .*)", refused.stderr).group(1)
    assert command(world.folder, *remedy.split()).returncode == 0
    text = imported(world.folder, plc.url, *login, env={"PLC_PASSWORD": PASSWORD})
    assert 'security_policy = "Basic256Sha256"' in text and 'env = "PLC_PASSWORD"' in text and PASSWORD not in text
    assert re.search(r'source = "nsu=urn:foreign:vendor;i=77"\ndata_type = "UInt16"', text)
    secret = world.folder / "secret"
    secret.write_text(PASSWORD + "\n")
    again = imported(world.folder, plc.url, "--user", USER, "--password-file", secret, name="again.toml")
    assert 'env = "PLC1_PASSWORD"' in again and PASSWORD not in again
    done = command(world.folder, "check", "--online", "--config", "uatwin.toml", env={"PLC_PASSWORD": PASSWORD})
    assert done.returncode == 0 and "0 differences; 0 other" in done.stdout, done.stdout
    done = command(world.folder, "check", "--online", "--config", "uatwin.toml", env={"PLC_PASSWORD": "wrong"})
    assert done.returncode == 1 and "not looked at" in done.stdout


def test_both_sides_come_to_trust_each_other(world):
    service = world.run_types("Other twins", "[twin_type.Box.variable.V]\n[twin.Box1]\ntype = \"Box\"\n")
    remedy = re.search(r"uatwin (cert trust .*)", command(world.folder, "import", service.url, "--pki-dir", "own").stderr).group(1)
    assert command(world.folder, *remedy.split()).returncode == 0
    stranger = command(world.folder, "import", service.url, "--pki-dir", "own")
    assert stranger.returncode == 1 and "let it trust" in stranger.stderr and "own/cert.der" in stranger.stderr
    certificate = stranger.stderr.strip().rsplit(" ", 1)[-1]
    assert command(world.folder, "cert", "trust", certificate, "--pki-dir", service.pki).returncode == 0
    text = imported(world.folder, service.url, "--pki-dir", "own", name="own.toml")
    assert 'pki_dir = "/' in text and 'security_mode = "SignAndEncrypt"' in text and "[twin.Box1]" in text


def test_uatwins_own_server_can_be_imported(demo_with_past, tmp_path):
    text = imported(tmp_path, demo_with_past.url, "--security-policy", "None")
    assert "[twin_type.Oven.variable.Temperature]" in text and '[twin.Oven1]\ntype = "Oven"' in text, text
    assert 's={device}.Temperature"' in text
    assert "AckedState" not in text and "Acknowledge" not in text
    done = command(tmp_path, "check", "--online", "--config", "uatwin.toml")
    assert done.returncode == 0, done.stdout + done.stderr
