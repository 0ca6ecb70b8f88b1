"""What every report is made of: rows of the store, statistics, tables, figures."""
