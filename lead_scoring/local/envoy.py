"""What the local Envoy is told at its start: the listener with its limits, and a cluster per variant and protocol.

Pure functions from facts to Envoy's configuration as dictionaries; `docs/local.md` says what each limit is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lead_scoring.local import local_replies
from lead_scoring.local.routes import ROUTES, cluster_name

__all__ = ["MAX_BODY_BYTES", "Upstream", "bootstrap"]

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Protects memory; the transformer's own limit is lower, and its refusal says more."""

_ADMIN_PATHS = ("/ready", "/stats", "/clusters", "/config_dump", "/drain_listeners", "/server_info")
_TYPE = "type.googleapis.com/envoy"
_HTTP_FILTERS = f"{_TYPE}.extensions.filters.http"
_CONNECTIONS = f"{_TYPE}.extensions.resource_monitors.downstream_connections.v3"


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a variant's transformer listens on loopback."""

    variant: str
    rest_port: int
    grpc_port: int


def bootstrap(
    *, host: str, port: int, upstreams: Sequence[Upstream], routes_file: Path, access_log: Path
) -> dict[str, Any]:
    """Return Envoy's own configuration; `routes_file` must exist when Envoy starts, then it is watched for renames."""
    clusters = [_cluster(upstream, grpc=grpc) for upstream in upstreams for grpc in (False, True)]
    return {
        "node": {"id": "lead-scoring-local", "cluster": "lead-scoring-local"},
        "admin": {
            "address": _address("127.0.0.1", 0),
            "allow_paths": [{"prefix": path} for path in _ADMIN_PATHS],
        },
        "static_resources": {
            "listeners": [_listener(host, port, routes_file, access_log)],
            "clusters": clusters,
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_CONNECTIONS}.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 4000,
                    },
                }
            ]
        },
    }


def _listener(host: str, port: int, routes_file: Path, access_log: Path) -> dict[str, Any]:
    return {
        "name": "ingress",
        "address": _address(host, port),
        "enable_reuse_port": False,  # a second Envoy on the same port must fail, not share it
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "filter_chains": [
            {"filters": [_typed("envoy.filters.network.http_connection_manager", _hcm(routes_file, access_log))]}
        ],
    }


def _hcm(routes_file: Path, access_log: Path) -> dict[str, Any]:
    router = {"@type": f"{_HTTP_FILTERS}.router.v3.Router"}
    whole_body = {"@type": f"{_HTTP_FILTERS}.buffer.v3.Buffer", "max_request_bytes": MAX_BODY_BYTES}
    return {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "codec_type": "AUTO",  # HTTP/1.1, or HTTP/2 with prior knowledge as gRPC speaks it
        "rds": {
            "route_config_name": ROUTES,
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": str(routes_file),
                    "watched_directory": {"path": str(routes_file.parent)},
                },
            },
        },
        "http_filters": [_typed("envoy.filters.http.buffer", whole_body), _typed("envoy.filters.http.router", router)],
        # A client is never trusted: its x-envoy-* headers (timeouts, retries) are dropped, its request id is replaced.
        "use_remote_address": True,
        "always_set_request_id_in_response": True,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "request_headers_timeout": "5s",
        "request_timeout": "10s",
        "stream_idle_timeout": "10s",
        "drain_timeout": "1s",
        "max_request_headers_kb": 32,
        "common_http_protocol_options": {
            "idle_timeout": "60s",
            "max_headers_count": 64,
            "max_stream_duration": "30s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 256,
            "initial_stream_window_size": 1024 * 1024,
            "initial_connection_window_size": 4 * 1024 * 1024,
        },
        "local_reply_config": local_replies.config(),
        "access_log": [_typed("envoy.access_loggers.file", _access_log(access_log))],
    }


def _access_log(path: Path) -> dict[str, Any]:
    # The route's name and not the path, and no header of the client's: what clients send never reaches a log.
    fields = {
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "route": "%ROUTE_NAME%",
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS%",
        "flags": "%RESPONSE_FLAGS%",
        "variant": "%RESP(X-LEAD-VARIANT)%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "duration_ms": "%DURATION%",
        "upstream_ms": "%RESPONSE_DURATION%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
    }
    return {
        "@type": f"{_TYPE}.extensions.access_loggers.file.v3.FileAccessLog",
        "path": str(path),
        "log_format": {"json_format": fields},
    }


def _cluster(upstream: Upstream, *, grpc: bool) -> dict[str, Any]:
    protocol: dict[str, Any] = {"http_protocol_options": {}}
    if grpc:
        protocol = {"http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}}
    port = upstream.grpc_port if grpc else upstream.rest_port
    name = cluster_name(upstream.variant, grpc=grpc)
    endpoint = {
        "address": _address("127.0.0.1", port),
        # Both protocols share the process, and its readiness is asked over REST.
        "health_check_config": {"port_value": upstream.rest_port},
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.250s",
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
        # Below half of the endpoints healthy, Envoy would by default send traffic to the sick ones.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_interval": "0.250s",
                "no_traffic_healthy_interval": "1s",
                # A single endpoint that is merely busy must not be taken out: three misses in a row.
                "unhealthy_threshold": 3,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/v2/health/ready", "codec_client_type": "HTTP1"},
            }
        ],
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 256,
                    "max_pending_requests": 256,
                    "max_requests": 512,
                    "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3},
                }
            ]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
                # Shorter than the transformer's keep-alive (65 s): else a request can meet a closing connection.
                "common_http_protocol_options": {"idle_timeout": "300s" if grpc else "30s"},
            }
        },
    }


def _typed(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "typed_config": config}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
