"""From a draft of a contract and a table of leads to a candidate: a model with all that its version folder needs."""
