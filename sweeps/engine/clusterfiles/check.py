"""Whether a cluster may be started from a file, before money is spent.

    python -m sweeps.engine.clusterfiles.check FILE...

Ray's own check comes first (for KubeRay: what Ray's autoscaler reads in a RayCluster), then safety and cost.
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
    """Prints the problems of cluster files, one a line; the exit code is 1 if there is one."""
    parser = Flags("python -m sweeps.engine.clusterfiles.check", __doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--template", action="store_true", help="a file that is not filled in: placeholders may stand in it"
    )
    args = parser.parse_args(argv)
    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)  # it tells each default that it fills in
    code = 0
    for file in args.files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            found = [problem("the file", error, "name a file of text in UTF-8 that you may read")]
        else:
            found = problems(text, args.template) or ([] if args.template else list(missing_here(text)))
        print("\n".join(f"{ascii(str(file))[1:-1]}: {line}" for line in found) or f"{file}: ok")
        code |= bool(found)
    return code


def problems(text: str, template: bool = False) -> list[str]:
    """What is wrong with a cluster's file: where, the value, the remedy.

    Args:
        text: the file's content.
        template: whether placeholders may stand in it.
    """
    try:
        documents = list(yaml.safe_load_all(text))
        knots = list(knotted(text))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that does not exist, too deep a list
        return [problem("the file", error, "is no YAML; fix it")]
    odd = [type(document).__name__ for document in documents if not isinstance(document, dict)]
    if odd or not documents:
        return [problem("the file", odd[0] if odd else "empty", "is no mapping; fix it")]
    found = [*([] if template else placeholders(text)), *secrets(text), *open_networks(text), *knots]
    if knots:
        return found
    if any(document.get("kind") == "RayCluster" for document in documents):
        return [*found, *kuberay.problems(documents)]
    if len(documents) > 1:
        found.append(problem("the file", f"{len(documents)} documents", "Ray reads one; take the others out"))
    return [*found, *launcher.problems(documents[0])]


def missing_here(text: str) -> Iterator[str]:
    """What a file without problems takes from this machine and is not there, or may be read by others."""
    document: Mapping[str, Any] = next(yaml.safe_load_all(text))
    for remote, local in (document.get("file_mounts") or {}).items():
        path = Path(os.path.expanduser(local))  # noqa: PTH111 - which leaves a home alone that nobody has
        if not os.path.exists(path):  # noqa: PTH110 - which says so of a path that is too long, too
            remedy = "make it: ray get-auth-token --generate" if remote == launcher.TOKEN else "name what there is"
            yield problem(f"file_mounts.{remote}", f"{local} is not on this machine", remedy)
        elif remote == launcher.TOKEN and path.stat().st_mode & 0o077:
            yield problem(f"file_mounts.{remote}", f"{local} can be read by others", f"chmod 600 {local}")


if __name__ == "__main__":
    sys.exit(main())
