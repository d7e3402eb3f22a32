"""Apache Kafka's jars: fetched once by Maven, which verifies their checksums, and kept.

UnavailableError(TidecastError)    no Java, no Maven, or Maven could not fetch them; says which
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from topics.errors import TidecastError

POM = Path(__file__).with_name("pom.xml")
_LOGGING = Path(__file__).with_name("log4j2.properties")
_FETCH_SECONDS = 900.0
_JAVA = 17  # the oldest that brokers of this version run on
# What lives for minutes gains nothing by a compiler that takes as long to warm up.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


class UnavailableError(TidecastError):
    """Apache Kafka cannot be had here."""


@functools.cache
def version() -> str:
    """The version of Apache Kafka that is fetched."""
    found = ElementTree.parse(POM).find(".//{*}properties/{*}kafka.version")
    assert found is not None and found.text, f"{POM} names no kafka.version"
    return found.text


@functools.cache
def jars() -> Path:
    """The folder that holds Kafka's jars, fetched if they are not there yet.

    They are kept in the user's cache (`XDG_CACHE_HOME`, or `~/.cache`), a folder a version.

    Raises:
        UnavailableError: there is no Maven, or it could not fetch them; says why.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = cache / "tidecast" / f"apache-kafka-{version()}"
    if not kept.is_dir():
        maven = _program("mvn", "Maven (Debian, Ubuntu: apt-get install maven)")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            _fetch(maven, Path(folder) / "jars")
            _put(Path(folder) / "jars", kept)
    return kept


def java(program: str, arguments: Sequence[str], options: Sequence[str] = ()) -> list[str]:
    """The command line that runs a program of Kafka's.

    Args:
        program: its class, such as `kafka.Kafka`.
        arguments: what it is told.
        options: of the virtual machine.

    Raises:
        UnavailableError: there is no Java, or one that is too old, or the jars cannot be had.
    """
    return [
        _java(), *options, f"-Dlog4j2.configurationFile={_LOGGING}",
        "-cp", f"{jars()}/*", program, *arguments,
    ]  # fmt: skip


@functools.cache
def _java() -> str:
    name = f"Java {_JAVA} or newer (Debian, Ubuntu: apt-get install default-jre-headless)"
    path = _program("java", name)
    told = subprocess.run([path, "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found[1]) < _JAVA:
        raise UnavailableError(f"needs {name}; got {told.splitlines()[:1]}")
    return path


def _program(name: str, what: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise UnavailableError(f"needs {what}")
    return path


def _fetch(maven: str, folder: Path) -> None:
    command = [
        # -C: a checksum that does not match is an error, not a warning.
        maven, "--batch-mode", "--quiet", "-C", "--file", str(POM),
        "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"Maven did not fetch Apache Kafka {version()} in {_FETCH_SECONDS:g} s"
        ) from error
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line][:1]
        raise UnavailableError(f"Maven could not fetch Apache Kafka {version()}: {said}")


def _put(fetched: Path, kept: Path) -> None:
    try:
        fetched.rename(kept)
    except OSError:
        if not kept.is_dir():  # else somebody else was quicker, with the same
            raise
