"""deploy/kubernetes: every overlay is built by kustomize, every object held against the schemas of
Kubernetes, of KEDA and of the Prometheus Operator, and everything that is ours (roles, commands,
settings, folders, users) against what the code, the image and docker-compose.yml have.

No cluster runs in the tests.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import typing
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator

from stream import cli, settings
from stream.gateway.roles import ROLES
from stream.kafka.access import security as kafka_security
from stream.secret import Secret
from tests.deploy.manifests import (
    COMPOSE,
    DEPLOYED,
    FOLDER,
    OVERLAYS,
    ROOT,
    Object,
    build,
    containers,
    environment,
    image_environment,
    is_ours,
    kustomize,
    main_container,
    of_kind,
    pod,
    workloads,
)
from tests.patience import PATIENCE

# The oldest of Kubernetes that the manifests are for, and the newest whose schemas there are.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
CUSTOM = {
    "ScaledObject": keda.ScaledObject,
    "TriggerAuthentication": keda.TriggerAuthentication,
    "PodMonitor": prometheus_operator.PodMonitor,
}
HARDENED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def hold_against_schema(item: Object, version: str) -> None:
    """Raises ValueError where it is not as its schema has it, or has what its schema has not."""
    model = CUSTOM.get(item["kind"])
    if model is None:
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise ValueError(
                f"{item['kind']} {item['metadata']['name']}: {error.message}"
            ) from error
    else:
        taken = model.model_validate(item).model_dump(
            by_alias=True, exclude_unset=True, mode="json"
        )
        if taken != item:
            raise ValueError(f"{item['kind']} {item['metadata']['name']} has unknown fields")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_as_its_schema_has_it(version: str) -> None:
    objects = [item for overlay in OVERLAYS for item in build(overlay)]
    distinct = {json.dumps(item, sort_keys=True): item for item in objects}
    assert len(distinct) > max(len(build(overlay)) for overlay in OVERLAYS)
    for item in distinct.values():
        hold_against_schema(item, version)


@pytest.mark.parametrize("name", ["tracker", "gateway", "topics"])
@pytest.mark.parametrize("wrong", [{"replicass": 3}, {"template": {"spec": {"containers": 3}}}])
def test_a_wrong_object_would_be_noticed(name: str, wrong: dict[str, Any]) -> None:
    item = workloads(build("production"))[name]
    with pytest.raises(ValueError):
        hold_against_schema(item | {"spec": item["spec"] | wrong}, VERSIONS[0])


@pytest.mark.parametrize("kind", ["ScaledObject", "PodMonitor"])
@pytest.mark.parametrize("wrong", [{"imagined": 3}, {"maxReplicaCount": [], "selector": 3}])
def test_a_wrong_custom_object_would_be_noticed(kind: str, wrong: dict[str, Any]) -> None:
    item = next(iter(of_kind(build("autoscaling"), kind).values()))
    with pytest.raises(ValueError):
        hold_against_schema(item | {"spec": item["spec"] | wrong}, VERSIONS[0])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_in_one_namespace_which_insists_on_little_rights(overlay: str) -> None:
    [namespace] = of_kind(build(overlay), "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [item for item in build(overlay) if item is not namespace]
    assert {item["metadata"]["namespace"] for item in others} == {namespace["metadata"]["name"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_role_is_deployed_and_workers_as_stateful_sets(overlay: str) -> None:
    objects = build(overlay)
    kinds = {name: item["kind"] for name, item in workloads(objects).items()}
    kinds.pop("kafka", None)
    expected = {name: "StatefulSet" if name in ROLES else "Deployment" for name in DEPLOYED}
    assert kinds == expected | {"topics": "Job"}
    for name, item in workloads(objects).items():
        if name != "kafka":
            assert pod(item)["metadata"]["labels"]["app.kubernetes.io/component"] == name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_commands_and_images_are_those_of_compose(overlay: str) -> None:
    for name, item in workloads(build(overlay)).items():
        for container in containers(item):
            image = container["image"].removeprefix("registry.example.com/")
            assert image == COMPOSE["services"][name]["image"]
        if name != "kafka":
            assert main_container(item)["args"] == COMPOSE["services"][name]["command"]


def test_commands_are_those_of_the_program() -> None:
    for item in workloads(build("production")).values():
        command: Any = typer.main.get_command(cli.app)
        for word in main_container(item)["args"]:
            command = command.commands[word]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_are_those_of_the_program(overlay: str) -> None:
    objects = build(overlay)
    known = {field.name for field in dataclasses.fields(settings.Settings)}
    for name, item in workloads(objects).items():
        if name == "kafka":
            continue
        variables = environment(item, objects)
        ours = {key: text for key, text in variables.items() if key.startswith(settings.PREFIX)}
        assert {key.removeprefix(settings.PREFIX).lower() for key in ours} <= known
        loaded = settings.load(environment=ours)
        kafka_security.check(loaded)
        assert loaded.metrics_port == 9100
        # A static member is known by this; pods of a StatefulSet have each a name of its own.
        worker = item["kind"] == "StatefulSet"
        assert loaded.instance == (f"{name}-0" if worker else settings.Settings().instance)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_variable_of_a_service_is_taken_for_a_setting(overlay: str) -> None:
    for item in workloads(build(overlay)).values():
        assert pod(item)["spec"]["enableServiceLinks"] is False
    with pytest.raises(settings.SettingsError, match="unknown setting"):
        settings.load(environment={"TIDECAST_GATEWAY_SERVICE_HOST": "10.0.0.1"})


def hold_against_rights(spec: dict[str, Any], container: dict[str, Any]) -> None:
    user = (ROOT / "deploy" / "Dockerfile").read_text().rpartition("\nUSER ")[2].split()[0]
    whole = spec.get("securityContext", {}) | container["securityContext"]
    assert whole["runAsNonRoot"] is True
    assert f"{whole['runAsUser']}:{whole['runAsGroup']}" == user
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert HARDENED.items() <= whole.items()
    assert not {"privileged", "procMount"} & set(whole)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_containers_may_do_no_more_than_they_need(overlay: str) -> None:
    objects = build(overlay)
    [account] = of_kind(objects, "ServiceAccount").values()
    assert account["automountServiceAccountToken"] is False
    seen = 0
    for name, item in workloads(objects).items():
        spec = pod(item)["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert all("hostPath" not in volume for volume in spec.get("volumes", ()))
        for container in containers(item):
            assert is_ours(container) == (name != "kafka")
            if is_ours(container):
                hold_against_rights(spec, container)
                seen += 1
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
    assert seen == 2 * len(DEPLOYED) + 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_has_to_be_written_to_is_a_volume(overlay: str) -> None:
    image = image_environment()
    objects = workloads(build(overlay))
    for name in DEPLOYED:
        item = objects[name]
        mounts = {m["mountPath"]: m["name"] for m in main_container(item)["volumeMounts"]}
        written = {"/tmp", image["NUMBA_CACHE_DIR"], image["TIDECAST_DATA_DIR"]}
        assert written <= set(mounts)
        claims = {c["metadata"]["name"] for c in item["spec"].get("volumeClaimTemplates", ())}
        scratch = {v["name"] for v in pod(item)["spec"]["volumes"] if "emptyDir" in v}
        assert not claims & scratch
        assert {mounts[path] for path in written} <= claims | scratch
        assert all(v["emptyDir"].get("sizeLimit") for v in pod(item)["spec"]["volumes"]
                   if "emptyDir" in v)  # fmt: skip
        # Compiled kernels come from the image into the volume that hides them.
        [prepare] = pod(item)["spec"]["initContainers"]
        [mount] = prepare["volumeMounts"]
        assert mount["name"] == mounts[image["NUMBA_CACHE_DIR"]]
        assert prepare["command"][2:] == [image["NUMBA_CACHE_DIR"] + "/.", mount["mountPath"]]


def test_kernels_are_copied_with_all_that_is_in_their_folder(tmp_path: Path) -> None:
    [prepare] = pod(workloads(build("production"))["tracker"])["spec"]["initContainers"]
    kernels = tmp_path / "image" / "stream_0a1b" / "cascade_kernel.nbi"
    kernels.parent.mkdir(parents=True)
    kernels.write_bytes(b"compiled")
    (tmp_path / "volume").mkdir()
    command = list(prepare["command"])
    command[2:] = [f"{tmp_path}/image/.", str(tmp_path / "volume")]
    subprocess.run(command, check=True, timeout=PATIENCE)
    copied = tmp_path / "volume" / "stream_0a1b" / "cascade_kernel.nbi"
    assert copied.read_bytes() == b"compiled"


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if name != "development"])
def test_what_a_role_may_use_is_what_compose_gives_it(overlay: str) -> None:
    for name in DEPLOYED:
        limits = COMPOSE["services"][name]["deploy"]["resources"]["limits"]
        given = main_container(workloads(build(overlay))[name])["resources"]
        assert (given["limits"]["cpu"], given["limits"]["memory"]) == (
            limits["cpus"],
            limits["memory"] + "i",
        )
        # A pod that is promised its memory is not the first to go when the node has none left.
        assert given["requests"]["memory"] == given["limits"]["memory"]


@pytest.mark.parametrize("role", ["tracker", "historian"])
def test_checkpoints_outlive_a_pod_and_are_shared_where_partitions_move(role: str) -> None:
    for overlay in OVERLAYS:
        objects = build(overlay)
        item = workloads(objects)[role]
        variables = environment(item, objects)
        where = variables.get("TIDECAST_CHECKPOINT_URL", variables["TIDECAST_DATA_DIR"])
        [volume] = [
            m["name"] for m in main_container(item)["volumeMounts"] if m["mountPath"] == where
        ]
        own = {c["metadata"]["name"] for c in item["spec"].get("volumeClaimTemplates", ())}
        shared = {
            v["name"]: v["persistentVolumeClaim"]["claimName"]
            for v in pod(item)["spec"]["volumes"]
            if "persistentVolumeClaim" in v
        }
        if overlay == "autoscaling":
            claim = of_kind(objects, "PersistentVolumeClaim")[shared[volume]]
            assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
        else:
            assert volume in own


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_files_that_settings_name_come_from_a_secret(overlay: str) -> None:
    objects = build(overlay)
    for name in (*DEPLOYED, "topics"):
        item = workloads(objects)[name]
        spec = pod(item)["spec"]
        named = {
            text
            for key, text in environment(item, objects).items()
            if key.startswith(settings.PREFIX) and key.endswith("_FILE")
        }
        secrets = {v["name"]: v["secret"] for v in spec.get("volumes", ()) if "secret" in v}
        mounts = main_container(item)["volumeMounts"]
        there = {
            f"{mount['mountPath']}/{entry['path']}"
            for mount in mounts
            if mount["name"] in secrets
            for entry in secrets[mount["name"]]["items"]
        }
        assert named == there
        # The files are root's, and of the pod's group: its user may read them, and others not.
        assert {secret["defaultMode"] for secret in secrets.values()} <= {0o440}
        assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]
    if overlay != "development":
        assert (
            settings.load(environment=dict(environment(item, objects))).kafka_security == "sasl_tls"
        )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_is_in_the_manifests(overlay: str) -> None:
    objects = build(overlay)
    assert of_kind(objects, "Secret") == {}
    kinds = typing.get_type_hints(settings.Settings)
    secrets = {settings.PREFIX + name.upper() for name, kind in kinds.items() if kind is Secret}
    assert "TIDECAST_KAFKA_PASSWORD" in secrets
    for item in workloads(objects).values():
        for container in containers(item):
            for entry in container.get("env", ()):
                assert "valueFrom" in entry or entry["name"] not in secrets
    for config in of_kind(objects, "ConfigMap").values():
        assert not secrets & set(config["data"])


def test_the_agent_of_an_edge_goes_beside_its_cache(tmp_path: Path) -> None:
    cache = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "cache", "labels": {"tidecast-edge-agent": "beside"}},
        "spec": {
            "selector": {"matchLabels": {"app": "cache"}},
            "template": {
                "metadata": {"labels": {"app": "cache", "tidecast-edge": "fra-3"}},
                "spec": {"containers": [{"name": "cache", "image": "nginx:1.28.0"}]},
            },
        },
    }
    overlay = {
        "namespace": "tidecast",
        "resources": [os.path.relpath(FOLDER / "overlays" / "production", tmp_path), "cache.yaml"],
        "components": [os.path.relpath(FOLDER / "components" / "edge-agent", tmp_path)],
        "images": [{"name": "tidecast", "newTag": "0.1.0"}],
    }
    (tmp_path / "cache.yaml").write_text(yaml.safe_dump(cache))
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    objects = kustomize(tmp_path)
    item = workloads(objects)["cache"]
    hold_against_schema(item, VERSIONS[0])
    spec = pod(item)["spec"]
    agents = [container for container in spec["containers"] if is_ours(container)]
    assert len(agents) == 1 and len(spec["containers"]) == 2
    [agent] = agents
    hold_against_rights({}, agent)
    assert agent["args"] == ["edge-agent"]
    assert "readinessProbe" not in agent
    [source] = agent["envFrom"]
    variables = image_environment()
    variables |= of_kind(objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    for entry in agent["env"]:
        fields = {"metadata.labels['tidecast-edge']": "fra-3"}
        variables[entry["name"]] = (
            entry["value"]
            if "value" in entry
            else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        )
    ours = {key: text for key, text in variables.items() if key.startswith(settings.PREFIX)}
    loaded = settings.load(environment=ours)
    assert loaded.edge == "fra-3"
    mounted = [mount["mountPath"] for mount in agent["volumeMounts"]]
    assert str(Path(loaded.edge_socket).parent) in mounted
    assert str(Path(loaded.kafka_password_file).parent) in mounted
    assert loaded.edge_socket in (ROOT / "deploy" / "edge" / "nginx" / "nginx.conf").read_text()


def test_the_page_names_what_there_is() -> None:
    text = (FOLDER / "README.md").read_text()
    known = {
        settings.PREFIX + field.name.upper() for field in dataclasses.fields(settings.Settings)
    }
    assert set(re.findall(r"TIDECAST_\w+", text)) <= known
    for path in re.findall(r"deploy/kubernetes/[\w/.-]+", text):
        assert (ROOT / path).exists(), path
    for overlay in OVERLAYS:
        assert f"overlays/{overlay}" in text
