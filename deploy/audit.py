"""Asks which packages of requirements.lock have known vulnerabilities: make audit.

pip-audit asks the database OSV. Ends with 0 where none is known, 1 where some are, and 75 where the
database could not be asked: then nothing is known, and it says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from deploy.lock import LOCK

_UNKNOWN = 75  # EX_TEMPFAIL


def main(arguments: list[str] | None = None) -> int:
    """Prints what was found, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--osv-url", default="", help="A mirror of OSV. Default: api.osv.dev.")
    mirror = parser.parse_args(arguments).osv_url
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps", "--disable-pip",
        "--vulnerability-service", "osv", "--format", "json", "--progress-spinner", "off",
        "--timeout", "15", *(["--osv-url", mirror] if mirror else []),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(
            f"NOT AUDITED: the database of vulnerabilities could not be asked ({last}). Nothing is "
            "known of these versions; run it again with a network.",
            file=sys.stderr,
        )
        return _UNKNOWN
    found = [(package, each) for package in packages for each in package.get("vulns", ())]
    for package, each in found:
        fixed = ", ".join(each["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {each['id']}, mended in {fixed}")
    print(f"{len(packages)} packages asked about, {len(found)} known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
