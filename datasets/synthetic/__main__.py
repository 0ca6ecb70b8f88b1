"""The command that writes an invented corpus: `python -m datasets.synthetic`."""

from __future__ import annotations

from datasets.synthetic.corpora import main

if __name__ == "__main__":
    main()
