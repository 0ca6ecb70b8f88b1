"""Text that no cluster's file may contain: placeholders, secrets, and networks that are wide open."""

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
    # A telling name, with a value that is not a path, variable, placeholder, switch or start of a mapping.
    "a secret in the open": re.compile(
        r"(?i)(?:password|passwd|secret|token|api_?key|access_?key)[\"']?\s*[:=]\s*[\"']?"
        r"(?![~/$<&*{\s#\"']|(?:true|false|required)\b)\S+"
    ),
    # Digests of images and public keys are long too, but not secret.
    "a long key": re.compile(
        r"(?<!sha256:)(?<!ssh-ed25519 )(?<!ssh-rsa )(?<![A-Za-z0-9+/])"
        r"(?:[0-9a-fA-F]{32,}|(?=\S*\d)(?=\S*[a-z])(?=\S*[A-Z])[A-Za-z0-9+/]{40,}={0,2})(?![A-Za-z0-9+/])"
    ),
}
NETWORK = re.compile(r"(?<![\w.:/])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:]*)/\d{1,3}(?![\w./])")
WIDEST = {4: 16, 6: 48}  # a campus: public networks with a shorter prefix are not one person's


def problem(where: str, value: object, remedy: str) -> str:
    """A problem in one line."""
    return f"{where}: {' '.join(str(value).split())}: {remedy}"


def scalars(text: str) -> Iterator[tuple[int, str]]:
    """Yields the keys and values of a YAML file, without comments, with the lines where they begin."""
    for token in yaml.scan(text):
        if isinstance(token, yaml.ScalarToken):
            yield token.start_mark.line + 1, token.value


def placeholders(text: str) -> Iterator[str]:
    """Yields the placeholders that the user has not filled in."""
    for line, value in scalars(text):
        for name in PLACEHOLDER.findall(value):
            yield problem(f"line {line}", name, "write your own value, as the comment beside it says")


def secrets(text: str) -> Iterator[str]:
    """Yields secrets, in comments too; only the beginning of each is shown."""
    for line, content in enumerate(text.splitlines(), start=1):
        for secret, pattern in SECRETS.items():
            if match := pattern.search(content):
                value = f"{match[0][:8]}... looks like {secret}"
                yield problem(f"line {line}", value, "remove it, and make a new one: this one has been exposed")
                break


def open_networks(text: str) -> Iterator[str]:
    """Yields public networks that are wider than one campus."""
    for line, value in scalars(text):
        for word in NETWORK.findall(value):
            try:
                network = ipaddress.ip_network(word, strict=False)
            except ValueError:
                continue
            if not network.is_private and network.prefixlen < WIDEST[network.version]:
                remedy = f"let in your own address (/32), or at most a /{WIDEST[network.version]}"
                yield problem(f"line {line}", word, remedy)
