"""Requirements on a RayCluster for KubeRay: those of Ray's autoscaler, by Ray's own check, and those of safety."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweeps.engine.clusterfiles.shape import NETWORK_POLICY, RAY_CLUSTER, misshapen
from sweeps.engine.clusterfiles.text import PLACEHOLDER, problem

Config = Mapping[str, Any]
HEAD = "spec.headGroupSpec"


def problems(documents: Sequence[Config]) -> Iterator[str]:
    """Yields the problems of the documents in a file for `kubectl apply`, one of which is a RayCluster."""
    shapes = {"RayCluster": RAY_CLUSTER, "NetworkPolicy": NETWORK_POLICY}
    if wrong := [line for d in documents for line in misshapen(d, shapes.get(str(d.get("kind")), {}))]:
        yield from wrong
        return
    cluster = next(d for d in documents if d.get("kind") == "RayCluster")
    try:
        accepted_by_ray(cluster)
    except Exception as error:  # a missing part, or a violation of Ray's schema
        yield problem("spec", f"{type(error).__name__} {error}", "Ray's autoscaler refuses it; fix it")
        return
    yield from cost(cluster)
    yield from doors(cluster["spec"])
    yield from policies(documents)
    for where, pod in pods(cluster["spec"]):
        yield from containers(where, pod)


def accepted_by_ray(cluster: Config) -> None:
    """Reads a RayCluster as Ray's autoscaler does when it starts.

    Raises:
        Exception: whatever Ray raises for a RayCluster that it cannot read.
    """
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    metadata = {"namespace": "default", **cluster["metadata"]}
    _derive_autoscaling_config_from_ray_cr({**cluster, "metadata": metadata})


def cost(cluster: Config) -> Iterator[str]:
    """Yields problems with the bounds on what is spent."""
    options = cluster["spec"].get("autoscalerOptions", {})
    if cluster["spec"].get("enableInTreeAutoscaling") is not True:
        yield problem("spec.enableInTreeAutoscaling", None, "set it to true, so that idle workers are removed")
    if not 0 < options.get("idleTimeoutSeconds", 0) <= 3600:
        yield problem("spec.autoscalerOptions.idleTimeoutSeconds", options.get("idleTimeoutSeconds"), "set 1 to 3600")
    if "spot" in str(selector := cluster["spec"]["headGroupSpec"]["template"]["spec"].get("nodeSelector")).lower():
        yield problem(
            f"{HEAD}.template.spec.nodeSelector", selector, "do not use spot: if the head is lost, everything is"
        )


def doors(spec: Config) -> Iterator[str]:
    """Yields ways in: nobody may enter without the token, and nothing may be shown outside the head's own pod."""
    head = spec["headGroupSpec"]
    if (mode := spec.get("authOptions", {}).get("mode")) != "token":
        yield problem("spec.authOptions.mode", mode, "set it to token")
    if (host := head.get("rayStartParams", {}).get("dashboard-host")) != "127.0.0.1":
        yield problem(f"{HEAD}.rayStartParams.dashboard-host", host, "set 127.0.0.1; KubeRay's default is 0.0.0.0")
    if (service := head.get("serviceType", "ClusterIP")) != "ClusterIP":
        yield problem(f"{HEAD}.serviceType", service, "set ClusterIP; `kubectl port-forward` reaches the dashboard")
    if head.get("enableIngress"):
        yield problem(f"{HEAD}.enableIngress", True, "set it to false; `kubectl port-forward` reaches the dashboard")


def policies(documents: Sequence[Config]) -> Iterator[str]:
    """Yields problems with the network policy, which may let in only the cluster's own pods, and with other documents.

    No other document may open a way in or hold a secret.
    """
    specs = [d["spec"] for d in documents if d.get("kind") == "NetworkPolicy"]
    if not any("Ingress" in spec.get("policyTypes", []) for spec in specs):
        yield problem("NetworkPolicy", None, "add one of policyTypes [Ingress] for the cluster's pods")
    for rule in (rule for spec in specs for rule in spec.get("ingress", [])):
        if not rule.get("from") or any(set(source) != {"podSelector"} for source in rule["from"]):
            yield problem("NetworkPolicy.spec.ingress", rule, "let in only the cluster's own pods, by podSelector")
    for kind in (str(d.get("kind")) for d in documents):
        if kind not in {"RayCluster", "NetworkPolicy"}:
            yield problem(
                "kind", kind, "remove it: make a Secret with kubectl instead; a Service or Ingress is a way in"
            )


def pods(spec: Config) -> Iterator[tuple[str, Config]]:
    """The pods of the head and of the workers."""
    yield HEAD, spec["headGroupSpec"]["template"]["spec"]
    for group in spec["workerGroupSpecs"]:
        yield f"spec.workerGroupSpecs.{group['groupName']}", group["template"]["spec"]


def containers(where: str, pod: Config) -> Iterator[str]:
    """Yields rights that training does not need, images that can change, and secrets in the environment."""
    if pod.get("securityContext", {}).get("runAsNonRoot") is not True:
        yield problem(f"{where}.securityContext.runAsNonRoot", None, "set it to true")
    if pod.get("hostNetwork") or any("hostPath" in volume for volume in pod.get("volumes", [])):
        yield problem(where, "hostNetwork or hostPath", "remove it: a pod needs nothing of its machine")
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        name, image = f"{where}.{container['name']}", str(container.get("image"))
        if "@sha256:" not in image and not PLACEHOLDER.search(image):
            yield problem(f"{name}.image", image, "name it by its digest, NAME@sha256:...")
        if container.get("securityContext", {}).get("allowPrivilegeEscalation") is not False:
            yield problem(f"{name}.securityContext.allowPrivilegeEscalation", None, "set it to false")
        for variable in container.get("env", []):
            if "value" in variable and any(w in variable["name"] for w in ("TOKEN", "PASSWORD", "SECRET", "KEY")):
                yield problem(f"{name}.env", variable["name"], "take it from a Secret with valueFrom.secretKeyRef")
