{{/* The chart's name, or the override. */}}
{{- define "lead-scoring.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{/* The release's own name: of the InferenceService, the ModelRollout, and the start of every other name. */}}
{{- define "lead-scoring.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := include "lead-scoring.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selectors match: never changes in a release's life. */}}
{{- define "lead-scoring.selectorLabels" -}}
app.kubernetes.io/name: {{ include "lead-scoring.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of every object but the InferenceService: KServe copies its labels to the pods, so a version there would restart them. */}}
{{- define "lead-scoring.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "lead-scoring.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ include "lead-scoring.fullname" . }}
{{- end -}}

{{/* Labels that KServe puts on the pods of every variant of the InferenceService. */}}
{{- define "lead-scoring.predictorSelectorLabels" -}}
serving.kserve.io/inferenceservice: {{ include "lead-scoring.fullname" . }}
{{- end -}}

{{- define "lead-scoring.controller.fullname" -}}
{{- printf "%s-controller" (include "lead-scoring.fullname" .) -}}
{{- end -}}

{{- define "lead-scoring.controller.selectorLabels" -}}
{{ include "lead-scoring.selectorLabels" . }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "lead-scoring.controller.serviceAccountName" -}}
{{- default (include "lead-scoring.controller.fullname" .) .Values.controller.serviceAccount.name -}}
{{- end -}}

{{- define "lead-scoring.predictor.serviceAccountName" -}}
{{- default (printf "%s-predictor" (include "lead-scoring.fullname" .)) .Values.predictor.serviceAccount.name -}}
{{- end -}}

{{/* An image reference: repository, then :tag, then @digest, which wins where both are given. */}}
{{- define "lead-scoring.image" -}}
{{- .repository -}}{{- with .tag }}:{{ . }}{{ end -}}{{- with .digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* A runtime's settings as YAML: the defaults, and over them what its entry says. */}}
{{- define "lead-scoring.runtime" -}}
{{- mustMergeOverwrite (deepCopy .root.Values.runtimeDefaults) (deepCopy (index .root.Values.runtimes .key)) | toYaml -}}
{{- end -}}

{{/* A map of settings as environment variables; whole numbers stay whole. */}}
{{- define "lead-scoring.env" -}}
{{- range $name, $value := . -}}
{{ printf "- name: %s\n  value: %s\n" $name (kindIs "string" $value | ternary $value (toJson $value) | quote) }}
{{- end -}}
{{- end -}}

{{/* What PodSecurity `restricted` asks of a container, and a root that nobody can write to. */}}
{{- define "lead-scoring.containerSecurityContext" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- end -}}

{{/* The same of a pod, for containers that others inject too; the images' own user. */}}
{{- define "lead-scoring.podSecurityContext" -}}
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
runAsGroup: 65532
runAsNonRoot: true
runAsUser: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "lead-scoring.pullSecrets" -}}
{{- with .Values.images.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* For a Prometheus that finds pods by annotation; its argument is the port. */}}
{{- define "lead-scoring.scrapeAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ . | quote }}
prometheus.io/path: /metrics
{{- end -}}
