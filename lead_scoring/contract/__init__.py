"""The contract of a model version: types, rules, files."""
