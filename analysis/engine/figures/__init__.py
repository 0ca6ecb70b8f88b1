"""Pictures of tables, and what they share."""
