"""Who is let in: clients and PLCs by their certificates, the commands that say so, and what the log says of those that are not."""

import asyncio
import subprocess
import time

import pytest
from asyncua import ua
from cryptography import x509

from support import service as services
from support.client import TWINS, by_id, child, connected, eventually, twins
from support.config import twin_name
from support.events import listening
from support.pki import PKI_FOLDER, make_identity
from support.process import PROGRAM


TYPES = """
[twin_type.Note.variable.Value]
[twin.Note1]
type = "Note"
"""


def cert(service, *arguments):
    """What `uatwin cert` says of the service's folder; fails where it does."""
    done = subprocess.run([PROGRAM, "cert", *arguments, "--pki-dir", service.folder / PKI_FOLDER], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def refused(url, identity):
    with pytest.raises(Exception):
        async with connected(url, identity):
            pass


async def test_a_client_is_refused_until_the_command_that_the_log_names_is_run(world, tmp_path):
    service = world.run()
    stranger = make_identity(tmp_path, "stranger")
    await refused(service.url, stranger)

    async def told():
        return next((line for line in service.process.said().splitlines() if "uatwin cert trust" in line and "stranger" in line), None)
    line = await eventually(told, 20)
    thumbprint = line.split("uatwin cert trust ")[1][:40]
    assert f"uatwin cert trust {thumbprint[:12]}" in cert(service, "list")
    await refused(service.url, stranger)
    cert(service, "trust", thumbprint)
    async with connected(service.url, stranger) as client:
        assert await client.nodes.objects.read_browse_name()
    cert(service, "reject", "stranger")
    await refused(service.url, stranger)


async def test_a_certificate_file_of_any_name_dropped_into_trusted_counts_at_once(world, tmp_path):
    service = world.run()
    stranger = make_identity(tmp_path, "stranger")
    await refused(service.url, stranger)
    (service.folder / PKI_FOLDER / "trusted" / "from-the-stick.crt").write_bytes(stranger.certificate.read_bytes())

    async def let_in():
        try:
            async with connected(service.url, stranger):
                return True
        except Exception:
            return False
    await eventually(let_in, 20, every_s=0.5)


@pytest.mark.parametrize("stack", ["asyncua", "node"])
async def test_a_plc_must_be_trusted_and_its_certificate_in_order(world, stack, tmp_path):
    plc = world.plc(stack, "line", secure=True)
    known, plc.identity = plc.identity, make_identity(tmp_path, "unused")  # `run` trusts the wrong one
    plc.identity = known.__class__(known.name, known.uri, plc.identity.certificate, plc.identity.key)
    service = world.run(plc)
    async with connected(service.url) as client:
        connection = await child((await twins(client))[twin_name(plc)], "Connection")
        state, last_error = await child(connection, "State"), await child(connection, "LastError")

        async def says(words):
            async def said():
                return words in await last_error.read_value()
            await eventually(said, 30)

        async def is_connected():
            return await state.read_value() == "Connected"
        await says("is not trusted; `uatwin cert trust")
        thumbprint = (await last_error.read_value()).split("cert trust ")[1][:40]
        assert not await is_connected()
        cert(service, "trust", thumbprint)
        await eventually(is_connected, 30)
        # Its next certificate is nobody that is known, the one after has expired.
        for days, words in ((365, "is not trusted"), (-1, "is valid from")):
            await asyncio.to_thread(plc.stop)
            plc.identity = make_identity(tmp_path, f"again{days}", uri=known.uri, valid_days=days)
            await asyncio.to_thread(plc.start)
            if days < 0:
                cert(service, "trust", str(plc.identity.certificate))
            await says(words)
            assert not await is_connected()


async def test_a_renewed_certificate_has_the_same_key_and_uri(world):
    service = world.run()
    own = service.folder / PKI_FOLDER / "own" / "cert.der"
    before = own.read_bytes()
    time.sleep(1.1)  # times in certificates are whole seconds
    done = subprocess.run([PROGRAM, "cert", "renew", "--config", service.folder / "uatwin.toml"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    old, new = [x509.load_der_x509_certificate(der) for der in (before, own.read_bytes())]
    assert new.public_key() == old.public_key() and new.not_valid_before_utc > old.not_valid_before_utc
    names = [certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value for certificate in (old, new)]
    uris = [of.get_values_for_type(x509.UniformResourceIdentifier) for of in names]
    assert uris[0] == uris[1] and len(uris[0]) == 1
    assert {"localhost"} <= set(names[1].get_values_for_type(x509.DNSName))


async def test_an_alarm_tells_a_month_before_our_certificate_ends(tmp_path, identity):
    service = await asyncio.to_thread(services.of_types, tmp_path, identity, "Ends", TYPES)
    service.stop()
    old = x509.load_der_x509_certificate((service.pki / "own" / "cert.der").read_bytes())
    uri = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.UniformResourceIdentifier)[0]
    ends = make_identity(tmp_path, "ends", uri=uri, valid_days=10)
    (service.pki / "own" / "cert.der").write_bytes(ends.certificate.read_bytes())
    (service.pki / "private" / "private.pem").write_bytes(ends.key.read_bytes())
    end = x509.load_der_x509_certificate(ends.certificate.read_bytes()).not_valid_after_utc
    await asyncio.to_thread(service.start)
    kind = ua.ObjectIds.CertificateExpirationAlarmType

    async def refreshed(client, listener, subscription):
        listener.events.clear()
        await client.get_node(ua.ObjectIds.ConditionType).call_method(
            ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh), ua.Variant(subscription.subscription_id, ua.VariantType.UInt32))
        return await listener.until(lambda event: event.EventType.Identifier == kind)  # it is retained until it is confirmed

    async with connected(service.url, identity) as client:
        shown = await child(client.nodes.objects, "Configuration/CertificateExpirationDate")

        async def is_known():
            return await shown.read_value() == end
        await eventually(is_known, 10)
        async with listening(client, types=kind) as (listener, subscription):
            event = await refreshed(client, listener, subscription)
            assert getattr(event, "ActiveState/Id") and event.Retain and event.ExpirationDate == end and event.Severity == 700
            assert event.ExpirationLimit == 30 * 86_400_000 and event.SourceNode.Identifier == ua.ObjectIds.Server
            condition = await by_id(client, TWINS, "Configuration.CertificateExpiration")
            await condition.call_method(ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge), event.EventId, ua.LocalizedText("seen"))
            await listener.until(lambda event: getattr(event, "AckedState/Id") and event.Comment.Text == "seen")
    done = subprocess.run([PROGRAM, "cert", "renew", "--config", service.folder / "uatwin.toml"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    service.stop()
    await asyncio.to_thread(service.start)
    async with connected(service.url) as client, listening(client, types=kind) as (listener, subscription):
        async def is_over():
            return not getattr(await refreshed(client, listener, subscription), "ActiveState/Id")
        await eventually(is_over, 20, every_s=0.5)
    service.stop()
