"""Ways to write a path that is not to be reached, and what may be reached."""

from __future__ import annotations

__all__ = ["ALLOWED", "METHODS", "TRICKS"]

ALLOWED = {
    ("POST", "/v2/models/lead-scoring/infer"),
    ("GET", "/v2/models/lead-scoring"),
    ("GET", "/v2/models/lead-scoring/ready"),
    ("GET", "/v2"),
    ("GET", "/v2/health/live"),
    ("GET", "/v2/health/ready"),
    ("POST", "/v1/models/lead-scoring:predict"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/lead-scoring"),
}
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE")

TRICKS = (
    "/",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/health/predictor",
    "/v2/",
    "/v2/models",
    "/v2/models/lead-scoring/",
    "/v2/models/lead-scoring/load",
    "/v2/models/lead-scoring/unload",
    "/v2/models/lead-scoring/explain",
    "/v2/models/lead-scoring/versions/1/infer",
    "/v2/models/other/infer",
    "/v2/repository/index",
    "/v2/repository/models/lead-scoring/load",
    "/v2/repository/models/lead-scoring/unload",
    "/v1/models/lead-scoring:explain",
    "/v1/models/lead-scoring%3apredict",
    "/V2/HEALTH/LIVE",
    "/inference.GRPCInferenceService/RepositoryModelLoad",
    # dots
    "/v2/models/lead-scoring/infer/../../../repository/index",
    "/v2/models/lead-scoring/%2e%2e/%2e%2e/repository/index",
    "/v2/models/lead-scoring/%2E%2e/%2e%2E/repository/index",
    "/v2/health/live/%2e%2e/%2e%2e/repository/index",
    "/v2/%2e/repository/index",
    "/v2/./models/lead-scoring/../../repository/index",
    "/v2/repository/../health/live",
    "/v2/health/live/.",
    "/v2/health/./live",
    "/%2e%2e/metrics",
    # encoded letters, twice encoded
    "/%76%32/repository/index",
    "/v2/models/lead%2dscoring",
    "/v2/repository%252findex",
    "/v2/%252e%252e/metrics",
    # slashes
    "//v2/repository/index",
    "/v2//repository//index",
    "/v2/health//live",
    "/v2%2frepository%2findex",
    "/v2%2Fhealth%2Flive",
    "/v2/health/live%2f..%2f..%2frepository%2findex",
    "/v2/models/lead-scoring/infer%2f",
    "/v2%5chealth%5clive",
    "/v2\\repository\\index",
    "\\v2\\repository\\index",
    # parameters, ends
    "/v2;/health/live",
    "/v2/repository;/index",
    "/v2/health/live;x=1",
    "/v2/..;/metrics",
    "/v2/health/..;/repository/index",
    "/v2/models/lead-scoring/infer;/../unload",
    "/v2/health/live%00",
    "/v2/health/live%20",
    "/v2/health/live%3b",
    "/v2/health/live%3f",
    "/v2/health/live%23",
    "/v2/health/live#/../repository",
    "/v2?x=/../repository/index",
    # other forms of a target
    "*",
    "http://lead-scoring.example.com/metrics",
    "http://elsewhere.example.com/v2/repository/index",
)
