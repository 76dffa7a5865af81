{{/* Pods of a namespace, all of them or those with labels: `{namespace, podLabels}`. */}}
{{- define "lead-scoring.networkPeer" -}}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ .namespace }}
  {{- with .podLabels }}
  podSelector:
    matchLabels:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end -}}

{{/* A network without the addresses at which nodes hand out their credentials. */}}
{{- define "lead-scoring.networkBlock" -}}
- ipBlock:
    cidr: {{ . }}
    {{- if hasSuffix "/0" . }}
    except: [{{ ternary "fd00:ec2::/32" "169.254.0.0/16" (contains ":" .) }}]
    {{- end }}
{{- end -}}

{{- define "lead-scoring.networkPorts" -}}
{{- range . }}
- {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end -}}

{{- define "lead-scoring.networkEgress.dns" -}}
- to:
    {{- include "lead-scoring.networkPeer" .Values.networkPolicy.dns | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}

{{/* What a storage initializer needs; nothing where no storage is named. */}}
{{- define "lead-scoring.networkEgress.storage" -}}
{{- with .Values.networkPolicy.storage -}}
{{- range .cidrs }}
- to:
    {{- include "lead-scoring.networkBlock" .cidr | nindent 4 }}
  ports:
    {{- include "lead-scoring.networkPorts" .ports | nindent 4 }}
{{- end }}
{{- range .namespaces }}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .name }}
  ports:
    {{- include "lead-scoring.networkPorts" .ports | nindent 4 }}
{{- end }}
{{- end -}}
{{- end -}}
