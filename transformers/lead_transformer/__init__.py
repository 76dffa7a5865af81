"""The transformer: validates, encodes, buckets and explains leads in front of the predictor, on the KServe SDK."""
