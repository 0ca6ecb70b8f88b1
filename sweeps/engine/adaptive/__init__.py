"""Seeds that are added until comparisons are decided: the test, the comparisons, and the looks at them."""
