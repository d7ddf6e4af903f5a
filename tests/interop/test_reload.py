"""The config loaded anew, by SIGHUP, while clients and PLCs go on."""

import asyncio
import signal
from datetime import timedelta
from itertools import pairwise

import pytest
from asyncua import ua
from cryptography import x509

from support import bench, methods
from support import service as services
from support.client import TWINS, by_id, child, children, connected, eventually, now, recent_history, subscribed, twins
from support.events import listening
from support.methods import status_of
from support.ticking import CONFIG, Ticking, flows, plc_config
from support.users import User

OTHER_TYPE = """
[twin_type.Other.variable.Ticks]
source = "nsu=urn:ticking:plc;s=Ticks"
[twin_type.Other.variable.Doubled]
expr = "2 * Ticks"
"""
TWIN = '[twin.{name}]\ntype = "{type}"\nplc = "line"\n'
CHANGES = ua.ObjectIds.GeneralModelChangeEventType
GONE = ua.StatusCodes.BadNodeIdUnknown


def twin(name, of="Ticking"):
    return TWIN.format(name=name, type=of)


@pytest.fixture
def plc(tmp_path):
    plc = Ticking(tmp_path, "line")
    plc.start()
    yield plc
    plc.kill()


@pytest.fixture
def run(tmp_path, identity):
    running = []

    async def start(types, **options):
        running.append(await asyncio.to_thread(services.of_types, tmp_path, identity, "Reload", types, **options))
        return running[-1]
    yield start
    for service in running:
        service.stop()


async def reload(service, types=None, replace=None):
    """Another config below the server's tables, or with a text replaced; what the log says of it."""
    config = service.folder / "uatwin.toml"
    text = config.read_text()
    if types is not None:
        text = text[:text.index("[twin_type")] + types.lstrip()
    for old, new in (replace or {}).items():
        assert old in text
        text = text.replace(old, new)
    config.write_text(text)
    heard = len(service.process.said())
    service.process.child.send_signal(signal.SIGHUP)

    async def said():
        news = service.process.said()[heard:]
        return news if "config loaded anew" in news or "config not taken up" in news else None
    return await eventually(said, 30)


async def status(client, path):
    node = await by_id(client, TWINS, path)
    return (await node.read_data_value(raise_on_bad_status=False)).StatusCode.value


def affected(event):
    return {(change.Affected.Identifier, change.Verb) for change in event.Changes}


async def test_twins_and_plcs_come_change_and_go_and_the_others_notice_nothing(tmp_path, run, plc):
    second = Ticking(tmp_path, "second")
    second.start()
    stays = CONFIG + plc_config("line", plc.port)
    service = await run(stays + twin("Changing"))
    async with connected(service.url) as client:
        await flows(client, "line")
        await flows(client, "Changing")
        ticks = {name: await by_id(client, TWINS, f"{name}.Ticks") for name in ("line", "Changing")}
        async with subscribed(client, list(ticks.values())) as (inbox, _, _), listening(client, types=CHANGES) as (listener, _):
            await asyncio.sleep(1)
            other = stays + OTHER_TYPE + twin("Changing", "Other") + twin("New") + plc_config("second", second.port)
            await reload(service, other)
            event = (await listener.count(1))[0]
            assert affected(event) == {("Twins", 12), ("Connections", 12), ("Changing", 12), ("New", 1), ("second", 1), ("plc:second", 1)}
            assert event.SourceNode.Identifier == ua.ObjectIds.Server
            assert list(await twins(client)) == ["line", "Changing", "New", "second"]
            for name in ("New", "second", "line", "Changing"):
                await flows(client, name)
            assert await status(client, "Changing.Doubled") == 0
            kind = await (await twins(client))["Changing"].read_type_definition()
            assert kind.Identifier == "type:Other"
            await asyncio.sleep(1)

            await reload(service, stays)
            last = (await listener.count(2))[1]
            assert affected(last) == {("Twins", 12), ("Connections", 12), ("Changing", 2), ("New", 2), ("second", 2), ("plc:second", 2)}
            assert list(await twins(client)) == ["line"]
            assert list(await children(await child(client.nodes.objects, "Connections"))) == ["line"]
            for path in ("Changing.Ticks", "Changing.Doubled", "New.Ticks", "second"):
                assert await status(client, path) == GONE

            async def told():
                return inbox.samples(ticks["Changing"])[-1].status == GONE
            await eventually(told, 10)
            await flows(client, "line")
        changing = [sample for sample in inbox.samples(ticks["Changing"]) if sample.status != GONE]
        for name, samples in (("line", inbox.samples(ticks["line"])), ("Changing", changing)):
            assert all(sample.status == 0 for sample in samples), name
            assert [s.source for s in samples] == sorted(s.source for s in samples), name
        history = await recent_history(ticks["line"])
        assert all(sample.status == 0 for sample in history)
        values = [sample.value for sample in history]
        # Each once; a PLC in Python that is busy leaves out a tick now and then.
        assert all(0 < after - before <= 5 for before, after in pairwise(values)), values
        assert await (await child(client.nodes.objects, "Connections/line/Reconnects")).read_value() == 0
    second.kill()


