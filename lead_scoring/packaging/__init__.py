"""Version folders: published, read and verified."""
