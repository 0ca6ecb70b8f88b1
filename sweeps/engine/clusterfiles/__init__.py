"""The files of `clusters/`, checked and filled in."""
