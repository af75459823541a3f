"""Unknown emotions: how known samples look to a network, and how well that finds classes that it did not learn."""
