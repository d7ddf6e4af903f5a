"""Application certificates, and where the service looks for the ones that it trusts."""

import dataclasses
import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PKI_FOLDER = "certs"  # of the service, beside its data
DEMO_PKI_FOLDER = "certs"  # of the demo, inside its data folder


@dataclasses.dataclass(frozen=True)
class Identity:
    """An application: its URI, certificate (DER) and private key (PEM)."""

    name: str
    uri: str
    certificate: pathlib.Path
    key: pathlib.Path


def make_identity(folder, name, uri=None, valid_days=365):
    """A self-signed application instance certificate as OPC 10000-6 §6.2.2 wants it; negative days: it has expired."""
    uri = uri or f"urn:foreign:{name}"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Foreign")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = x509.KeyUsage(True, True, True, True, False, True, False, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=valid_days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    identity = Identity(name, uri, folder / f"{name}.der", folder / f"{name}.pem")
    identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    identity.key.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return identity


def trust(pki, identity):
    """Puts a certificate where an operator would: `CN [THUMBPRINT].der` in the trusted folder."""
    der = identity.certificate.read_bytes()
    thumbprint = x509.load_der_x509_certificate(der).fingerprint(hashes.SHA1()).hex()
    trusted = pki / "trusted"
    trusted.mkdir(parents=True, exist_ok=True)
    (trusted / f"{identity.name} [{thumbprint}].der").write_bytes(der)
