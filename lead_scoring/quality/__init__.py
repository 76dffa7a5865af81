"""Whether a batch or feed of leads is what the model learnt from: violations, freshness, coverage, shift."""
