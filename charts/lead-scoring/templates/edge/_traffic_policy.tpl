{{/* The part of the BackendTrafficPolicy that values decide; the controller adds targets and the sticky hash. */}}
{{- define "lead-scoring.trafficPolicy" -}}
{{- $edge := .Values.edge -}}
timeout:
  tcp:
    connectTimeout: {{ include "lead-scoring.milliseconds" $edge.timeouts.connectMs }}
  http:
    # GRPCRoutes have no timeouts of their own, so the deadline stands here for both kinds.
    requestTimeout: {{ include "lead-scoring.milliseconds" $edge.timeouts.requestMs }}
    connectionIdleTimeout: {{ $edge.timeouts.upstreamIdleSeconds }}s
    streamIdleTimeout: {{ $edge.timeouts.streamIdleSeconds }}s
retry:
  numRetries: {{ $edge.retry.attempts }}
  retryOn:
    # Nothing of these reached a pod, so no lead is scored twice; a 503 of ours means "later", not "again".
    triggers: [connect-failure, refused-stream, reset-before-request]
  perRetry:
    backOff:
      baseInterval: 10ms
      maxInterval: 50ms
circuitBreaker:
  maxConnections: {{ $edge.circuitBreaker.maxConnections }}
  maxPendingRequests: {{ $edge.circuitBreaker.maxPendingRequests }}
  maxParallelRequests: {{ $edge.circuitBreaker.maxParallelRequests }}
  retryBudget:
    percent:
      numerator: {{ $edge.retry.budgetPercent }}
    minRetryConcurrency: {{ $edge.retry.minConcurrency }}
healthCheck:
  # Below half of the pods healthy, Envoy would by default send traffic to the ill ones.
  panicThreshold: 0
  passive:
    # Not split by origin: Envoy would then forget a timeout as soon as the next request finds a connection, and a frozen pod stays.
    consecutive5XxErrors: {{ $edge.outlier.consecutiveErrors }}
    interval: {{ $edge.outlier.intervalSeconds }}s
    baseEjectionTime: {{ $edge.outlier.ejectionSeconds }}s
    maxEjectionPercent: {{ $edge.outlier.maxEjectionPercent }}
connection:
  bufferLimit: 1Mi
tcpKeepalive:
  idleTime: 30s
  interval: 10s
  probes: 3
http2:
  connectionKeepalive:
    interval: 30s
    timeout: 5s
requestBuffer:
  limit: {{ $edge.limits.requestBytes }}
{{- with $edge.limits }}
{{- if or .requestsPerSecond .requestsPerSecondPerClient }}
rateLimit:
  type: Local
  local:
    rules:
      {{- if .requestsPerSecond }}
      - limit:
          requests: {{ .requestsPerSecond }}
          unit: Second
        xRateLimitHeaders: "Off"
      {{- end }}
      {{- if .requestsPerSecondPerClient }}
      {{- range $cidr := list "0.0.0.0/0" "::/0" }}
      - clientSelectors:
          - sourceCIDR:
              type: Distinct
              value: {{ $cidr }}
        limit:
          requests: {{ $edge.limits.requestsPerSecondPerClient }}
          unit: Second
        xRateLimitHeaders: "Off"
      {{- end }}
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}