async def test_what_comes_again_has_its_history_and_a_gap(run, plc):
    stays = CONFIG + plc_config("line", plc.port)
    service = await run(stays + twin("Again"))
    async with connected(service.url) as client:
        await flows(client, "Again")
        await reload(service, stays)
        assert await status(client, "Again.Ticks") == GONE
        await asyncio.sleep(2)
        await reload(service, stays + twin("Again"))
        await flows(client, "Again")
        again, line = [await recent_history(await by_id(client, TWINS, f"{name}.Ticks")) for name in ("Again", "line")]
        bad = [sample for sample in again if sample.status != 0]
        assert [sample.status for sample in bad] == [ua.StatusCodes.BadNoCommunication]
        gap = again.index(bad[0])
        before, after = again[:gap], again[gap + 1:]
        assert before and after and after[0].source - before[-1].source > timedelta(seconds=1.5)
        assert all(sample.status == 0 for sample in line), "the other twin of the PLC has no gap"


async def test_a_faulty_config_and_one_that_takes_a_restart_change_nothing(run, plc):
    stays = CONFIG + plc_config("line", plc.port)
    service = await run(stays)
    async with connected(service.url) as client:
        await flows(client, "line")
        said = await reload(service, stays + twin("New").replace('"Ticking"', '"Tickling"') + "[nonsense]\n")
        assert "uatwin.toml:" in said and "Tickling" in said and "nonsense" in said and "not taken up" in said
        assert list(await twins(client)) == ["line"]
        said = await reload(service, stays + twin("New"), {'name = "Reload"': 'name = "Other"'})
        assert "[server] has changed, which takes a restart" in said
        assert list(await twins(client)) == ["line"]
        said = await reload(service, replace={'name = "Other"': 'name = "Reload"'})
        assert "twin New (Ticking) added" in said
        assert list(await twins(client)) == ["line", "New"]
        assert "nothing has changed" in await reload(service)
        await flows(client, "line")
        assert all(sample.status == 0 for sample in await recent_history(await by_id(client, TWINS, "line.Ticks")))


async def test_a_user_confined_to_a_twin_goes_on_with_it_and_is_not_told_of_others(run, plc):
    stays = CONFIG + plc_config("line", plc.port)
    warden = User("warden", ("Engineer",), ("line",), "a long password")
    service = await run(stays, users=[warden], security="users_on_policy_none = true")
    async with connected(service.url, **warden.as_client()) as client:
        await flows(client, "line")
        async with listening(client, types=CHANGES) as (listener, _):
            await reload(service, stays.replace('"50ms"', '"60ms"') + twin("Secret"))
            event = (await listener.count(1))[0]
        assert affected(event) == {("Twins", 12), ("line", 12)}
        assert "Secret" not in event.Message.Text
        assert list(await twins(client)) == ["line"]
        await flows(client, "line")
        assert await status(client, "Secret.Ticks") == GONE


