"""The surroundings of a running trial: its devices, its memory, its place, and its watchdog."""
