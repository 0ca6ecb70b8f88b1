"""What keeps a trial going where it runs: its devices, its memory, its place."""
