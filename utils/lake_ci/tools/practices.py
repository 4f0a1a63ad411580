"""The project's own rules for one environment: what no schema and no server can know."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lake_ci.results import Finding, Outcome, Status, count
from lake_ci.tools import aws
from lake_ci.tools.known_settings import Programs
from lake_ci.tools.kustomize import Build
from lake_ci.tools.manifest_scans import NOT_BUILT, settings
from lake_ci.tools.manifests import Rendered, leaves
from lake_ci.tools.tool import Tool, Workbench

IMAGES = "reports/docker/images.json"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
AMOUNTS = ("cpu", "memory", "ephemeral-storage")
LEVEL = "pod-security.kubernetes.io/enforce"
TAGGED = re.compile(
    r"(?P<name>[^:@]+(?::\d+/[^:@]+)?)(?::(?P<tag>[\w.-]+))?(?P<digest>@sha256:[0-9a-f]{64})?"
)
ACCOUNT = re.compile(r"(?<!\d)\d{12}(?!\d)")
HARDENED: Mapping[tuple[str, ...], Any] = {
    ("allowPrivilegeEscalation",): False,
    ("readOnlyRootFilesystem",): True,
    ("capabilities", "drop"): ["ALL"],
}
# By the end of its path, a value that is another object's name.
NAMING = {
    "serviceAccountName": "ServiceAccount",
    "secretName": "Secret",
    "claimName": "PersistentVolumeClaim",
    "configMapRef.name": "ConfigMap",
    "configMapKeyRef.name": "ConfigMap",
    "configMap.name": "ConfigMap",
    "secretRef.name": "Secret",
    "secretKeyRef.name": "Secret",
    "service.name": "Service",
    "scaleTargetRef.name": "Deployment",
}


@dataclass(frozen=True)
class Facts:
    """What the rules know beside the manifests.

    Attributes:
        built: the names of the images that the docker session built; None where it left no report.
        reads: the variables that each program reads.
        secrets: the Secrets that people make by hand, or an operator does.
        account: the cloud account of the environment.
    """

    built: frozenset[str] | None
    reads: Mapping[str, set[str]]
    secrets: frozenset[str]
    account: str | None


Found = Iterator[Finding]
Rule = Callable[[str, Rendered, Facts], Found]


class Practices(Tool):
    """The environment keeps the project's own rules: probes, limits, images, network, settings that somebody reads."""

    def __init__(self, build: Build, programs: Programs) -> None:
        self.build = build
        self.programs = programs
        self.name = f"practices {build.environment}"

    def run(self, bench: Workbench) -> Outcome:
        rendered = self.build.made.wait()
        if rendered is None:
            return Outcome(Status.SKIPPED, NOT_BUILT)
        facts = Facts(
            built=built(bench),
            reads=self.programs.read(bench.root),
            secrets=frozenset(settings(bench)["secrets"]),
            account=aws.setting(bench, rendered.environment, "account_id"),
        )
        found = [finding for rule in RULES for finding in rule(self.name, rendered, facts)]
        clean = count(len(RULES), "rule")
        if facts.built is None:
            clean += f"; images not compared, for there is no {IMAGES}"
        return Outcome.of(found, clean=clean)


def built(bench: Workbench) -> frozenset[str] | None:
    """The names of the images that the docker session built, without registry and tag."""
    path = bench.root / IMAGES
    if not path.exists():
        return None
    return frozenset(last(row["name"]) for row in json.loads(path.read_text(encoding="utf-8")))


def last(image: str) -> str:
    """An image's name without registry, tag and digest."""
    return re.split(r"[:@]", image.rpartition("/")[2])[0]


