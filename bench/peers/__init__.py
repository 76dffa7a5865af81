"""The systems that people would use instead."""
