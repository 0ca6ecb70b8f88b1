"""The exit codes of a study."""

COMPLETE, BAD_INPUT, INCOMPLETE, FAILED, LOCKED, INTERRUPTED = 0, 2, 3, 4, 5, 130
