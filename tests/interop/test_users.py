"""Who gets in: passwords, certificates, lock-out, and a users file that changes while the server runs."""

import asyncio

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep, SecurityPolicyAes256Sha256RsaPss, SecurityPolicyBasic256Sha256, encrypt_asymmetric)
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from support import service as services, users
from support.client import child, connected, eventually, subscribed, twins
from support.events import listening
from support.methods import refusal_of
from support.other_clients import run_steps
from support.pki import make_identity
from support.users import User

TYPES = """
[twin_type.Tank.variable.Level]
[twin.Tank1]
type = "Tank"
[twin.Tank2]
type = "Tank"
"""
PASSWORD = "Tür-7 & Tor"
REJECTED = "BadIdentityTokenRejected"


def user(name, **more):
    return User(name, **{"roles": ("Operator",), "password": PASSWORD} | more)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Certificates of users, by name."""
    folder = tmp_path_factory.mktemp("people")
    return {name: make_identity(folder, name) for name in ["carl", "cora", "stranger"]}


def run(folder, identity, *people, **options):
    return services.of_types(folder, identity, "Users", TYPES, users=people, **{"anonymous": "observer"} | options)


@pytest.fixture(scope="module")
def service(tmp_path_factory, identity, people):
    service = run(
        tmp_path_factory.mktemp("users"), identity, user("ann"), user("sue", roles=("SecurityAdmin",)),
        user("carl", password=None, identity=people["carl"]),
        user("cora", password=None, identity=people["cora"], digest=hashes.SHA1))
    yield service
    service.stop()


async def written(service, identity, **who):
    """What a write as this user is answered."""
    async with connected(service.url, identity, **who) as client:
        return await refusal_of((await child((await twins(client))["Tank1"], "Level")).write_value(1.0, ua.VariantType.Double))


async def refused(service, identity, **who):
    """With which status a session is refused; None if it is not."""
    async def come():
        async with connected(service.url, identity, **who):
            pass
    return await refusal_of(come())


async def test_a_user_comes_by_password_and_by_certificate(service, identity, people):
    assert await written(service, identity, user="ann", password=PASSWORD) is None
    assert await written(service, identity, user_identity=people["carl"]) is None
    assert await written(service, identity, user_identity=people["cora"]) is None
    assert await written(service, identity) == "BadUserAccessDenied"


@pytest.mark.parametrize("policy", [SecurityPolicyAes128Sha256RsaOaep, SecurityPolicyAes256Sha256RsaPss])
async def test_passwords_and_certificates_come_by_every_policy(tmp_path, identity, people, policy):
    folder = tmp_path
    service = run(folder, identity, user("ann"), user("carl", password=None, identity=people["carl"]))
    service.stop()
    config = folder / "uatwin.toml"
    config.write_text(config.read_text().replace('"Basic256Sha256"', '"Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"'))
    service.start()
    try:
        assert await written(service, identity, user="ann", password=PASSWORD, policy=policy) is None
        assert await written(service, identity, user_identity=people["carl"], policy=policy) is None
        assert await refused(service, identity, user="ann", password="wrong", policy=policy) == REJECTED
    finally:
        service.stop()


async def test_every_refusal_looks_the_same(service, identity, people):
    answers = [
        await refused(service, identity, user="ann", password="wrong"),
        await refused(service, identity, user="nobody", password=PASSWORD),
        await refused(service, identity, user="carl", password=PASSWORD),
        await refused(service, identity, user="ann", password=""),
        await refused(service, identity, user="ANONYMOUS", password=PASSWORD),
        await refused(service, identity, user_identity=people["stranger"]),
    ]
    assert answers == [REJECTED] * len(answers)
    assert await refused(service, identity, user="ann", password=PASSWORD) is None


async def test_a_name_is_not_offered_where_the_wire_can_be_read(service, identity):
    endpoints = await Client(service.url).connect_and_get_server_endpoints()
    kinds = {}
    for endpoint in endpoints:
        kinds[endpoint.SecurityPolicyUri.rsplit("#")[-1], endpoint.SecurityMode.name] = {
            token.TokenType.name: (token.SecurityPolicyUri or "").rsplit("#")[-1] for token in endpoint.UserIdentityTokens}
    all_three = {"Anonymous": "None", "UserName": "Basic256Sha256", "Certificate": "Basic256Sha256"}
    assert kinds == {
        ("None", "None_"): {"Anonymous": "None"},
        ("Basic256Sha256", "Sign"): all_three,
        ("Basic256Sha256", "SignAndEncrypt"): all_three,
    }


async def in_the_clear(client, password):
    """Activates the session again by a password as it is."""
    token = ua.UserNameIdentityToken()
    token.PolicyId, token.UserName, token.Password = "userpass_rsa_oaep", "ann", password.encode()
    client._add_user_auth = lambda parameters, *_: setattr(parameters, "UserIdentityToken", token)
    await client.activate_session(username="ann", password=password)


async def test_a_password_that_is_not_encrypted_is_refused(service, identity):
    async with connected(service.url, identity) as client:
        assert await refusal_of(in_the_clear(client, PASSWORD)) == REJECTED


async def test_a_password_that_decrypts_to_nonsense_costs_its_sender_alone(service, identity):
    """The library (0.19) reads past the end of a secret that is shorter than its nonce."""
    async def nonsense(secret, algorithm):
        async with connected(service.url, identity) as client:
            token = ua.UserNameIdentityToken("userpass_rsa_oaep", "ann", secret, algorithm)
            client._add_user_auth = lambda parameters, *_: setattr(parameters, "UserIdentityToken", token)
            await client.activate_session(username="ann", password="x")
    async with connected(service.url, identity, user="ann", password=PASSWORD) as other:
        public_key = x509.load_der_x509_certificate((service.pki / "own" / "cert.der").read_bytes()).public_key()
        short = encrypt_asymmetric(public_key, (0).to_bytes(4, "little"), SecurityPolicyBasic256Sha256.URI)
        for _ in range(3):
            with pytest.raises((ua.UaError, OSError, asyncio.TimeoutError)):
                await asyncio.wait_for(nonsense(*short), 20)
        await other.nodes.server_state.read_value()
    assert await refused(service, identity, user="ann", password=PASSWORD) is None


async def test_where_the_config_has_it_users_come_without_encryption_but_their_passwords_do_not(tmp_path, identity):
    service = run(tmp_path, identity, user("ann"), security="users_on_policy_none = true")
    try:
        assert "can take a session over" in service.process.said()
        assert await refused(service, None, user="ann", password="wrong") == REJECTED
        async with connected(service.url, None, user="ann", password=PASSWORD) as client:
            twin = (await twins(client))["Tank1"]
            await (await child(twin, "Level")).write_value(2.0, ua.VariantType.Double)
            assert await refusal_of(in_the_clear(client, PASSWORD)) == REJECTED
    finally:
        service.stop()


async def test_wrong_passwords_lock_a_name_out_whoever_it_is(tmp_path, identity):
    service = run(tmp_path, identity, user("ann"), user("bob"))
    try:
        async def gets_in():
            return await refused(service, identity, user="ann", password=PASSWORD) is None
        for _ in range(6):  # from the third on each makes the name wait longer, and those in between are not counted
            await refused(service, identity, user="ann", password="wrong")
        assert not await gets_in(), "though the password is right"
        assert await refused(service, identity, user="bob", password=PASSWORD) is None
        await eventually(gets_in, 60)
    finally:
        service.stop()


async def test_the_audit_trail_tells_who_came_and_who_did_not(service, identity):
    async with connected(service.url, identity, user="sue", password=PASSWORD) as client:
        async with listening(client, types=ua.ObjectIds.AuditActivateSessionEventType) as (listener, _):
            await refused(service, identity, user="eve\r\nann", password="guess")
            event = await listener.until(lambda event: event.ClientUserId == "eveann")
            assert event.Status is False and "no such user" in event.Message.Text and "guess" not in event.Message.Text
            await refused(service, identity, user="ann", password=PASSWORD)
            event = await listener.until(lambda event: event.ClientUserId == "ann")
            assert event.Status is True and event.SourceName == "Server"
    assert PASSWORD not in service.process.said() and "guess" not in service.process.said()


async def test_the_users_file_is_taken_up_while_the_server_runs(tmp_path, identity):
    service = run(tmp_path, identity, user("ann"))
    try:
        async def comes(name, password):
            return await refused(service, identity, user=name, password=password) is None
        async with connected(service.url, identity, user="ann", password=PASSWORD) as client:
            level = await child((await twins(client))["Tank1"], "Level")
            await level.write_value(1.0, ua.VariantType.Double)
            async with subscribed(client, [level]) as (inbox, _, _):
                await inbox.until(level, lambda sample: sample.value == 1.0)

                users.add(tmp_path, user("eve", password="another one"))
                await eventually(lambda: comes("eve", "another one"), 20)
                assert users.command(tmp_path, "password", "eve", typed="from a pipe\n").returncode == 0
                await eventually(lambda: comes("eve", "from a pipe"), 30)

                # A file that somebody is writing by hand takes nobody's rights, and gives none.
                whole = (tmp_path / users.USERS_FILE).read_text()
                (tmp_path / users.USERS_FILE).write_text(whole.replace('"Operator"', '"Operatr"'))
                await eventually(lambda: said(service, "the users from before stay"), 20)
                await level.write_value(2.0, ua.VariantType.Double)
                (tmp_path / users.USERS_FILE).write_text(whole)

                assert users.command(tmp_path, "remove", "ann").returncode == 0

                async def may_nothing():
                    return await refusal_of(level.read_value()) == "BadNodeIdUnknown"
                await eventually(may_nothing, 20)
                denied = await inbox.until(level, lambda sample: sample.status == ua.StatusCodes.BadUserAccessDenied)
                assert denied.value is None
                async with connected(service.url, identity, user="eve", password="from a pipe") as other:
                    await (await child((await twins(other))["Tank1"], "Level")).write_value(3.0, ua.VariantType.Double)
                    await asyncio.sleep(0.5)
                    assert inbox.samples(level)[-1] == denied, "nothing comes after"
    finally:
        service.stop()


async def said(service, words):
    return words in service.process.said()


async def test_a_session_that_changes_its_user_has_that_ones_rights(tmp_path, identity):
    service = run(tmp_path, identity, user("ann"), user("bob", twins=("Tank2",)))
    try:
        async with connected(service.url, identity, user="ann", password=PASSWORD) as client:
            level = await child((await twins(client))["Tank1"], "Level")
            await level.write_value(1.0, ua.VariantType.Double)
            async with subscribed(client, [level]) as (inbox, _, _):
                await inbox.until(level, lambda sample: sample.value == 1.0)
                await client.activate_session(username="bob", password=PASSWORD)
                assert await refusal_of(level.read_value()) == "BadNodeIdUnknown"
                await inbox.until(level, lambda sample: sample.status == ua.StatusCodes.BadUserAccessDenied)
                await client.activate_session(username="ann", password=PASSWORD)

                async def comes_again():
                    return inbox.samples(level)[-1].value == 1.0
                await eventually(comes_again, 20)
    finally:
        service.stop()


def test_the_command_lists_and_refuses(tmp_path, identity):
    (tmp_path / "uatwin.toml").write_text(f'[server.security]\nusers_file = "{users.USERS_FILE}"\n')
    users.add(tmp_path, user("ann", twins=("Tank1", "Line*"), roles=("Operator", "SecurityAdmin")))
    assert (tmp_path / users.USERS_FILE).stat().st_mode & 0o777 == 0o600
    assert users.command(tmp_path, "list").stdout == "ann: Operator, SecurityAdmin; twins Tank1, Line*; password\n"
    before = (tmp_path / users.USERS_FILE).read_text()
    for arguments, words in [
        (["add", "ann", "--role", "Operator"], "already is"),
        (["add", "bob", "--role", "Operatr"], "did you mean `Operator`?"),
        (["add", "bob"], "--role"),
        (["password", "bob"], "there is no user"),
        (["remove", "bob"], "there is no user"),
    ]:
        done = users.command(tmp_path, *arguments, password="long enough")
        assert done.returncode == 2 and words in done.stderr, (arguments, done.stderr)
    assert users.command(tmp_path, "add", "bob", "--role", "Observer", typed="short\n").returncode == 2
    assert (tmp_path / users.USERS_FILE).read_text() == before


@pytest.mark.parametrize("stack", ["node", "o6"])
def test_users_of_other_stacks(service, identity, tmp_path, stack):
    read = {"read": {"nodes": ["i=2259"]}}
    [[state]] = run_steps(stack, service.url, tmp_path, identity, read, user={"name": "ann", "password": PASSWORD})
    assert state["status"] == 0
    with pytest.raises(AssertionError, match="IdentityTokenRejected"):
        run_steps(stack, service.url, tmp_path, identity, read, user={"name": "ann", "password": "wrong"})


def test_a_certificate_of_another_stack(service, identity, people, tmp_path):
    carl = people["carl"]
    who = {"certificate": str(carl.certificate), "key": str(carl.key)}
    [[state]] = run_steps("node", service.url, tmp_path, identity, {"read": {"nodes": ["i=2259"]}}, user=who)
    assert state["status"] == 0
