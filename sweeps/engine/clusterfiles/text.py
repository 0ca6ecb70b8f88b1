"""What may stand in no cluster's file, whatever it starts: placeholders, secrets, networks that are the whole world."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import yaml

PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")
SECRETS = {
    "an access key of AWS": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a token of GitHub, Hugging Face or Slack": re.compile(r"\b(?:gh[opsu]_|github_pat_|hf_|xox[abp]-)\w{16,}"),
    "an address with a password": re.compile(r"://[^/\s:@]+:[^/\s@]+@|https?://[^/\s@]+@"),
    # A name that says so with a value that is no path, variable, placeholder, switch or beginning of a mapping.
    "a secret in the open": re.compile(
        r"(?i)(?:password|passwd|secret|token|api_?key|access_?key)[\"']?\s*[:=]\s*[\"']?"
        r"(?![~/$<&*{\s#\"']|(?:true|false|required)\b)\S+"
    ),
    # A digest of an image and a public key are long, and no secrets.
    "a long key": re.compile(
        r"(?<!sha256:)(?<!ssh-ed25519 )(?<!ssh-rsa )(?<![A-Za-z0-9+/])"
        r"(?:[0-9a-fA-F]{32,}|(?=\S*\d)(?=\S*[a-z])(?=\S*[A-Z])[A-Za-z0-9+/]{40,}={0,2})(?![A-Za-z0-9+/])"
    ),
}
NETWORK = re.compile(r"(?<![\w.:/])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:]*)/\d{1,3}(?![\w./])")
WIDEST = {4: 16, 6: 48}  # a campus: public networks with a shorter prefix are not one person's


def problem(where: str, value: object, remedy: str) -> str:
    """What is wrong, in a line."""
    return f"{where}: {' '.join(str(value).split())}: {remedy}"


def scalars(text: str) -> Iterator[tuple[int, str]]:
    """The values and keys of a YAML file with the lines where they begin; comments are none."""
    for token in yaml.scan(text):
        if isinstance(token, yaml.ScalarToken):
            yield token.start_mark.line + 1, token.value


def placeholders(text: str) -> Iterator[str]:
    """What the user has not filled in."""
    for line, value in scalars(text):
        for name in PLACEHOLDER.findall(value):
            yield problem(f"line {line}", name, "write your own, as the comment beside it says")


def secrets(text: str) -> Iterator[str]:
    """What would be read by all who read the file, in comments too; of each only the beginning is told."""
    for line, content in enumerate(text.splitlines(), start=1):
        for what, pattern in SECRETS.items():
            if found := pattern.search(content):
                told = f"{found[0][:8]}... looks like {what}"
                yield problem(f"line {line}", told, "take it out, and make a new one: this one has been written down")
                break


def open_networks(text: str) -> Iterator[str]:
    """Public networks that are wider than one campus."""
    for line, value in scalars(text):
        for word in NETWORK.findall(value):
            try:
                network = ipaddress.ip_network(word, strict=False)
            except ValueError:
                continue
            if not network.is_private and network.prefixlen < WIDEST[network.version]:
                remedy = f"let in your own address (/32), or at most a /{WIDEST[network.version]}"
                yield problem(f"line {line}", word, remedy)
