"""Scores B2B leads 1-5: the library that training, serving and the local stack share."""
