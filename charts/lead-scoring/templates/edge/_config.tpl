{{/* The edge's part of the controller's config.json: gateway, rest, grpc, routeTimeout, trafficPolicy. */}}
{{- define "lead-scoring.edge.controllerConfig" -}}
gateway:
  {{- if .Values.gateway.create }}
  name: {{ include "lead-scoring.gateway.name" . }}
  namespace: {{ .Release.Namespace }}
  sectionName: {{ include "lead-scoring.gateway.listener" . }}
  {{- else }}
  name: {{ .Values.edge.gateway.name }}
  namespace: {{ .Values.edge.gateway.namespace }}
  sectionName: {{ .Values.edge.gateway.sectionName | default "null" }}
  {{- end }}
rest:
  hostnames: {{ toJson .Values.edge.rest.hostnames }}
grpc:
  hostnames: {{ toJson .Values.edge.grpc.hostnames }}
routeTimeout: {{ include "lead-scoring.milliseconds" .Values.edge.timeouts.requestMs }}
trafficPolicy:
  {{- include "lead-scoring.trafficPolicy" . | nindent 2 }}
{{- end -}}

{{/* Routes, policies and tests of one release share a name: the controller writes the routes. */}}
{{- define "lead-scoring.rollout.name" -}}
{{- printf "%s-rollout" (include "lead-scoring.fullname" .) -}}
{{- end -}}

{{- define "lead-scoring.gateway.name" -}}
{{- default (include "lead-scoring.fullname" .) .Values.gateway.name -}}
{{- end -}}

{{- define "lead-scoring.gateway.listener" -}}
{{- ternary "https" "http" (ne .Values.gateway.tls.secretName "") -}}
{{- end -}}

{{/* Whole milliseconds as the Gateway API writes durations: 1000 is 1s, 250 is 250ms. */}}
{{- define "lead-scoring.milliseconds" -}}
{{- $ms := int . -}}
{{- if eq (mod $ms 1000) 0 }}{{ div $ms 1000 }}s{{ else }}{{ $ms }}ms{{ end -}}
{{- end -}}
