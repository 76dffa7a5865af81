"""The controller as a process, against a real API server: the one that KUBECONFIG names."""