def probes(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A container that serves is asked whether it has started, is ready, and lives."""
    for manifest in rendered.of("Deployment", "StatefulSet", "DaemonSet"):
        for path, container in manifest.containers():
            if path[-2] == "containers":
                for probe in PROBES:
                    if probe not in container:
                        yield manifest.finding(tool, "missing-probe", f"no {probe}", path)


def limits(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A container says what it needs, and what it may take."""
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            for kind in ("requests", "limits"):
                given = (container.get("resources") or {}).get(kind) or {}
                absent = [amount for amount in AMOUNTS if amount not in given]
                if absent:
                    message = f"no {kind} of {', '.join(absent)}"
                    yield manifest.finding(tool, f"missing-{kind}", message, (*path, "resources", kind))


def images(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """An image has a tag that stays what it is, and is one that the docker session builds."""
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            image = str(container.get("image", ""))
            match = TAGGED.fullmatch(image)
            tag = match["tag"] if match else None
            place = (*path, "image")
            if not match or (match["digest"] is None and tag in (None, "latest")):
                message = f"{image!r} says another thing every day; name a release"
                yield manifest.finding(tool, "latest", message, place)
            if facts.built is not None and last(image) not in facts.built:
                names = ", ".join(sorted(facts.built))
                message = f"{last(image)!r} is none of the images that were built: {names}"
                yield manifest.finding(tool, "unknown-image", message, place)


def hardened(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A container can gain nothing and writes to its volumes only; a pod is told neither token nor neighbours."""
    for manifest in rendered.workloads():
        spec = (*(manifest.pod or ()), "spec")
        for path, container in manifest.containers():
            context = (*path, "securityContext")
            if (container.get("securityContext") or {}).get("privileged"):
                yield manifest.finding(tool, "privileged", "a privileged container", (*context, "privileged"))
            for setting, wanted in HARDENED.items():
                if manifest.get(*context, *setting) != wanted:
                    message = f"securityContext.{'.'.join(setting)} is not {json.dumps(wanted)}"
                    yield manifest.finding(tool, "security-context", message, (*context, *setting))
        for name in ("automountServiceAccountToken", "enableServiceLinks"):
            if manifest.get(*spec, name) is not False:
                yield manifest.finding(tool, "security-context", f"{name} is not false", (*spec, name))


def network(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """All traffic is denied that no other policy allows."""
    for policy in rendered.of("NetworkPolicy"):
        spec = policy.body["spec"]
        closed = not spec.get("ingress") and not spec.get("egress") and not spec.get("podSelector")
        if closed and {"Ingress", "Egress"} <= set(spec.get("policyTypes", ())):
            return
    message = "no NetworkPolicy denies all traffic of all pods, in and out"
    yield rendered.missing(tool, "network-policy", message, "NetworkPolicy")


def namespace(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """The namespace holds its pods to the strictest level, and no Secret is written down."""
    spaces = list(rendered.of("Namespace"))
    if not spaces:
        yield rendered.missing(tool, "pod-security", "there is no Namespace", "Namespace")
    for space in spaces:
        if space.get("metadata", "labels", LEVEL) != "restricted":
            path = ("metadata", "labels", LEVEL)
            yield space.finding(tool, "pod-security", f"{LEVEL} is not restricted", path)
    for secret in rendered.of("Secret"):
        yield secret.finding(tool, "secret", "a Secret is referenced, and never committed")


def account(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """Buckets and roles are of the environment's own account, as terraform/ has it."""
    for manifest in rendered.manifests:
        for path, value in leaves(manifest.body):
            for number in ACCOUNT.findall(str(value)):
                if number != facts.account:
                    message = f"{value}: account {number}, and {rendered.environment}'s is {facts.account}"
                    yield manifest.finding(tool, "account", message, path)


def unread(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """Every key of a ConfigMap is a variable that the program it is given to reads."""
    for config in rendered.of("ConfigMap"):
        programs = set(readers(rendered, config.name))
        for key in config.body.get("data", ()):
            if not any(key in facts.reads.get(program, ()) for program in programs):
                who = " or ".join(sorted(programs)) or "nobody"
                message = f"{key} is no setting that {who} reads" if programs else f"{key}: no pod takes it"
                yield config.finding(tool, "unread-setting", message, ("data", key))


def readers(rendered: Rendered, config: str) -> Iterator[str]:
    """The programs that are given a ConfigMap as their environment."""
    for manifest in rendered.workloads():
        for _, container in manifest.containers():
            given = [each.get("configMapRef", {}).get("name") for each in container.get("envFrom", ())]
            words = [*(container.get("command") or ()), *(container.get("args") or ())]
            if config in given:
                yield next((word for word in words if word in ("lakekit", "lakekit-api")), str(words[:1]))


def engine(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """Spark is given no lake in a bucket, which lakekit refuses for want of a log store that can put-if-absent."""
    for config in rendered.of("ConfigMap"):
        data = config.body.get("data", {})
        if data.get("LAKEKIT_ENGINE") == "spark" and str(data.get("LAKEKIT_LAKE")).startswith("s3"):
            message = "Spark writes to no lake on S3 outside Databricks; the engine there is `embedded`"
            yield config.finding(tool, "engine", message, ("data", "LAKEKIT_ENGINE"))


def grace(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A pod is not killed before the API has ended by itself: LAKEKIT_API_GRACE and the pause before it."""
    for manifest in rendered.of("Deployment"):
        for path, container in manifest.containers():
            names = [each.get("configMapRef", {}).get("name") for each in container.get("envFrom", ())]
            configs = [rendered.named("ConfigMap", name) for name in names if name]
            said = [each.get("data", "LAKEKIT_API_GRACE") for each in configs if each]
            pause = manifest.get(*path, "lifecycle", "preStop", "sleep", "seconds") or 0
            spec = (*(manifest.pod or ()), "spec", "terminationGracePeriodSeconds")
            given = manifest.get(*spec) or 30
            needed = pause + max((float(each) for each in said if each), default=0.0)
            if given <= needed:
                message = f"killed after {given} s, and may need {needed:g} s to end by itself"
                yield manifest.finding(tool, "grace", message, spec)


def references(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """What a pod, an Ingress or an autoscaler names is there; Secrets are those that pyproject.toml lists."""
    for manifest in rendered.manifests:
        for path, value in leaves(manifest.body):
            kind = _named_kind(path)
            if kind is None or (kind == "Secret" and value in facts.secrets):
                continue
            if kind == "Secret":
                message = f"the Secret {value!r} is not listed in pyproject.toml as one that is made by hand"
                yield manifest.finding(tool, "reference", message, path)
            elif rendered.named(kind, str(value)) is None:
                yield manifest.finding(tool, "reference", f"there is no {kind} {value!r}", path)


def _named_kind(path: tuple[str | int, ...]) -> str | None:
    """What kind of object the value at a path names."""
    end = ".".join(map(str, path[-2:]))
    return NAMING.get(end) or NAMING.get(end.rpartition(".")[2])


def selectors(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """What selects pods selects some: a Service, a PodDisruptionBudget or a NetworkPolicy of nobody is a slip."""
    pods = [each.get(*(each.pod or ()), "metadata", "labels") or {} for each in rendered.workloads()]
    paths = {
        "Service": ("spec", "selector"),
        "PodDisruptionBudget": ("spec", "selector", "matchLabels"),
        "NetworkPolicy": ("spec", "podSelector", "matchLabels"),
    }
    for manifest in rendered.of(*paths):
        path = paths[manifest.kind]
        wanted = manifest.get(*path) or {}
        if not any(wanted.items() <= labels.items() for labels in pods):
            yield manifest.finding(tool, "selects-nothing", f"no pod has the labels {dict(wanted)}", path)


RULES: tuple[Rule, ...] = (
    probes,
    limits,
    images,
    hardened,
    network,
    namespace,
    account,
    unread,
    engine,
    grace,
    references,
    selectors,
)
