"""Requirements on a file for `ray up`: first those of Ray's own check, then those of safety and cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sweeps.engine.clusterfiles.shape import LAUNCHER, misshapen
from sweeps.engine.clusterfiles.text import problem

Config = Mapping[str, Any]
START = ("head_start_ray_commands", "worker_start_ray_commands")
SETUP = ("initialization_commands", "head_setup_commands", "worker_setup_commands")  # Ray adds the common ones to each
INSTALL = re.compile(r"\bpip3? install\b")
PIPED = re.compile(r"\b(?:curl|wget)\b.*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b")
LOOPBACK = re.compile(r"--dashboard-host[= ](?:127\.0\.0\.1|localhost|::1)(?!\S)")
TOKEN = "~/.ray/auth_token"  # noqa: S105 - its path, not the token


def problems(document: Config) -> Iterator[str]:
    """Yields the problems of a file for `ray up`.

    The rules apply to the file with Ray's defaults filled in, because some of those are not safe.
    """
    if shapes := list(misshapen(document, LAUNCHER)):
        yield from shapes
        return
    provider = document["provider"]["type"]
    if provider not in MACHINES:
        yield problem("provider.type", provider, f"one of {', '.join(MACHINES)}")
        return
    try:
        config = prepared(document)
    except Exception as error:  # whatever Ray raises is why `ray up` would stop
        path = ".".join(map(str, getattr(error, "absolute_path", []))) or "the file"
        yield problem(path, getattr(error, "message", error), "Ray refuses it; fix it to match Ray's schema")
        return
    yield from cost(document)
    yield from start_commands(config)
    yield from packages(config)
    yield from MACHINES[provider](config)


def prepared(document: Config) -> dict[str, Any]:
    """The file with the defaults that `ray up` fills in.

    Raises:
        Exception: whatever Ray raises for a file that it refuses.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    config: dict[str, Any] = prepare_config(dict(document))
    validate_config(config)
    return config


def cost(document: Config) -> Iterator[str]:
    """Yields problems with the bounds on what is spent, which must be in the file itself."""
    if not isinstance(document.get("max_workers"), int):
        yield problem(
            "max_workers", document.get("max_workers"), "set the number of workers that you would pay for at once"
        )
    if not 0 < (document.get("idle_timeout_minutes") or 0) <= 60:
        yield problem("idle_timeout_minutes", document.get("idle_timeout_minutes"), "set 1 to 60, so that idle ones go")


def start_commands(config: Config) -> Iterator[str]:
    """Yields start commands without token authentication, or with a dashboard that others can reach."""
    if TOKEN not in config["file_mounts"]:
        yield problem("file_mounts", ", ".join(config["file_mounts"]), f"add {TOKEN}: {TOKEN}")
    for where in START:
        for command in (c for c in config[where] if "ray start" in c):
            if not re.search(r"\bRAY_AUTH_MODE=token\s(?:.*\s)?ray start", command):
                yield problem(where, command, "write RAY_AUTH_MODE=token before ray start; without it Ray is open")
            hosts = command.count("--dashboard-host")
            if hosts != len(LOOPBACK.findall(command)) or ("--head" in command and not hosts):
                yield problem(where, command, "write --dashboard-host=127.0.0.1; `ray dashboard` reaches it by SSH")


def packages(config: Config) -> Iterator[str]:
    """Yields commands that install packages without hashes, or that run scripts from the internet."""
    commands = {(where, command): None for where in SETUP for command in config[where]}
    for name, node in config["available_node_types"].items():
        commands |= {(f"{name}.{where}", c): None for where in SETUP for c in node.get(where, [])}
    for where, command in commands:
        if INSTALL.search(command) and "--require-hashes" not in command:
            yield problem(where, command, "add --require-hashes, or set [] where Ray's defaults install something")
        if PIPED.search(command):
            yield problem(where, command, "install from requirements.txt by hashes, not by a script on the internet")
    if not any("--require-hashes" in command for _, command in commands):
        yield problem("setup_commands", "nothing", "install requirements.txt with --require-hashes")


def aws(config: Config) -> Iterator[str]:
    """Yields problems of AWS machines: open groups, metadata without tokens, plain disks, Ray's own role for a head."""
    if "security_group" in config["provider"]:
        remedy = "make the group yourself and name it in SecurityGroupIds: Ray adds SSH from 0.0.0.0/0 to these rules"
        yield problem("provider.security_group", config["provider"]["security_group"], remedy)
    for name, node, is_head in nodes(config):
        if not node.get("SecurityGroupIds"):
            yield problem(f"{name}.SecurityGroupIds", None, "name a group; Ray's own opens SSH to 0.0.0.0/0")
        if not node.get("ImageId"):
            yield problem(f"{name}.ImageId", None, "name an image; Ray's own is from 2022")
        if (tokens := node.get("MetadataOptions", {}).get("HttpTokens")) != "required":
            yield problem(f"{name}.MetadataOptions.HttpTokens", tokens, "set it to required (IMDSv2)")
        disks = [disk.get("Ebs", {}) for disk in node.get("BlockDeviceMappings", [])]
        if not disks or not all(disk.get("Encrypted") is True for disk in disks):
            yield problem(f"{name}.BlockDeviceMappings", disks, "set Encrypted: true for every disk")
        if is_head and not node.get("IamInstanceProfile"):
            yield problem(
                f"{name}.IamInstanceProfile", None, "name a profile; Ray's own may do everything in EC2 and S3"
            )
        if is_head and (market := node.get("InstanceMarketOptions")):
            yield problem(f"{name}.InstanceMarketOptions", market, "remove it: if the head is lost, everything is")


def gcp(config: Config) -> Iterator[str]:
    """Yields problems of Google Cloud machines: the default network, Ray's own key, Ray's own role for the head."""
    if not config["auth"].get("ssh_private_key"):
        yield problem("auth.ssh_private_key", None, "name a key; Ray's own may log in to every machine of the project")
    for name, node, is_head in nodes(config):
        if not node.get("networkInterfaces"):
            yield problem(
                f"{name}.networkInterfaces", None, "name a subnetwork; the default one lets in SSH from anywhere"
            )
        if is_head and not node.get("serviceAccounts"):
            yield problem(
                f"{name}.serviceAccounts", None, "name an account; Ray's own may do everything in Compute Engine"
            )
        if is_head and re.search(r"SPOT|preemptible': True", str(scheduling := node.get("scheduling"))):
            yield problem(f"{name}.scheduling", scheduling, "remove it: if the head is lost, everything is")


def local(config: Config) -> Iterator[str]:
    """Yields nothing: the security of one's own machines is up to their owner."""
    yield from ()


def nodes(config: Config) -> Iterator[tuple[str, Config, bool]]:
    """Yields the kinds of machine: their place in the file, their config, and whether it is the head's."""
    for name, kind in config["available_node_types"].items():
        yield f"available_node_types.{name}.node_config", kind["node_config"], name == config["head_node_type"]


MACHINES = {"aws": aws, "gcp": gcp, "local": local}
