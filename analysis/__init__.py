"""What the runs say: tables, figures and intervals, beside the published numbers."""
