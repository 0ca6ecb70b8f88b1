"""The parts of every report: rows of the store, statistics, tables, figures."""
