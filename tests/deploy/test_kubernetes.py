"""deploy/kubernetes and the chart it is rendered from.

What needs no program beyond PyYAML runs everywhere; what needs helm runs where it is on PATH or in .cache/bin.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import consumer
from consumer.core.lease import Timing
from consumer.settings import KafkaSettings, load
from tests.deploy import tools

PLAIN = tools.DEPLOY / "kubernetes"
RENDERED = [
    *("migrate-job.yaml", "statefulset.yaml", "pdb.yaml", "networkpolicy.yaml", "audit-cronjob.yaml"),
    *("monitoring/podmonitor.yaml", "monitoring/prometheusrule.yaml", "keda/scaledobject.yaml"),
]
SECRET_VALUES = {
    "kafka.securityProtocol": "SASL_SSL",
    "kafka.sasl.mechanism": "SCRAM-SHA-512",
    "kafka.sasl.username": "zkp2p",
    "kafka.sasl.passwordSecret.name": "kafka",
    "kafka.caSecret.name": "kafka-ca",
    "kafka.extra.client\\.id": "payments",
    "kafka.clientCertificateSecret.name": "kafka-client",
    "clickhouse.url": "https://clickhouse:8443",
    "clickhouse.passwordSecret.name": "clickhouse",
    "clickhouse.caSecret.name": "clickhouse-ca",
    "clickhouse.compression": "zstd",
    "clickhouse.cluster": "main",
    "migrate.username": "zkp2p_migrator",
    "migrate.passwordSecret.name": "migrator",
    "audit.username": "zkp2p_auditor",
    "audit.passwordSecret.name": "clickhouse",
    "audit.passwordSecret.key": "auditor",
    "env.ZKP2P_BATCH__MAX_SECONDS": "5",
}


def pods(documents: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if document["kind"] in ("StatefulSet", "Job", "CronJob"):
            yield document["kind"], spec["template"]["spec"]


def plain() -> list[Any]:
    return [document for file in RENDERED for document in tools.yaml_documents(PLAIN / file)]


def template(*arguments: str, **values: Any) -> list[Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")
    settings = [f"{name}={value}" for name, value in values.items()]
    text = tools.run(
        tools.go_program("helm"), "template", "payments", str(tools.CHART), "--namespace", "n", "--kube-version", "1.34.0",
        *arguments, *(part for value in settings for part in ("--set-string" if "env." in value else "--set", value)),
    )  # fmt: skip
    return [document for document in yaml.safe_load_all(text) if document]


def everything() -> list[Any]:
    on = ("monitoring.podMonitor.enabled", "monitoring.prometheusRule.enabled", "autoscaling.enabled")
    return template(**dict.fromkeys(on, "true"), **SECRET_VALUES)


def test_the_plain_manifests_are_current() -> None:
    """`render.sh` leaves a digest of what it read; with helm the manifests themselves are compared as well."""
    files = sorted((path for path in tools.CHART.rglob("*") if path.is_file()), key=str)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(tools.PROJECT)}\n"
        for path in [PLAIN / "render.sh", *files]
    ]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert (PLAIN / "chart.sha256").read_text().strip() == digest, "run deploy/kubernetes/render.sh"


def test_rendering_again_gives_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(PLAIN / "render.sh"), str(tmp_path)],
        env={"PATH": "/usr/bin:/bin", "HELM": tools.go_program("helm")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for file in RENDERED:
        assert (tmp_path / file).read_text() == (PLAIN / file).read_text(), file


def test_the_chart_is_of_this_version() -> None:
    chart = tools.yaml_document(tools.CHART / "Chart.yaml")
    assert chart["appVersion"] == consumer.__version__


KUBERNETES = "1.34"
ABSENT = r"absent(zkp2p_consumer_assigned_partitions{{namespace=\"{namespace}\"}})"
CUSTOM = {"PodMonitor", "PrometheusRule", "ScaledObject"}
"""Kinds of operators, whose schemas are not Kubernetes' own: only an API server with their definitions judges those."""


def check_schema(documents: list[Any]) -> None:
    judged = [document for document in documents if document["kind"] not in CUSTOM]
    assert {"StatefulSet", "Job", "CronJob", "PodDisruptionBudget", "NetworkPolicy"} <= {d["kind"] for d in judged}
    for document in judged:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_the_manifests_follow_the_schema_of_kubernetes() -> None:
    check_schema([*plain(), *tools.yaml_documents(PLAIN / "namespace.yaml")])
    wrong = plain()
    wrong[0]["spec"]["backofLimit"] = 6
    with pytest.raises(kubernetes_validate.ValidationError, match="backofLimit"):
        check_schema(wrong)


