"""The cluster files in the repository, and the check that protects users from bills and break-ins."""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.engine.clusterfiles import check, kuberay, launcher
from sweeps.engine.clusterfiles.text import PLACEHOLDER

ROOT = Path(__file__).resolve().parents[2]
AWS, GCP, OWN, KUBE = "cluster.yaml", "clusters/gcp.yaml", "clusters/on-premise.yaml", "clusters/kuberay.yaml"
LAUNCHED = [AWS, GCP, OWN]
FILES = [*LAUNCHED, KUBE]
PARTS = [
    "# What only you know. Nothing else has to be changed.",
    "# What it may cost.",
    "# Where it runs, and who may come in.",
    "# The machines.",
    "# The code and the token.",
    "# What every node gets before Ray starts.",
    "# How Ray starts.",
]
VALUES = {
    AWS: {
        "REGION": "eu-central-1",
        "IMAGE_ID": "ami-0123456789abcdef0",
        "SUBNET_ID": "subnet-0123456789abcdef0",
        "SECURITY_GROUP_ID": "sg-0123456789abcdef0",
        "HEAD_PROFILE": "soundings-head",
        "FILE_SYSTEM": "fs-0123456789abcdef0.efs.eu-central-1.amazonaws.com",
    },
    GCP: {
        "PROJECT_ID": "soundings-123456",
        "REGION": "europe-west4",
        "ZONE": "europe-west4-a",
        "IMAGE_ID": "projects/deeplearning-platform-release/global/images/common-cu129-ubuntu-2204-v20261001",
        "SUBNET_ID": "projects/soundings-123456/regions/europe-west4/subnetworks/soundings",
        "HEAD_ACCOUNT": "head@soundings-123456.iam.gserviceaccount.com",
        "SSH_PUBLIC_KEY": "ubuntu:ssh-ed25519 " + "AAAAC3NzaC1lZDI1NTE5AAAAI" + 22 * "a1" + " ubuntu",
        "FILE_SYSTEM": "10.0.0.2:/soundings",
    },
    OWN: {
        "HEAD_IP": "10.0.0.1",
        "WORKER_IP_1": "10.0.0.2",
        "WORKER_IP_2": "10.0.0.3",
        "SSH_USER": "soundings",
        "SHARED_FOLDER": "/srv/soundings",
    },
    KUBE: {"IMAGE_ID": f"registry.example.org/soundings@sha256:{32 * 'a1'}", "VOLUME_CLAIM": "soundings"},
}


def shipped(file: str) -> str:
    """A file as it is in the repository."""
    return (ROOT / file).read_text(encoding="utf-8")


def filled(file: str) -> str:
    """A file that has been filled in."""
    return PLACEHOLDER.sub(lambda found: VALUES[file][found[0].strip("<>")], shipped(file))


def document(file: str) -> dict[str, Any]:
    """The document that `ray up` reads in a filled file; for KubeRay, the RayCluster."""
    return next(yaml.safe_load_all(filled(file)))


class TestShipped:
    @pytest.mark.parametrize("file", FILES)
    def test_passes_as_a_template(self, file: str) -> None:
        """The files break no rule, except that they are not filled in."""
        assert check.problems(shipped(file), template=True) == []

    @pytest.mark.parametrize("file", FILES)
    def test_is_refused_until_it_is_filled_in(self, file: str) -> None:
        """Each placeholder is named with its line, and there is nothing else to fix."""
        lines = shipped(file).splitlines()
        expected = {(f"line {n}", name) for n, line in enumerate(lines, 1) for name in PLACEHOLDER.findall(line)}
        assert {tuple(p.split(": ")[:2]) for p in check.problems(shipped(file))} == expected
        assert {name.strip("<>") for _, name in expected} == set(VALUES[file])

    @pytest.mark.parametrize("file", FILES)
    def test_passes_when_it_is_filled_in(self, file: str) -> None:
        """Users only have to fill in the placeholders."""
        assert check.problems(filled(file)) == []

    @pytest.mark.parametrize("file", FILES)
    def test_asks_for_everything_in_one_place(self, file: str) -> None:
        """All placeholders are in the first part."""
        before, first_part, after = re.split(f"{re.escape(PARTS[0])}|{re.escape(PARTS[1])}", shipped(file))
        assert PLACEHOLDER.findall(first_part)
        assert not PLACEHOLDER.findall(before + after)

    @pytest.mark.parametrize("file", FILES)
    def test_has_the_same_parts_in_the_same_order(self, file: str) -> None:
        """A user who knows one of the files knows all of them."""
        assert [line.strip() for line in shipped(file).splitlines() if line.strip() in PARTS] == PARTS


