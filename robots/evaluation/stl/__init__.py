"""Signal temporal logic over sampled signals with units: syntax, semantics, expressions. Knows no robot."""
