"""Keeps the routes, autoscalers and status of a rollout true to its InferenceService."""
