"""deploy/kubernetes: who reaches whom, what is asked whether a role is well, who may be moved."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from stream import settings
from stream.gateway.api import ENDPOINTS
from stream.http.access import access
from stream.http.listening import free_port
from stream.telemetry import setup as telemetry
from tests.deploy.manifests import (
    DEPLOYED,
    OVERLAYS,
    ROOT,
    build,
    environment,
    image_environment,
    main_container,
    of_kind,
    pod,
    ports,
    selects,
    workloads,
)
from tests.patience import PATIENCE

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def probes(container: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """The port and the path that each probe asks."""
    numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
    asked = {name: container[name]["httpGet"] for name in PROBES}
    return {name: (numbers[get["port"]], get["path"]) for name, get in asked.items()}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_what_the_role_serves(overlay: str) -> None:
    objects = build(overlay)
    for name in DEPLOYED:
        item = workloads(objects)[name]
        variables = environment(item, objects)
        metrics = int(variables["TIDECAST_METRICS_PORT"]), "/metrics"
        asked = probes(main_container(item))
        if name == "gateway":
            assert variables["TIDECAST_HTTP_HOST"] == "0.0.0.0"
            answers = {endpoint.path for endpoint in ENDPOINTS}
            port, path = asked.pop("readinessProbe")
            assert path in answers
            assert port == int(variables["TIDECAST_HTTP_PORT"])
        assert set(asked.values()) == {metrics}
        assert variables["TIDECAST_METRICS_HOST"] == "0.0.0.0"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_and_prometheus_are_answered_and_the_gateway_asks_for_its_token(
    overlay: str,
) -> None:
    objects = build(overlay)
    for name in DEPLOYED:
        variables = environment(workloads(objects)[name], objects)
        ours = {k: v for k, v in variables.items() if k.startswith(settings.PREFIX)}
        role = settings.load(environment=ours)
        by_pod = "10.0.0.7", "10.0.0.9:9100", "", 0.0
        assert access(role, "metrics").refusal(*by_pod) is None
        if name == "gateway":
            guard = access(role, "gateway")
            assert guard.refusal(*by_pod, public=True) is None  # /api/ready
            refused = guard.refusal(*by_pod)
            assert (refused is None) == (overlay == "development")


def test_a_live_role_answers_what_its_probes_ask_whatever_kafka_does() -> None:
    port = free_port()
    telemetry.serve(CollectorRegistry(), settings.Settings(metrics_port=port))
    asked = probes(main_container(workloads(build("production"))["tracker"]))
    for _, path in asked.values():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            assert answer.status == 200


def test_a_role_gets_minutes_to_start_and_is_not_killed_for_a_slow_answer() -> None:
    for name in DEPLOYED:
        container = main_container(workloads(build("production"))[name])
        start, live = container["startupProbe"], container["livenessProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 300
        assert live["periodSeconds"] * live["failureThreshold"] >= 120
        assert live["timeoutSeconds"] >= 5


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_stop_takes_no_longer_than_a_membership_lasts(overlay: str) -> None:
    objects = build(overlay)
    for name in DEPLOYED:
        item = workloads(objects)[name]
        variables = environment(item, objects)
        timeout = settings.Duration.parse(variables["TIDECAST_SESSION_TIMEOUT"])
        assert 30 <= pod(item)["spec"]["terminationGracePeriodSeconds"] <= timeout


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_lead_to_a_port_of_pods_that_there_are(overlay: str) -> None:
    objects = build(overlay)
    services = of_kind(objects, "Service")
    for name, service in services.items():
        reached = selects({"matchLabels": service["spec"]["selector"]}, objects)
        assert reached, name
        for port in service["spec"]["ports"]:
            named = [item for item in reached if port["targetPort"] in ports(item)]
            assert named, name
    for item in workloads(objects).values():
        if item["kind"] == "StatefulSet":
            assert services[item["spec"]["serviceName"]]
            assert item in selects(
                {"matchLabels": services[item["spec"]["serviceName"]]["spec"]["selector"]}, objects
            )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_role_has_one_disruption_budget_that_lets_nodes_be_drained(overlay: str) -> None:
    objects = build(overlay)
    budgets = of_kind(objects, "PodDisruptionBudget")
    reached = {name: selects(b["spec"]["selector"], objects) for name, b in budgets.items()}
    assert {name: [i["metadata"]["name"] for i in items] for name, items in reached.items()} == {
        name: [name] for name in DEPLOYED
    }
    assert all(budget["spec"]["maxUnavailable"] == 1 for budget in budgets.values())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_network_policies_select_pods_and_ports_that_there_are(overlay: str) -> None:
    objects = build(overlay)
    policies = of_kind(objects, "NetworkPolicy")
    for name, policy in policies.items():
        spec = policy["spec"]
        reached = selects(spec["podSelector"], objects)
        assert reached, name
        assert {kind.lower() for kind in spec["policyTypes"]} >= {"ingress", "egress"} & set(spec)
        for rule in spec.get("ingress", ()):
            assert rule["from"], name  # nobody at all would be everybody
            for port in rule["ports"]:
                assert any(port["port"] in ports(item) for item in reached), name
        peers = [
            peer
            for rule in (*spec.get("ingress", ()), *spec.get("egress", ()))
            for peer in (*rule.get("from", ()), *rule.get("to", ()))
        ]
        assert all(
            selects(peer["podSelector"], objects)
            for peer in peers
            if "podSelector" in peer and "namespaceSelector" not in peer
        ), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_passes_but_what_a_policy_lets_through(overlay: str) -> None:
    objects = build(overlay)
    policies = of_kind(objects, "NetworkPolicy")
    assert policies["nothing-else"]["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }
    gateway = workloads(objects)["gateway"]
    http = {
        name
        for name, policy in policies.items()
        for rule in policy["spec"].get("ingress", ())
        if gateway in selects(policy["spec"]["podSelector"], objects)
        if any(port["port"] == "http" for port in rule["ports"])
    }
    assert http == (set() if overlay == "development" else {"ingress-to-gateway"})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_roles_reach_kafka_at_its_port_and_nowhere_else(overlay: str) -> None:
    objects = build(overlay)
    policies = of_kind(objects, "NetworkPolicy")
    for name in (*DEPLOYED, "topics"):
        item = workloads(objects)[name]
        passes = {
            policy
            for policy, described in policies.items()
            if described["spec"].get("egress")
            and item in selects(described["spec"]["podSelector"], objects)
        }
        assert passes == {"names", "roles-to-kafka"}
        [rule] = policies["roles-to-kafka"]["spec"]["egress"]
        assert rule["to"]
        brokers = environment(item, objects)["TIDECAST_KAFKA"].split(",")
        assert {int(at.rpartition(":")[2]) for at in brokers} == {p["port"] for p in rule["ports"]}
    if overlay == "development":
        [host] = {at.rpartition(":")[0] for at in brokers}
        assert host in of_kind(objects, "Service")


def test_the_ingress_leads_to_the_gateway() -> None:
    objects = build("production")
    [ingress] = of_kind(objects, "Ingress").values()
    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    service = of_kind(objects, "Service")[path["backend"]["service"]["name"]]
    assert path["backend"]["service"]["port"]["name"] in {
        p["name"] for p in service["spec"]["ports"]
    }
    [reached] = selects({"matchLabels": service["spec"]["selector"]}, objects)
    assert reached["metadata"]["name"] == "gateway"
    assert rule["host"] in ingress["spec"]["tls"][0]["hosts"]


def test_prometheus_scrapes_each_role_as_the_job_that_the_rules_know() -> None:
    objects = build("autoscaling")
    [monitor] = of_kind(objects, "PodMonitor").values()
    label = monitor["spec"]["jobLabel"]
    scraped = [
        item
        for item in selects(monitor["spec"]["selector"], objects)
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
        if endpoint["port"] in ports(item)
    ]
    known = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    jobs = {job["job_name"] for job in known["scrape_configs"]}
    assert {pod(item)["metadata"]["labels"][label] for item in scraped} == jobs - {"edge-agent"}
    for item in scraped:
        marks = pod(item)["metadata"]["annotations"]
        assert marks["prometheus.io/scrape"] == "true"
        assert marks["prometheus.io/port"] == image_environment()["TIDECAST_METRICS_PORT"]
        assert marks["prometheus.io/path"] == monitor["spec"]["podMetricsEndpoints"][0]["path"]
        assert ports(item)["metrics"] == int(marks["prometheus.io/port"])
