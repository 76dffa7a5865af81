"""The built-in problem: its features and a generator of made-up leads."""