def test_kustomization_lists_files_that_exist() -> None:
    for file in tools.yaml_document(PLAIN / "kustomization.yaml")["resources"]:
        assert (PLAIN / file).is_file()


def check_restricted(kind: str, pod: dict[str, Any]) -> None:
    """The restricted Pod Security Standard, and what of it we promise beyond."""
    assert pod["securityContext"]["runAsNonRoot"] is True, kind
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {"emptyDir", "projected"}


def test_every_pod_is_restricted() -> None:
    found = list(pods(plain()))
    assert sorted(kind for kind, _ in found) == ["CronJob", "Job", "StatefulSet"]
    for kind, pod in found:
        check_restricted(kind, pod)


def check_settings(container: dict[str, Any], tmp_path: Path) -> dict[str, str]:
    """The program itself accepts the container's environment; returns it."""
    environ = {}
    for entry in container["env"]:
        name, value = entry["name"], entry.get("value")
        if value is None:
            assert entry["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
            value = "zkp2p-consumer-0"
        if value.startswith("/etc/zkp2p/secrets/"):
            assert "/etc/zkp2p/secrets" in [mount["mountPath"] for mount in container["volumeMounts"]]
            file = tmp_path / Path(value).name
            file.write_text("a secret\n")
            value = str(file)
        environ[name] = value
    load(None, environ)
    return environ


def test_the_program_accepts_the_environment_of_every_pod(tmp_path: Path) -> None:
    for kind, pod in pods(plain()):
        environ = check_settings(pod["containers"][0], tmp_path)
        assert ("ZKP2P_KAFKA__INSTANCE_ID" in environ) == (kind == "StatefulSet")


def test_no_secret_is_a_value_in_the_manifests() -> None:
    for _, pod in pods(plain()):
        for entry in pod["containers"][0]["env"]:
            if re.search("PASSWORD|SECRET|TOKEN", entry["name"]):
                assert entry["name"].endswith("_FILE")


def test_probes_ask_for_the_process_and_nothing_else() -> None:
    (statefulset,) = tools.yaml_documents(PLAIN / "statefulset.yaml")
    (container,) = statefulset["spec"]["template"]["spec"]["containers"]
    port = {"path": "/livez", "port": "metrics"}
    assert container["livenessProbe"]["httpGet"] == port
    assert container["startupProbe"]["httpGet"] == port
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert [p["name"] for p in container["ports"]] == ["metrics"]
    assert "maxUnavailable" not in str(statefulset["spec"].get("updateStrategy", {}))


def test_selectors_meet_the_pods_they_mean() -> None:
    documents = {document["kind"]: document for document in plain()}
    labels = documents["StatefulSet"]["spec"]["template"]["metadata"]["labels"].items()
    others = [
        documents["Job"]["spec"]["template"]["metadata"]["labels"].items(),
        documents["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"].items(),
    ]
    for kind in ("StatefulSet", "PodDisruptionBudget", "PodMonitor"):
        wanted = documents[kind]["spec"]["selector"]["matchLabels"].items()
        assert wanted <= labels, kind
        assert not any(wanted <= other for other in others), kind
    for pod in (labels, *others):
        assert documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= pod
    assert documents["ScaledObject"]["spec"]["scaleTargetRef"]["name"] == documents["StatefulSet"]["metadata"]["name"]


def test_each_pod_does_its_own_job_and_no_other() -> None:
    args = {kind: pod["containers"][0]["args"] for kind, pod in pods(plain())}
    assert args == {"StatefulSet": ["run"], "Job": ["migrate"], "CronJob": ["audit", "--days", "7"]}
    users = {
        kind: next(e["value"] for e in pod["containers"][0]["env"] if e["name"] == "ZKP2P_CLICKHOUSE__USERNAME")
        for kind, pod in pods(plain())
    }
    assert users == {"StatefulSet": "zkp2p", "Job": "zkp2p_migrator", "CronJob": "zkp2p_auditor"}


def test_the_network_is_closed_but_for_what_is_needed() -> None:
    (policy,) = tools.yaml_documents(PLAIN / "networkpolicy.yaml")
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    (rule,) = spec["ingress"]
    assert [port["port"] for port in rule["ports"]] == [load(None, {}).http.port]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    out = {(port["port"], port["protocol"]) for rule in spec["egress"] for port in rule["ports"]}
    assert out == {(53, "UDP"), (53, "TCP"), *((n, "TCP") for n in (8123, 8443, 9092, 9093, 9094))}


def test_a_drain_takes_one_pod_at_a_time_and_a_sick_one_holds_nobody_up() -> None:
    (budget,) = tools.yaml_documents(PLAIN / "pdb.yaml")
    assert (budget["spec"]["maxUnavailable"], budget["spec"]["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_the_autoscaler_goes_by_the_lag_of_our_topic_and_group() -> None:
    (scaled,) = tools.yaml_documents(PLAIN / "keda" / "scaledobject.yaml")
    values = tools.yaml_document(tools.CHART / "values.yaml")
    assert scaled["spec"]["minReplicaCount"] == 1
    assert scaled["spec"]["maxReplicaCount"] <= values["autoscaling"]["partitions"]
    (trigger,) = scaled["spec"]["triggers"]
    settings = load(None, {}).kafka
    assert trigger["type"] == "kafka"
    assert (trigger["metadata"]["topic"], trigger["metadata"]["consumerGroup"]) == (settings.topic, settings.group_id)
    assert trigger["metadata"]["excludePersistentLag"] == "true"


def test_the_alerts_of_the_audit_and_the_pods_name_what_there_is() -> None:
    documents = {document["kind"]: document for document in plain()}
    text = (tools.CHART / "files" / "alerts.rules.yml").read_text()
    (cronjob,) = set(re.findall(r'cronjob=~"([^"]+)"', text))
    (job,) = set(re.findall(r'job_name=~"([^"]+)"', text))
    (pod,) = set(re.findall(r'pod=~"([^"]+)"', text))
    assert re.fullmatch(cronjob, documents["CronJob"]["metadata"]["name"])
    assert re.fullmatch(job, documents["CronJob"]["metadata"]["name"] + "-29012345")
    assert re.fullmatch(pod, documents["StatefulSet"]["metadata"]["name"] + "-0")
    assert not re.fullmatch(pod, documents["Job"]["metadata"]["name"] + "-x2x9z")


def test_the_rules_of_the_operator_are_the_rules() -> None:
    (rendered,) = tools.yaml_documents(PLAIN / "monitoring" / "prometheusrule.yaml")
    wanted = [
        group
        for name in ("slo", "alerts")
        for group in tools.yaml_document(tools.DEPLOY / "prometheus" / f"{name}.rules.yml")["groups"]
    ]
    text = json.dumps(wanted)
    for label in ("pod", "job_name", "cronjob"):
        text = text.replace(f'{label}=~\\".*zkp2p', f'namespace=\\"zkp2p\\", {label}=~\\"zkp2p')
    text = text.replace("absent(zkp2p_consumer_assigned_partitions)", ABSENT.format(namespace="zkp2p"))
    assert rendered["spec"]["groups"] == json.loads(text)


@pytest.mark.parametrize("release", ["payments", "zkp2p-consumer-eu", "my-very-long-team-name-production-eu"])
def test_the_alerts_of_any_release_name_what_there_is(release: str) -> None:
    needed = ["clickhouse.username=u", "clickhouse.passwordSecret.name=p", "monitoring.prometheusRule.enabled=true"]
    settings = [word for value in needed for word in ("--set", value)]
    command = (tools.go_program("helm"), "template", release, str(tools.CHART), "--namespace", "n", *settings)
    text = tools.run(*command, "--kube-version", "1.34.0")
    documents = {document["kind"]: document for document in yaml.safe_load_all(text) if document}
    names = [documents["StatefulSet"]["metadata"]["name"] + "-0", documents["CronJob"]["metadata"]["name"]]
    expressions = json.dumps(documents["PrometheusRule"]["spec"])
    assert ABSENT.format(namespace="n") in expressions, "others' consumers are not ours"
    for label, name in zip(("pod", "cronjob", "job_name"), [*names, names[1] + "-29012345"], strict=True):
        found = set(re.findall(rf'namespace=\\"n\\", {label}=~\\"([^"]+)\\"', expressions))
        assert [bool(re.fullmatch(pattern, name)) for pattern in found] == [True], (label, name, found)


def test_helm_finds_nothing_to_say() -> None:
    assert "0 chart(s) failed" in tools.run(tools.go_program("helm"), "lint", "--strict", str(tools.CHART))


def test_with_every_option_on(tmp_path: Path) -> None:
    documents = everything()
    assert len(documents) == 8
    check_schema(documents)
    assert {document["metadata"]["namespace"] for document in documents} == {"n"}
    by_kind = {document["kind"]: document for document in documents}
    assert "replicas" not in by_kind["StatefulSet"]["spec"], "KEDA owns the number"
    for kind, pod in pods(documents):
        check_restricted(kind, pod)
        environ = check_settings(pod["containers"][0], tmp_path)
        assert environ["ZKP2P_BATCH__MAX_SECONDS"] == "5"
        assert json.loads(environ["ZKP2P_KAFKA__EXTRA"]) == {
            "client.id": "payments",
            "ssl.certificate.location": "/etc/zkp2p/secrets/kafka-client.crt",
            "ssl.key.location": "/etc/zkp2p/secrets/kafka-client.key",
        }
        assert mounted(pod) == {
            "kafka-password": ("kafka", "password"),
            "kafka-ca.crt": ("kafka-ca", "ca.crt"),
            "kafka-client.crt": ("kafka-client", "tls.crt"),
            "kafka-client.key": ("kafka-client", "tls.key"),
            "clickhouse-password": {
                "StatefulSet": ("clickhouse", "password"),
                "Job": ("migrator", "password"),
                "CronJob": ("clickhouse", "auditor"),
            }[kind],
            "clickhouse-ca.crt": ("clickhouse-ca", "ca.crt"),
        }
        user = {"StatefulSet": "default", "Job": "zkp2p_migrator", "CronJob": "zkp2p_auditor"}[kind]
        assert environ["ZKP2P_CLICKHOUSE__USERNAME"] == user


def mounted(pod: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """File -> name and key of the Secret it comes from."""
    secrets = [source["secret"] for source in pod["volumes"][1]["projected"]["sources"]]
    return {item["path"]: (secret["name"], item["key"]) for secret in secrets for item in secret["items"]}


def test_properties_out_of_a_secret() -> None:
    for _, pod in pods(template(**{"kafka.extraSecret.name": "properties"})):
        environ = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
        assert environ["ZKP2P_KAFKA__EXTRA_FILE"] == "/etc/zkp2p/secrets/kafka-extra.json"
        assert "ZKP2P_KAFKA__EXTRA" not in environ
        assert mounted(pod) == {"kafka-extra.json": ("properties", "extra.json")}


def test_another_user_has_another_password_or_none() -> None:
    documents = template(**{"clickhouse.passwordSecret.name": "clickhouse", "migrate.username": "somebody"})
    for kind, pod in pods(documents):
        environ = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
        assert ("ZKP2P_CLICKHOUSE__PASSWORD_FILE" in environ) == (kind != "Job")


def test_there_is_time_to_land_what_is_in_flight() -> None:
    (pod,) = [pod for kind, pod in pods(list(plain())) if kind == "StatefulSet"]
    compose = tools.yaml_document(tools.DEPLOY / "docker-compose.yml")["services"]["consumer"]
    flush = Timing.of_session(KafkaSettings().session_timeout_ms).revoke
    leave = 10  # the last commit, and leaving the group
    assert pod["terminationGracePeriodSeconds"] > flush + leave
    assert int(compose["stop_grace_period"].removesuffix("s")) > flush + leave


@pytest.mark.parametrize("session_ms", [6_000, 300_000, 1_800_000])
def test_a_long_session_leaves_more_time_to_land(session_ms: int) -> None:
    documents = template(**{"kafka.extra.session\\.timeout\\.ms": session_ms})
    (pod,) = [pod for kind, pod in pods(documents) if kind == "StatefulSet"]
    assert pod["terminationGracePeriodSeconds"] > Timing.of_session(session_ms).revoke + 10
    (extra,) = [e["value"] for e in pod["containers"][0]["env"] if e["name"] == "ZKP2P_KAFKA__EXTRA"]
    assert load(None, {"ZKP2P_KAFKA__EXTRA": extra}).kafka.session_timeout_ms == session_ms


def test_kip_848_goes_without_static_membership() -> None:
    documents = template(**{"kafka.groupProtocol": "consumer"})
    for _, pod in pods(documents):
        assert "ZKP2P_KAFKA__INSTANCE_ID" not in [entry["name"] for entry in pod["containers"][0]["env"]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["autoscaling.enabled=true", "autoscaling.maxReplicas=7"], "would idle"),
        (["replica=3"], "replica"),
        (["kafka.groupProtocol=eager"], "groupProtocol"),
        (["terminationGracePeriodSeconds=5"], "terminationGracePeriodSeconds"),
        (["clickhouse.url=clickhouse:8123"], "url"),
        (["env.KAFKA__TOPIC=x"], "KAFKA__TOPIC"),
        (["networkPolicy.prometheusPeers="], "prometheusPeers"),
        (["podLabels.canary=true"], "podLabels"),
        (["kafka.extraSecret.name=s", "kafka.extra.a=b"], "kafka.extraSecret holds all properties"),
    ],
)
def test_values_that_can_not_work_are_refused(values: list[str], said: str) -> None:
    settings = [part for value in values for part in ("--set", value)]
    command = (tools.go_program("helm"), "template", "x", str(tools.CHART), "--kube-version", "1.34.0", *settings)
    assert said in tools.run(*command, expect=1)
