"""The cells of a table, the kinds of tables made of them, and their layout as text."""
