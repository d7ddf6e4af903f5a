"""Users of a service, made by its own command."""

import dataclasses
import os
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from support.process import PROGRAM

USERS_FILE = "users.toml"


@dataclasses.dataclass(frozen=True)
class User:
    """A user with a password, or with the certificate of an identity."""

    name: str
    roles: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    password: str | None = None
    identity: object = None
    digest: type = hashes.SHA256

    def as_client(self):
        """What `connected` has to know."""
        if self.identity:
            return {"user_identity": self.identity}
        return {"user": self.name, "password": self.password}


def thumbprint(identity, digest=hashes.SHA256):
    return x509.load_der_x509_certificate(identity.certificate.read_bytes()).fingerprint(digest()).hex()


def command(folder, *arguments, password=None, typed=None):
    """`uatwin user …` on the service's config; the password in the environment, or typed into a pipe."""
    environment = {name: value for name, value in os.environ.items() if name != "UATWIN_PASSWORD"}
    if password is not None:
        environment["UATWIN_PASSWORD"] = password
    return subprocess.run([PROGRAM, "user", *arguments, "--config", folder / "uatwin.toml"], env=environment, input=typed or "",
                          capture_output=True, text=True, timeout=60)


def add(folder, user):
    options = [option for role in user.roles or ("Observer",) for option in ("--role", role)]
    options += [option for twin in user.twins for option in ("--twin", twin)]
    if user.identity:
        options += ["--certificate", thumbprint(user.identity, user.digest)]
    done = command(folder, "add", user.name, *options, password=user.password)
    assert done.returncode == 0, done.stderr
    if not user.roles:  # the command gives everybody a role; a file need not
        replace(folder, f'[user.{user.name}]', 'roles = ["Observer"]', "roles = []")


def replace(folder, after, old, new):
    """Changes the first `old` after a text of the users file."""
    file = folder / USERS_FILE
    text = file.read_text()
    at = text.index(old, text.index(after))
    file.write_text(text[:at] + new + text[at + len(old):])
