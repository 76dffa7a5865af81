"""Us and the peers, measured side by side: `python -m bench`."""
