"""The one error that every command ends on with its words and exit code 2; it loads nothing."""


class Refusal(Exception):
    """What a user must change before a command can do its work; the message names what, why and the remedy."""
