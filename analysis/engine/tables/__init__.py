"""The cells of a table, the kinds of tables made of them, and how they are laid out as text."""
