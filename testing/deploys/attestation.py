"""Issues attestations with a local chain of certificates, and verifies them.

`Authority` signs as GitHub's Sigstore does. A short-lived certificate names the
workflow, the repository and the commit. The certificate's key signs a statement that
contains the digests of files. The main program replaces `gh attestation verify`. This
program trusts the root certificate in the program's folder. The program checks the
signatures of the certificate and of the statement, and then compares the names in the
certificate with gh's options.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = "root.pem"
PAYLOAD = "application/vnd.in-toto+json"
PROVENANCE = "https://slsa.dev/provenance/v1"
ECDSA = ec.ECDSA(hashes.SHA256())
# The certificate extensions that Fulcio defines: https://github.com/sigstore/fulcio
FULCIO = "1.3.6.1.4.1.57264.1"
RUNNER, REPOSITORY, COMMIT = (f"{FULCIO}.{number}" for number in (11, 12, 13))


@dataclass(frozen=True)
class Origin:
    """The workflow run that signs, as the certificate describes this run."""

    repository: str
    commit: str
    workflow: str = ".github/workflows/ci.yml"
    ref: str = "refs/heads/main"
    runner: str = "github-hosted"

    @property
    def extensions(self) -> dict[str, str]:
        """The values of the certificate's extensions by number."""
        url = f"https://github.com/{self.repository}"
        return {RUNNER: self.runner, REPOSITORY: url, COMMIT: self.commit}


@dataclass
class Authority:
    """A local certificate authority with a new root key."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def root(self) -> bytes:
        """Return the root certificate as PEM."""
        return (
            _builder("root", self.key.public_key())
            .sign(self.key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    def attest(self, files: Iterable[Path], origin: Origin) -> dict[str, Any]:
        """Return the Sigstore bundle with a signed statement about these files."""
        key = ec.generate_private_key(ec.SECP256R1())
        signer = f"https://github.com/{origin.repository}/{origin.workflow}"
        name = x509.UniformResourceIdentifier(f"{signer}@{origin.ref}")
        builder = _builder("signer", key.public_key()).add_extension(
            x509.SubjectAlternativeName([name]), critical=True
        )
        for number, value in origin.extensions.items():
            # A UTF8String in DER. The value must be shorter than 128 bytes.
            data = bytes([12, len(value)]) + value.encode()
            extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(number), data)
            builder = builder.add_extension(extension, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [
                {"name": file.name, "digest": {"sha256": sha256(file)}}
                for file in files
            ],
            "predicateType": PROVENANCE,
            "predicate": {},
        }
        payload = json.dumps(statement).encode()
        raw = certificate.public_bytes(serialization.Encoding.DER)
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"certificate": {"rawBytes": encoded(raw)}},
            "dsseEnvelope": {
                "payload": encoded(payload),
                "payloadType": PAYLOAD,
                "signatures": [{"sig": encoded(key.sign(signed(payload), ECDSA))}],
            },
        }


def _builder(name: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def signed(payload: bytes) -> bytes:
    """Return the bytes that are signed, in the format of DSSE."""
    kind = PAYLOAD.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def install(folder: Path, authority: Authority) -> None:
    """Write a program `gh` into a folder. The program trusts certificates of this
    authority.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ROOT).write_bytes(authority.root)
    repository = Path(__file__).resolve().parents[2]
    gh = folder / "gh"
    gh.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(repository)!r})\n"
        "from testing.deploys.attestation import main\n"
        f"main({str(folder / ROOT)!r})\n",
        encoding="utf-8",
    )
    gh.chmod(0o755)


def verify(options: argparse.Namespace, root: x509.Certificate) -> list[Any]:
    """Verify an attestation, and return the JSON that `gh` then prints.

    Raises ValueError if the attestation is wrong; the message describes the first
    fault.
    """
    bundle = json.loads(options.bundle.read_text(encoding="utf-8"))
    raw = bundle["verificationMaterial"]["certificate"]["rawBytes"]
    certificate = x509.load_der_x509_certificate(base64.b64decode(raw))
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    try:
        certificate.verify_directly_issued_by(root)
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        [signature] = bundle["dsseEnvelope"]["signatures"]
        key.verify(base64.b64decode(signature["sig"]), signed(payload), ECDSA)
    except InvalidSignature:
        raise ValueError("the signature is not valid") from None
    statement = json.loads(payload)
    digests = [subject["digest"]["sha256"] for subject in statement["subject"]]
    if sha256(options.file) not in digests:
        raise ValueError(f"no attestation names the sha256 of {options.file}")
    if statement["predicateType"] != PROVENANCE:
        raise ValueError("the attestation is not a provenance")
    _verify_names(certificate, options)
    return [{"verificationResult": {"statement": statement}}]


def _verify_names(certificate: x509.Certificate, options: argparse.Namespace) -> None:
    """Compare the names in the certificate with gh's options."""
    found = {
        each.oid.dotted_string: each.value.value[2:].decode()
        for each in certificate.extensions
        if isinstance(each.value, x509.UnrecognizedExtension)
    }
    wanted = Origin(options.repo, options.source_digest).extensions
    if not options.deny_self_hosted_runners:
        del wanted[RUNNER]
    for number, value in wanted.items():
        if found[number].lower() != value.lower():
            raise ValueError(f"expected {value}, got {found[number]}")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    [signer] = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    if not signer.startswith(f"https://github.com/{options.signer_workflow}@"):
        raise ValueError(f"expected {options.signer_workflow}, got {signer}")


def main(root: str) -> None:
    """Verify as `gh attestation verify` does; exit with 1 if the attestation is
    wrong.
    """
    parser = argparse.ArgumentParser(prog="gh", allow_abbrev=False)
    parser.add_argument("command", choices=["attestation"])
    parser.add_argument("verb", choices=["verify"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--bundle", type=Path, required=True)
    for name in ("repo", "signer-workflow", "source-digest"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--deny-self-hosted-runners", action="store_true")
    parser.add_argument("--format", choices=["json"])
    options = parser.parse_args()
    trusted = x509.load_pem_x509_certificate(Path(root).read_bytes())
    try:
        print(json.dumps(verify(options, trusted)))
    except (ValueError, KeyError) as error:
        sys.exit(f"Error: {error}")
