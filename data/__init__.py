"""The material: world/ is the tiny world; beside it, what serves anybody's text."""
