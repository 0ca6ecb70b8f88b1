"""What a file for `ray up` must say, and what it must not: first by Ray's own check, then for safety and cost."""

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
TOKEN = "~/.ray/auth_token"  # noqa: S105 - where it is


def problems(document: Config) -> Iterator[str]:
    """What is wrong with a file for `ray up`.

    The rules look at what Ray makes of the file, defaults and all: what is left out, Ray fills in, and not safely.
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
        yield problem(path, getattr(error, "message", error), "Ray refuses it; fix it as its schema says")
        return
    yield from cost(document)
    yield from start_commands(config)
    yield from packages(config)
    yield from MACHINES[provider](config)


def prepared(document: Config) -> dict[str, Any]:
    """The file as `ray up` completes it with defaults.

    Raises:
        Exception: whatever Ray raises for a file that it refuses.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    config: dict[str, Any] = prepare_config(dict(document))
    validate_config(config)
    return config


def cost(document: Config) -> Iterator[str]:
    """Bounds on what is spent, which must stand in the file itself."""
    if not isinstance(document.get("max_workers"), int):
        yield problem("max_workers", document.get("max_workers"), "say how many workers you would pay for at once")
    if not 0 < (document.get("idle_timeout_minutes") or 0) <= 60:
        yield problem("idle_timeout_minutes", document.get("idle_timeout_minutes"), "say 1 to 60, so that idle ones go")


def start_commands(config: Config) -> Iterator[str]:
    """Ray starts with token authentication everywhere, and shows its dashboard to nobody."""
    if TOKEN not in config["file_mounts"]:
        yield problem("file_mounts", ", ".join(config["file_mounts"]), f"add {TOKEN}: {TOKEN}")
    for where in START:
        for command in (c for c in config[where] if "ray start" in c):
            if not re.search(r"\bRAY_AUTH_MODE=token\s(?:.*\s)?ray start", command):
                yield problem(where, command, "write RAY_AUTH_MODE=token before ray start, which else starts open")
            hosts = command.count("--dashboard-host")
            if hosts != len(LOOPBACK.findall(command)) or ("--head" in command and not hosts):
                yield problem(where, command, "write --dashboard-host=127.0.0.1; `ray dashboard` reaches it by SSH")


def packages(config: Config) -> Iterator[str]:
    """Packages are installed by their hashes, and no script from the net is run."""
    commands = {(where, command): None for where in SETUP for command in config[where]}
    for name, node in config["available_node_types"].items():
        commands |= {(f"{name}.{where}", c): None for where in SETUP for c in node.get(where, [])}
    for where, command in commands:
        if INSTALL.search(command) and "--require-hashes" not in command:
            yield problem(where, command, "add --require-hashes, or say [] where Ray's defaults install something")
        if PIPED.search(command):
            yield problem(where, command, "install from requirements.txt by hashes, not from a script on the net")
    if not any("--require-hashes" in command for _, command in commands):
        yield problem("setup_commands", "nothing", "install requirements.txt with --require-hashes")


def aws(config: Config) -> Iterator[str]:
    """Machines of AWS: closed group, tokens for the metadata, encrypted disks, a head with a role that is not Ray's."""
    if "security_group" in config["provider"]:
        remedy = "make the group yourself and name it in SecurityGroupIds: to these rules Ray adds SSH from 0.0.0.0/0"
        yield problem("provider.security_group", config["provider"]["security_group"], remedy)
    for name, node, is_head in nodes(config):
        if not node.get("SecurityGroupIds"):
            yield problem(f"{name}.SecurityGroupIds", None, "name a group; Ray's own opens SSH to 0.0.0.0/0")
        if not node.get("ImageId"):
            yield problem(f"{name}.ImageId", None, "name an image; Ray's own is of 2022")
        if (tokens := node.get("MetadataOptions", {}).get("HttpTokens")) != "required":
            yield problem(f"{name}.MetadataOptions.HttpTokens", tokens, "say required (IMDSv2)")
        disks = [disk.get("Ebs", {}) for disk in node.get("BlockDeviceMappings", [])]
        if not disks or not all(disk.get("Encrypted") is True for disk in disks):
            yield problem(f"{name}.BlockDeviceMappings", disks, "say Encrypted: true for every disk")
        if is_head and not node.get("IamInstanceProfile"):
            yield problem(f"{name}.IamInstanceProfile", None, "name a profile; Ray's own may do all in EC2 and S3")
        if is_head and (market := node.get("InstanceMarketOptions")):
            yield problem(f"{name}.InstanceMarketOptions", market, "take it out: when the head goes, all goes")


def gcp(config: Config) -> Iterator[str]:
    """Machines of Google Cloud: a network of their own, a key of their own, a head with a role that is not Ray's."""
    if not config["auth"].get("ssh_private_key"):
        yield problem("auth.ssh_private_key", None, "name a key; Ray's own may log in to all machines of the project")
    for name, node, is_head in nodes(config):
        if not node.get("networkInterfaces"):
            yield problem(f"{name}.networkInterfaces", None, "name a subnetwork; the default one lets in SSH from all")
        if is_head and not node.get("serviceAccounts"):
            yield problem(f"{name}.serviceAccounts", None, "name an account; Ray's own may do all in Compute Engine")
        if is_head and re.search(r"SPOT|preemptible': True", str(scheduling := node.get("scheduling"))):
            yield problem(f"{name}.scheduling", scheduling, "take it out: when the head goes, all goes")


def local(config: Config) -> Iterator[str]:
    """Machines of one's own: nothing that their owner does not see to."""
    yield from ()


def nodes(config: Config) -> Iterator[tuple[str, Config, bool]]:
    """The kinds of machine: where they stand, what the provider is told, and whether it is the head's."""
    for name, kind in config["available_node_types"].items():
        yield f"available_node_types.{name}.node_config", kind["node_config"], name == config["head_node_type"]


MACHINES = {"aws": aws, "gcp": gcp, "local": local}
