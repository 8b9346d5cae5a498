"""How fast things are: candidates that take turns in one run, medians and ratios."""
