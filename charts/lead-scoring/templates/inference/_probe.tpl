{{/* An HTTP probe of the transformer's port. */}}
{{- define "lead-scoring.probe" -}}
httpGet: {path: {{ .path }}, port: 8080, scheme: HTTP}
periodSeconds: {{ .probe.periodSeconds }}
timeoutSeconds: 1
successThreshold: 1
failureThreshold: {{ .probe.failureThreshold }}
{{- end -}}