async def test_a_configure_admin_asks_for_it_by_a_method(run, plc):
    stays = CONFIG + plc_config("line", plc.port)
    admin = User("admin", ("ConfigureAdmin",), (), "a long password")
    service = await run(stays, users=[admin], security="users_on_policy_none = true")
    text = (service.folder / "uatwin.toml").read_text()
    denied = ua.StatusCodes.BadUserAccessDenied
    async with connected(service.url, **admin.as_client()) as client, connected(service.url) as engineer:
        def configuration(who):
            return child(who.nodes.objects, "Configuration")
        has = await children(await configuration(client))
        loaded, expires = await has["LoadedAt"].read_value(), await has["CertificateExpirationDate"].read_value()
        assert now() - timedelta(minutes=1) < loaded < now()
        own = x509.load_der_x509_certificate((service.pki / "own" / "cert.der").read_bytes())
        assert expires == own.not_valid_after_utc

        async def reload_as(who):
            own = await configuration(who)
            return await own.call_method((await children(own))["Reload"])
        (service.folder / "uatwin.toml").write_text(text + twin("New"))
        theirs = await children(await configuration(engineer))
        assert await status_of(reload_as(engineer)) == denied
        assert await status_of(theirs["Faults"].read_value()) == denied
        executable = [await (await child(who.nodes.objects, "Configuration/Reload")).read_attribute(ua.AttributeIds.UserExecutable)
                      for who in (engineer, client)]
        assert [value.Value.Value for value in executable] == [False, True]
        assert list(await twins(client)) == ["line"]
        assert await reload_as(client) == ["twin New (Ticking) added"]
        assert list(await twins(engineer)) == ["line", "New"]
        assert await reload_as(client) == []
        (service.folder / "uatwin.toml").write_text(text + "[nonsense]\n")
        assert await status_of(reload_as(client)) == ua.StatusCodes.BadConfigurationError
        assert any("nonsense" in fault for fault in await has["Faults"].read_value())
        assert list(await twins(client)) == ["line", "New"]
        assert await has["LoadedAt"].read_value() > loaded


async def test_parameters_and_fits_outlive_it(tmp_path, identity):
    service = bench.run(tmp_path, identity, slow=True)
    await bench.with_history(service)
    async with connected(service.url) as client:
        rig = (await twins(client))[bench.TWIN]
        text = (service.folder / "uatwin.toml").read_text()
        # A fit goes on while another twin comes.
        start = await child(rig, "FitProgram/Start")
        await (await child(rig, "FitProgram")).call_method(start.nodeid)
        state = await child(rig, "FitProgram/CurrentState")
        more = text[text.index("[twin_type"):] + text[text.index(f"[twin.{bench.TWIN}]"):].replace(bench.TWIN, "Second")
        assert "twin Second" in await reload(service, more)
        assert (await state.read_value()).Text == "Running"
        # It ends with its twin's change; what was in force stays so.
        names = list(await children(await child(rig, "Model/Parameters")))
        parameter = await child(rig, f"Model/Parameters/{names[0]}")
        before = await parameter.read_value()
        assert await status_of(methods.set_parameters(rig, names[:1], [1.01 * before])) == ua.StatusCodes.Good
        changed = more.replace(f"[twin.{bench.TWIN}]", f'[twin.{bench.TWIN}]\ndescription = "another"')
        assert f"twin {bench.TWIN}" in await reload(service, changed)
        assert await parameter.read_value() == 1.01 * before
        assert await (await child(rig, "Model/Revision")).read_value() == 2
        assert (await state.read_value()).Text == "Ready"
        answer = await status_of(methods.set_parameters(rig, names[:1], [before]))
        assert answer == ua.StatusCodes.Good
        assert await (await child(rig, "Model/Revision")).read_value() == 3
    service.stop()
