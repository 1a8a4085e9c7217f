"""Controllers of anybody's making behind one small protocol: classes, processes, learned policies."""
