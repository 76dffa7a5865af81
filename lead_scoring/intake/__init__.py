"""From somebody else's table to the draft of a contract, and a table scored without any server."""
