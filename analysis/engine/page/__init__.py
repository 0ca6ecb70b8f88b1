"""The parts of a report's page beside its tables: recipe, cautions, runs, errors, and the document for programs."""
