"""From a recorded walk to objectives and margins; the evaluator."""