class TestForRay:
    @pytest.mark.parametrize("file", [AWS, GCP])
    def test_starts_with_no_worker_and_ends_with_few(self, file: str) -> None:
        """With Ray's defaults, the head runs no trials, and there are zero to `max_workers` workers."""
        config = json.loads(json.dumps(launcher.prepared(document(file))))
        head, worker = config["available_node_types"]["head"], config["available_node_types"]["worker"]
        assert (config["head_node_type"], head["resources"], head["max_workers"]) == ("head", {"CPU": 0}, 0)
        assert (worker["min_workers"], worker["max_workers"]) == (0, config["max_workers"])

    def test_own_machines_pass_all_that_ray_up_does_before_ssh(self) -> None:
        """Ray's own code for one's own machines accepts them, with both workers from the start."""
        from ray.autoscaler._private.commands import _bootstrap_config

        config = _bootstrap_config(document(OWN), no_config_cache=True)
        (machine,) = config["available_node_types"].values()
        assert (machine["min_workers"], machine["max_workers"], config["max_workers"]) == (2, 2, 2)

    def test_the_autoscaler_on_kubernetes_reads_the_same(self) -> None:
        """Ray's own reading has a head without trials, and up to four workers with a GPU each, for ten minutes."""
        from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

        cluster = document(KUBE)
        config = _derive_autoscaling_config_from_ray_cr({**cluster, "metadata": {"name": "n", "namespace": "default"}})
        types = config["available_node_types"]
        assert types["headgroup"]["resources"]["CPU"] == 0
        assert (types["worker"]["resources"]["GPU"], types["worker"]["min_workers"]) == (1, 0)
        assert (config["max_workers"], config["idle_timeout_minutes"]) == (4, 10)

    @pytest.mark.parametrize("kind", ["head", "worker"])
    def test_aws_knows_every_word_of_a_machine(self, kind: str) -> None:
        """The request to start a machine has the names and types of EC2's own description."""
        loaders = pytest.importorskip(
            "botocore.loaders", reason="boto3, with which `ray up` asks AWS, is not installed"
        )
        from botocore.model import ServiceModel
        from botocore.validate import ParamValidator

        model = ServiceModel(loaders.Loader().load_service_model("ec2", "service-2"))
        request = {**document(AWS)["available_node_types"][kind]["node_config"], "MinCount": 1, "MaxCount": 1}
        request["SubnetId"] = request.pop("SubnetIds")[0]  # which is what Ray makes of it
        report = ParamValidator().validate(request, model.operation_model("RunInstances").input_shape)
        assert report.generate_report() == ""
        assert set(request) <= set(model.operation_model("RunInstances").input_shape.members)


