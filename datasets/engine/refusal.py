"""The error whose message ends every command, with exit code 2. This module loads nothing else."""


class Refusal(Exception):
    """A fault that a user must fix before a command can work; the message names it, its reason and the remedy."""
