"""Tables over two rates."""