class TestNodes:
    @pytest.mark.parametrize("part", ["file_mounts", "rsync_exclude", "rsync_filter", *launcher.START])
    def test_all_files_send_and_start_the_same(self, part: str) -> None:
        """No two files do the same in different ways, except for Ray's second autoscaler on one's own machines."""
        own = document(OWN)[part]
        if part == "head_start_ray_commands":
            assert "RAY_enable_autoscaler_v2=0 " in own[1]
            own[1] = own[1].replace("RAY_enable_autoscaler_v2=0 ", "")
        assert document(AWS)[part] == document(GCP)[part] == own

    def test_all_files_set_up_the_same(self) -> None:
        """Only the places of ~/shared and ~/cache differ; Kubernetes has the same variables."""
        commands = [document(file)["setup_commands"][-6:] for file in LAUNCHED]
        assert commands[0] == commands[1] == commands[2]
        assert commands[0][0].startswith("chmod 600")
        names = set(re.findall(r"(SOUNDINGS_\w+|RAY_USAGE\w+|RAY_worker\w+)=", commands[0][-2]))
        (container,) = document(KUBE)["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
        assert {variable["name"] for variable in container["env"]} == names

    @pytest.mark.parametrize("file", LAUNCHED)
    def test_commands_are_bash(self, file: str) -> None:
        """Each can be parsed."""
        config = document(file)
        for command in (c for part in ("setup_commands", *launcher.START) for c in config[part]):
            assert subprocess.run(["bash", "-n", "-c", command], capture_output=True).stderr == b""

    def test_a_node_that_is_set_up_twice_has_its_variables_once(self, tmp_path: Path) -> None:
        """A shell of `ray submit` sees the packages, the code, the token mode and the flags' defaults."""
        shell = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        for command in document(AWS)["setup_commands"][-2:] * 2:
            subprocess.run(["bash", "-c", command], env=shell, check=True)
        assert (tmp_path / ".bashrc").read_text() == ". ~/.soundings\n"
        seen = subprocess.run(["bash", "-c", ". ~/.bashrc; env"], env=shell, capture_output=True, text=True).stdout
        variables = dict(line.split("=", 1) for line in seen.splitlines())
        assert variables["PATH"].startswith(f"{tmp_path}/venv/bin:")
        assert variables["PYTHONPATH"] == f"{tmp_path}/soundings"
        assert variables["RAY_AUTH_MODE"] == "token"
        assert variables["SOUNDINGS_DATA_ROOT"] == f"{tmp_path}/shared/DeepShip"
        assert variables["SOUNDINGS_CACHE_DIR"] == f"{tmp_path}/cache"

    def test_uv_is_cut_from_the_lock_whole(self) -> None:
        """The command that extracts uv from requirements.txt takes its version and hashes, and nothing else."""
        command = next(c for c in document(AWS)["setup_commands"] if "sed -n" in c)
        (expression,) = re.findall(r"sed -n '([^']+)'", command)
        cut = subprocess.run(
            ["sed", "-n", expression, ROOT / "requirements.txt"], capture_output=True, text=True
        ).stdout
        assert re.fullmatch(r"uv==[\d.]+ (?:\\\n +--hash=sha256:[0-9a-f]{64} ?)+\n +# via.*\n", cut)


DISK, IMDS = "      BlockDeviceMappings: *disk\n", "      MetadataOptions: *metadata_options\n"
GROUP = "      SecurityGroupIds: [*security_group]\n"
NETWORK = "      networkInterfaces: *network\n"
BROKEN = [  # a file, what is taken out of it, what is put in its place, and what the check must name
    (AWS, "HttpTokens: required", "HttpTokens: optional", "HttpTokens: optional"),
    (AWS, IMDS, "", "worker.node_config.MetadataOptions"),
    (AWS, "Encrypted: true", "Encrypted: false", "BlockDeviceMappings"),
    (AWS, DISK, "", "worker.node_config.BlockDeviceMappings"),
    (AWS, DISK, "      BlockDeviceMappings: [{Ebs: {Encrypted: true}}, {Ebs: {}}]\n", "worker.node_config.BlockDevice"),
    (AWS, GROUP, "", "SecurityGroupIds"),
    (AWS, "  region: *region", "  region: *region\n  security_group: {GroupName: mine}", "provider.security_group"),
    (AWS, "      ImageId: *image\n", "", "ImageId"),
    (AWS, "      IamInstanceProfile: {Name: *head_profile}\n", "", "IamInstanceProfile"),
    (AWS, "InstanceType: m7i.xlarge", "InstanceMarketOptions: {MarketType: spot}", "head.node_config.InstanceMarket"),
    (AWS, "RAY_AUTH_MODE=token ray start --head", "ray start --head", "head_start_ray_commands"),
    (AWS, "RAY_AUTH_MODE=token ray start --address", "ray start --address", "worker_start_ray_commands"),
    (AWS, "RAY_AUTH_MODE=token ray start --head", "RAY_AUTH_MODE=disabled ray start --head", "head_start_ray_commands"),
    (AWS, "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "head_start_ray_commands"),
    (AWS, "--dashboard-host=127.0.0.1", "--dashboard-host 0.0.0.0", "head_start_ray_commands"),
    (AWS, "--dashboard-host=127.0.0.1", "--dashboard-host=127.0.0.1.example.org", "head_start_ray_commands"),
    (AWS, " --dashboard-host=127.0.0.1", "", "head_start_ray_commands"),
    (AWS, "  ~/.ray/auth_token: ~/.ray/auth_token\n", "", "file_mounts"),
    (AWS, "head_setup_commands: []", "# none", "head_setup_commands: pip install 'boto3"),
    (AWS, "--quiet --require-hashes", "--quiet", "uv/uv.txt"),
    (AWS, "- mkdir -p ~/shared", "- curl https://example.org/uv | sh", "curl https"),
    (AWS, "max_workers: 4\n", "", "max_workers"),
    (AWS, "idle_timeout_minutes: 10\n", "", "idle_timeout_minutes"),
    (AWS, "idle_timeout_minutes: 10\n", "idle_timeout_minutes: 0\n", "idle_timeout_minutes"),
    (AWS, "idle_timeout_minutes: 10\n", "idle_timeout_minutes: 600\n", "idle_timeout_minutes"),
    (AWS, "max_workers: 4\n", "max_workers: 4\nmax_wrokers: 4\n", "Ray refuses it"),
    (AWS, "head_node_type: head\n", "head_node_type: haed\n", "Ray refuses it"),
    (AWS, "  type: aws\n", "  type: nimbus\n", "provider.type: nimbus"),
    (AWS, "cluster_name: soundings\n", "cluster_name: [soundings\n", "is not YAML"),
    (AWS, "$RAY_HEAD_IP:6379\n", "$RAY_HEAD_IP:6379\n---\nkind: Secret\n", "2 documents"),
    (GCP, NETWORK, "", "worker.node_config.networkInterfaces"),
    (GCP, "      serviceAccounts:", "      labels:", "head.node_config.serviceAccounts"),
    (GCP, "  ssh_private_key: ~/.ssh/soundings.pem\n", "", "auth.ssh_private_key"),
    (
        GCP,
        "machineType: n2-standard-4",
        "machineType: n2\n      scheduling: {provisioningModel: SPOT}",
        "head.node_config",
    ),
    (GCP, "machineType: n2-standard-4", "machineType: n2\n      scheduling: [{preemptible: true}]", "head.node_config"),
    (GCP, "head_setup_commands: []", "# none", "head_setup_commands: pip install google"),
    (OWN, "RAY_AUTH_MODE=token ray start --head", "ray start --head", "head_start_ray_commands"),
    (OWN, "max_workers: 2", "#", "max_workers"),
    (OWN, "  head_ip: *head\n", "", "Ray refuses it"),
    (KUBE, "{mode: token}", "{mode: disabled}", "authOptions.mode"),
    (KUBE, "  authOptions: {mode: token}\n", "", "authOptions.mode"),
    (KUBE, ", dashboard-host: 127.0.0.1", "", "dashboard-host"),
    (KUBE, "dashboard-host: 127.0.0.1", "dashboard-host: 0.0.0.0", "dashboard-host"),
    (KUBE, "serviceType: ClusterIP", "serviceType: LoadBalancer", "serviceType"),
    (KUBE, "enableIngress: false", "enableIngress: true", "enableIngress"),
    (KUBE, "    idleTimeoutSeconds: 600\n", "", "idleTimeoutSeconds"),
    (KUBE, "enableInTreeAutoscaling: true", "enableInTreeAutoscaling: false", "enableInTreeAutoscaling"),
    (KUBE, "      maxReplicas: 4\n", "", "maxReplicas"),
    (KUBE, "soundings/pool: head", "cloud.google.com/gke-spot: yes", "nodeSelector"),
    (KUBE, f"@sha256:{32 * 'a1'}", ":latest", "image: registry.example.org/soundings:latest"),
    (KUBE, "          runAsNonRoot: true\n", "", "runAsNonRoot"),
    (KUBE, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation"),
    (KUBE, "{name: cache, emptyDir: {}}", "{name: cache, hostPath: {path: /}}", "hostPath"),
    (KUBE, "---\n", "---\n{apiVersion: v1, kind: Secret}\n---\n", "kind: Secret"),
    (KUBE, "policyTypes: [Ingress]", "policyTypes: [Egress]", "NetworkPolicy"),
    (KUBE, "[{podSelector: {matchLabels: {ray.io/cluster: soundings}}}]", "[]", "NetworkPolicy"),
    (KUBE, "RAY_USAGE_STATS_ENABLED, ", "RAY_AUTH_TOKEN, ", "RAY_AUTH_TOKEN"),
]

OPEN = ["0.0.0.0/0", "::/0", "8.0.0.0/8", "203.0.0.0/15", "2001:4860::/32", "10.0.0.0/0"]
SECRETS = [  # put together here, so that nobody takes this file for a leak
    "AKIA" + 16 * "A",
    "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "hf_" + 17 * "aB",
    "mlflow: https://user:" + "hunter2@example.org",
    "password: " + "hunter2",
    "RAY_AUTH_TOKEN=" + "hunter2",
    "'api_key': " + "'hunter2'",
    16 * "a1B/",
    16 * "a1",
]
NO_SECRETS = [
    "token: $MLFLOW_TOKEN",
    "token: <TOKEN>",
    "~/.ray/auth_token: ~/.ray/auth_token",
    "RAY_AUTH_MODE=token",
    "automountServiceAccountToken: false",
    "image: soundings@sha256:" + 32 * "a1",
    "ssh-ed25519 " + "AAAAC3NzaC1lZDI1NTE5AAAAI" + 22 * "a1",
    "HttpTokens: required",
]


class TestCheck:
    @pytest.mark.parametrize(("file", "old", "new", "named"), BROKEN)
    def test_refuses_by_name(self, file: str, old: str, new: str, named: str) -> None:
        """A filled file with one thing broken is refused for that thing, and for nothing else."""
        assert old in filled(file)
        problems = check.problems(filled(file).replace(old, new))
        assert problems
        assert [problem for problem in problems if named not in problem] == []

    def test_refuses_a_node_without_our_packages(self) -> None:
        """Packages that happen to be on the machine are not the locked ones."""
        problems = check.problems(yaml.safe_dump({**document(OWN), "setup_commands": []}))
        assert [problem.split(": ")[:2] for problem in problems] == [["setup_commands", "nothing"]]

    @pytest.mark.parametrize("network", OPEN)
    def test_refuses_the_world(self, network: str) -> None:
        """No rule may admit everybody, in either protocol, or many networks at once."""
        rule = f"  security_group: {{IpPermissions: [{{FromPort: 22, IpRanges: [{{CidrIp: '{network}'}}]}}]}}\n"
        problems = check.problems(filled(AWS).replace("  type: aws\n", f"  type: aws\n{rule}"))
        assert [problem for problem in problems if f": {network}: " in problem]

    @pytest.mark.parametrize("network", ["203.0.113.7/32", "203.0.0.0/16", "10.0.0.0/8", "fd00::/8", "10.0.0.2:/data"])
    def test_lets_in_one_campus(self, network: str) -> None:
        """One's own address, a campus, a private network and the path of a file server are accepted."""
        problems = check.problems(filled(OWN).replace("/srv/soundings", network))
        assert problems == []

    @pytest.mark.parametrize("secret", SECRETS)
    def test_refuses_secrets_and_does_not_tell_them(self, secret: str) -> None:
        """They may be in values or comments; the message has the line and only their beginning."""
        (problem,) = check.problems(f"{filled(AWS)}# {secret}\n")
        assert problem.startswith(f"line {len(filled(AWS).splitlines()) + 1}: ")
        assert secret[9:] not in problem
        assert "hunter2" not in problem

    @pytest.mark.parametrize("text", NO_SECRETS)
    def test_knows_what_is_no_secret(self, text: str) -> None:
        """Variables, paths, placeholders, digests and public keys are allowed."""
        assert check.problems(f"{filled(AWS)}# {text}\n") == []

    @pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "cluster_name: x\n", "kind: RayCluster\n", "provider:\n"])
    def test_says_what_is_no_cluster_file(self, text: str) -> None:
        """Whatever it is given, it answers in words."""
        assert check.problems(text)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
BROKEN: dict[str, tuple[bytes, str]] = {  # what is in a file, and what is said of it
    "empty": (b"", "the file: empty: is not a mapping"),
    "null": (b"---\n", "the file: NoneType: is not a mapping"),
    "a scalar": (b"provider\n", "the file: str: is not a mapping"),
    "a list": (b"- provider\n", "the file: list: is not a mapping"),
    "not UTF-8": (b"cluster_name: \xff\n", "codec can't decode byte"),
    "binary": (bytes(range(32)), "is not YAML"),
    "control characters": (b"cluster_name: a\x01\n", "is not YAML"),
    "an open list": (b"a: [\n", "is not YAML"),
    "a tab": (b"a:\n\tb: 1\n", "is not YAML"),
    "a date that does not exist": (b"a: 2026-99-99\n", "month must be in 1..12"),
    "too deep": (b"a: " + 1500 * b"[", "is not YAML"),
    "a class of Python": (b"a: !!python/object/apply:os.getcwd []\n", "is not YAML"),
    "a key that is a list": (b"? [a]\n: b\n", "is not YAML"),
    "an alias of nothing": (b"a: *b\n", "is not YAML"),
    "a key twice": (
        b"provider: {type: aws}\nprovider: {type: gcp}\n",
        "line 2: provider: is on line 1 too; remove one",
    ),
    "a key twice in a line": (b"provider: {type: aws, type: gcp}\n", "line 1: type: is on line 1 too"),
    "an alias bomb": (BOMB.encode(), "write them out"),
    "an alias in itself": (b"provider: &a {type: aws, more: *a}\n", "write them out"),
    "no provider": (b"cluster_name: x\n", "provider: missing: add it"),
    "two documents, one null": (b"cluster_name: x\n---\n", "the file: NoneType: is not a mapping"),
    "an empty cluster of KubeRay": (b"kind: RayCluster\n", "spec: missing: add it"),
}
WRONG = {  # of a file that is filled in: another value in a place, and what is said of it
    AWS: [
        ("provider", "aws", "provider: 'aws': must be a mapping"),
        ("provider", ["aws"], "provider: ['aws']: must be a mapping"),
        ("provider", None, "provider: None: must be a mapping; write one, or leave it out"),
        ("provider.type", 3, "provider.type: 3: must be text"),
        ("provider.type", "azure", "provider.type: azure: one of aws, gcp, local"),
        ("auth", "ubuntu", "auth: 'ubuntu': must be a mapping"),
        ("max_workers", "four", "max_workers: 'four': must be a whole number"),
        ("max_workers", True, "max_workers: True: must be a whole number"),
        ("idle_timeout_minutes", "10", "idle_timeout_minutes: '10': must be a number"),
        ("idle_timeout_minutes", float("nan"), "idle_timeout_minutes: nan: set 1 to 60"),
        ("available_node_types", [], "available_node_types: []: must be a mapping"),
        ("available_node_types.worker", None, "available_node_types.worker: None: must be a mapping"),
        ("available_node_types.worker.node_config", None, "worker.node_config: None: must be a mapping"),
        ("available_node_types.worker.node_config.MetadataOptions", "x", "MetadataOptions: 'x': must be a mapping"),
        ("available_node_types.worker.node_config.BlockDeviceMappings", {}, "BlockDeviceMappings: {}: must be a list"),
        ("available_node_types.worker.node_config.BlockDeviceMappings", [3], "Mappings.0: 3: must be a mapping"),
        ("available_node_types.worker.resources", "GPU", "worker.resources: 'GPU': must be a mapping"),
        ("available_node_types.worker.resources", {"GPU": "1"}, "worker.resources.GPU: '1': must be a number"),
        ("head_node_type", ["head"], "head_node_type: ['head']: must be text"),
        ("file_mounts", ["~/soundings"], "file_mounts: ['~/soundings']: must be a mapping"),
        ("file_mounts", {"~/soundings": None}, "file_mounts.~/soundings: None: must be text"),
        ("file_mounts", {3: 3}, "file_mounts.3: 3: must be text"),
        ("setup_commands", [1, 2], "setup_commands.0: 1: must be text"),
        ("head_start_ray_commands", "ray start", "head_start_ray_commands: 'ray start': must be a list"),
        ("head_start_ray_commands", [None], "head_start_ray_commands.0: None: must be text"),
    ],
    KUBE: [
        ("metadata", None, "metadata: None: must be a mapping"),
        ("spec", [], "spec: []: must be a mapping"),
        ("spec.authOptions", "token", "spec.authOptions: 'token': must be a mapping"),
        ("spec.autoscalerOptions.idleTimeoutSeconds", "600", "idleTimeoutSeconds: '600': must be a number"),
        ("spec.headGroupSpec.template", {}, "spec.headGroupSpec.template.spec: missing"),
        ("spec.headGroupSpec.template.spec.containers", {}, "containers: {}: must be a list"),
        ("spec.headGroupSpec.template.spec.containers", [], "Ray's autoscaler refuses it"),
        ("spec.headGroupSpec.template.spec.containers", [{"image": "x"}], "containers.0.name: missing"),
        ("spec.headGroupSpec.template.spec.volumes", ["x"], "volumes.0: 'x': must be a mapping"),
        ("spec.workerGroupSpecs", {}, "spec.workerGroupSpecs: {}: must be a list"),
        ("spec.workerGroupSpecs", [{}], "spec.workerGroupSpecs.0.groupName: missing"),
    ],
}


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a document with another value in one place."""
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


class TestBroken:
    @pytest.mark.parametrize("what", BROKEN)
    def test_a_file_that_is_none_is_answered_in_words(
        self, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The exit code is 1 and the problem is named, whatever the contents."""
        content, message = BROKEN[what]
        (tmp_path / "x.yaml").write_bytes(content)
        assert check.main([str(tmp_path / "x.yaml")]) == 1
        assert message in capsys.readouterr().out

    def test_so_is_one_that_cannot_be_read(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """It is missing, a folder, or not a path; the others are checked all the same."""
        names = [str(tmp_path / "none.yaml"), str(tmp_path), "\0", "x" * 5000, "\udcff"]
        assert check.main(["--template", *names, str(ROOT / KUBE)]) == 1
        *lines, last = capsys.readouterr().out.splitlines()
        assert [line for line in lines if "name a UTF-8 text file that you may read" not in line] == []
        assert (len(lines), last) == (len(names), f"{ROOT / KUBE}: ok")

    @pytest.mark.parametrize(
        ("file", "place", "value", "told"), [(file, *row) for file, rows in WRONG.items() for row in rows]
    )
    def test_a_value_of_another_kind_is_named(self, file: str, place: str, value: Any, told: str) -> None:
        """Its place and the expected kind are given, before Ray reads it."""
        documents = list(yaml.safe_load_all(filled(file)))
        documents[0] = replaced(documents[0], tuple(place.split(".")), value)
        assert told in "\n".join(check.problems(yaml.safe_dump_all(documents)))

    @pytest.mark.parametrize("file", FILES)
    def test_no_value_anywhere_is_a_traceback(self, file: str, caplog: pytest.LogCaptureFixture) -> None:
        """Other kinds are tried in every place in turn: each is refused or accepted. All in all would take minutes."""
        caplog.set_level(logging.ERROR)
        documents = list(yaml.safe_load_all(filled(file)))
        for number, path in enumerate(places(documents[0])):
            new = (None, 3, "x", [], {}, True)[number % 6]
            changed = [replaced(documents[0], path, new), *documents[1:]]
            if file != KUBE:
                problems = list(launcher.problems(changed[0]))
            elif changed[0].get("kind") == "RayCluster":
                problems = list(kuberay.problems(changed))
            assert all(re.match(r"\S.*: .*: .*", line) for line in problems)


class TestCommand:
    @pytest.fixture(autouse=True)
    def at_the_repository(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Changes to the place where a user calls it, with a token from Ray."""
        monkeypatch.chdir(ROOT)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").touch(0o600)
        (tmp_path / "cluster.yaml").write_text(filled(AWS))

    def test_says_that_all_is_well(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The exit code is 0, with one line per file."""
        assert check.main([str(tmp_path / "cluster.yaml")]) == 0
        assert capsys.readouterr().out == f"{tmp_path / 'cluster.yaml'}: ok\n"

    def test_says_what_is_wrong_in_which_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The exit code is 1 if one of the files is refused, with one line per problem."""
        assert check.main([str(tmp_path / "cluster.yaml"), KUBE]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].endswith("cluster.yaml: ok")
        assert [line.split(": ")[0] for line in lines[1:]] == [KUBE] * 2
        assert check.main(["--template", KUBE]) == 0

    @pytest.mark.parametrize(("mode", "remedy"), [(0o644, "chmod 600"), (None, "get-auth-token --generate")])
    def test_looks_for_the_token(self, mode: int | None, remedy: str, tmp_path: Path, capsys: Any) -> None:
        """`ray up` sends it only after paying for a head: it must exist, and be unreadable to others."""
        token = tmp_path / ".ray" / "auth_token"
        if mode:
            token.chmod(mode)
        else:
            token.unlink()
        assert check.main([str(tmp_path / "cluster.yaml")]) == 1
        assert remedy in capsys.readouterr().out
