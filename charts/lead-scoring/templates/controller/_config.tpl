{{/* The files of /etc/lead-controller. */}}
{{- define "lead-scoring.controller.data" -}}
{{- $edge := include "lead-scoring.edge.controllerConfig" . | fromYaml -}}
{{- $own := dict
  "inferenceService" (include "lead-scoring.fullname" .)
  "model" .Values.model.name
  "autoscaling" .Values.autoscaling
  "metricsPort" .Values.controller.metricsPort -}}
config.json: |-
  {{- merge $own $edge | toPrettyJson | nindent 2 }}
{{- if eq .Values.inferenceService.ownership "bootstrap" }}
inferenceservice.json: |-
  {{- include "lead-scoring.inferenceService" . | fromYaml | toPrettyJson | nindent 2 }}
{{- end }}
{{- end -}}
