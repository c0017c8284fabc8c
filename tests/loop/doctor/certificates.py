"""Certificates as mail hosts show them, and as logos have them."""

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

FOR_LOGOS = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.31")
FOR_SERVERS = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")
MADE = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def _certificate(name: str, usage: x509.ObjectIdentifier, days: int) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(MADE)
        .not_valid_after(MADE + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(key, SHA256())
    )


def certificate(name: str = "mx.acme-mail.com") -> bytes:
    """A mail host's, in DER."""
    return _certificate(name, FOR_SERVERS, 365).public_bytes(Encoding.DER)


def mark_certificate(name: str, *, usage: x509.ObjectIdentifier = FOR_LOGOS, days: int = 365) -> bytes:
    """One for a logo, in PEM, valid from the beginning of 2026."""
    return _certificate(name, usage, days).public_bytes(Encoding.PEM)


def key_of(der: bytes) -> bytes:
    """The SubjectPublicKeyInfo in a certificate."""
    public = x509.load_der_x509_certificate(der).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
