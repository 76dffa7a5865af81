"""The pure core: from leads to the model's input, from its margins to answers; no process, no network, no clock."""
