"""Checks the file of a cluster before money is spent.

    python -m sweeps.engine.clusterfiles.check FILE...

Ray's own check comes first (for KubeRay, of the parts of a RayCluster that Ray's autoscaler reads), then those for
safety and cost.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from datasets.engine.words.flags import Flags
from sweeps.engine.clusterfiles import kuberay, launcher
from sweeps.engine.clusterfiles.shape import knotted
from sweeps.engine.clusterfiles.text import open_networks, placeholders, problem, secrets


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the problems of cluster files, one per line; the exit code is 1 if there are any."""
    parser = Flags("python -m sweeps.engine.clusterfiles.check", __doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--template", action="store_true", help="the file is not filled in: it may have placeholders")
    args = parser.parse_args(argv)
    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)  # it logs each default that it fills in
    code = 0
    for file in args.files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            problem_lines = [problem("the file", error, "name a UTF-8 text file that you may read")]
        else:
            problem_lines = problems(text, args.template) or ([] if args.template else list(missing_here(text)))
        print("\n".join(f"{ascii(str(file))[1:-1]}: {line}" for line in problem_lines) or f"{file}: ok")
        code |= bool(problem_lines)
    return code


def problems(text: str, template: bool = False) -> list[str]:
    """The problems of a cluster's file, each with its place, the value and the remedy.

    Args:
        text: the contents of the file.
        template: whether placeholders are allowed.
    """
    try:
        documents = list(yaml.safe_load_all(text))
        knots = list(knotted(text))
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # such as an impossible date, or lists nested too deeply
        return [problem("the file", error, "is not YAML; fix it")]
    odd = [type(document).__name__ for document in documents if not isinstance(document, dict)]
    if odd or not documents:
        return [problem("the file", odd[0] if odd else "empty", "is not a mapping; fix it")]
    lines = [*([] if template else placeholders(text)), *secrets(text), *open_networks(text), *knots]
    if knots:
        return lines
    if any(document.get("kind") == "RayCluster" for document in documents):
        return [*lines, *kuberay.problems(documents)]
    if len(documents) > 1:
        lines.append(problem("the file", f"{len(documents)} documents", "Ray reads one; remove the others"))
    return [*lines, *launcher.problems(documents[0])]


def missing_here(text: str) -> Iterator[str]:
    """Yields the files of this machine that the cluster's file needs and that are missing, or readable by others."""
    document: Mapping[str, Any] = next(yaml.safe_load_all(text))
    for remote, local in (document.get("file_mounts") or {}).items():
        path = Path(os.path.expanduser(local))  # noqa: PTH111 - it leaves an unknown user's home as it is
        if not os.path.exists(path):  # noqa: PTH110 - it copes with paths that are too long
            remedy = "make it: ray get-auth-token --generate" if remote == launcher.TOKEN else "name one that exists"
            yield problem(f"file_mounts.{remote}", f"{local} is not on this machine", remedy)
        elif remote == launcher.TOKEN and path.stat().st_mode & 0o077:
            yield problem(f"file_mounts.{remote}", f"{local} can be read by others", f"chmod 600 {local}")


if __name__ == "__main__":
    sys.exit(main())
