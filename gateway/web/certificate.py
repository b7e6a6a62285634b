"""Our own authority and the certificate of this box: made at the first start that wants the shop's network.

By the openssl program, so that no resident process needs a library for it. The authority's certificate is what a
phone may be told to trust; its fingerprint is shown on the box itself, to be compared.
"""

import hashlib
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

AUTHORITY_DAYS = 7_300
BOX_DAYS = 397  # phones refuse what is valid for longer
RENEW_S = 30 * 86_400
OPENSSL_WITHIN_S = 30
ELLIPTIC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class NoCertificate(Exception):
    """HTTPS cannot be served. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Certificate:
    authority: Path
    chain: Path
    key: Path
    fingerprint: str  # of the authority: SHA-256, in pairs


def certificate(folder: Path, names: list[str]) -> Certificate:
    """The certificate for these names and addresses, made or renewed when it must be. Raises NoCertificate."""
    made = Certificate(folder / "authority.crt", folder / "box.crt", folder / "box.key", "")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _holds(made.authority, 0):
            _make_authority(folder)
        wanted = "\n".join(sorted(names))
        listed = folder / "box.names"
        if not _holds(made.chain, RENEW_S) or not listed.exists() or listed.read_text() != wanted:
            _make_box(folder, names)
            listed.write_text(wanted)
        der = ssl.PEM_cert_to_DER_cert(made.authority.read_text())
    except FileNotFoundError as error:
        raise NoCertificate("the program openssl is needed for HTTPS: apt-get install openssl") from error
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise NoCertificate(f"no certificate could be made in {folder}: {error}") from error
    digest = hashlib.sha256(der).hexdigest().upper()
    return Certificate(
        made.authority, made.chain, made.key, ":".join(digest[at : at + 2] for at in range(0, 64, 2))
    )


def names_of_this_box(host: str) -> list[str]:
    """What a phone may call it: the name, the name in the local network, the addresses."""
    name = socket.gethostname().split(".")[0].lower()
    addresses = {host} if host != "0.0.0.0" else _addresses()
    return [name, f"{name}.local", *sorted(addresses)]


def _addresses() -> set[str]:
    """The address that the way out begins at; nothing is sent for that. Loopback when there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
            return {probe.getsockname()[0]}
        except OSError:
            return {"127.0.0.1"}


def _make_authority(folder: Path) -> None:
    _openssl(
        *("req", "-x509", *ELLIPTIC, "-days", str(AUTHORITY_DAYS)),
        *("-subj", f"/CN=storekeeper {socket.gethostname()[:40]}"),
        *(
            "-addext",
            "basicConstraints=critical,CA:TRUE,pathlen:0",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ),
        *("-keyout", _secret(folder / "authority.key"), "-out", str(folder / "authority.crt")),
    )


def _make_box(folder: Path, names: list[str]) -> None:
    kinds = ["IP" if name[0].isdigit() else "DNS" for name in names]
    said = ",".join(f"{kind}:{name}" for kind, name in zip(kinds, names, strict=True))
    _openssl(
        *("req", "-x509", *ELLIPTIC, "-days", str(BOX_DAYS), "-subj", f"/CN={names[0][:60]}"),
        *("-CA", str(folder / "authority.crt"), "-CAkey", str(folder / "authority.key")),
        *("-addext", f"subjectAltName={said}", "-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "extendedKeyUsage=serverAuth"),
        *("-keyout", _secret(folder / "box.key"), "-out", str(folder / "box.crt")),
    )


def _holds(path: Path, seconds: int) -> bool:
    """Whether the certificate is there and good for so long."""
    if not path.exists():
        return False
    ends = ["x509", "-checkend", str(seconds), "-noout", "-in", str(path)]
    return subprocess.run(["openssl", *ends], capture_output=True, timeout=OPENSSL_WITHIN_S).returncode == 0


def _secret(path: Path) -> str:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    return str(path)


def _openssl(*words: str) -> None:
    said = subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=OPENSSL_WITHIN_S)
    if said.returncode:
        last = (said.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise OSError(f"openssl: {last}")
