{{/*
A variant's whole predictor spec. Stable and canaries are written out alike and in full: KServe lets a canary inherit from stable what
it doesn't say, so that after a swap of the two blocks only complete ones leave every pod template as it was. The label is how the pods
know their variant: it is part of the block and moves with it.
*/}}
{{- define "lead-scoring.predictor" -}}
{{- $root := .root -}}
{{- $fullname := include "lead-scoring.fullname" $root -}}
{{- with $root.Values.predictor -}}
name: {{ $.variant.name }}
labels:
  lead-scoring.io/variant: {{ $.variant.name }}
model:
  name: ""  # the CRD asks for it in canaries, and KServe for nothing in it
  modelFormat: {name: xgboost}
  protocolVersion: v2
  runtime: {{ $fullname }}-{{ $.variant.runtime }}
  storageUri: {{ $.variant.storageUri }}
{{- with .storageContainerName }}
storageContainerName: {{ . }}
{{- end }}
deploymentStrategy:
  type: RollingUpdate
  rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}
serviceAccountName: {{ include "lead-scoring.predictor.serviceAccountName" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .terminationGracePeriodSeconds }}
securityContext:
  {{- include "lead-scoring.podSecurityContext" $root | nindent 2 }}
topologySpreadConstraints:
  {{- range $topologyKey, $whenUnsatisfiable := dict "topology.kubernetes.io/zone" .topologySpread.zone "kubernetes.io/hostname" .topologySpread.host }}
  - topologyKey: {{ $topologyKey }}
    whenUnsatisfiable: {{ $whenUnsatisfiable }}
    maxSkew: 1
    labelSelector:
      matchLabels:
        {{- include "lead-scoring.predictorSelectorLabels" $root | nindent 8 }}
    matchLabelKeys: [app, pod-template-hash]
  {{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
The InferenceService. Its labels and annotations reach every pod, so nothing here may change with a version of the chart.
*/}}
{{- define "lead-scoring.inferenceService" -}}
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {{ include "lead-scoring.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "lead-scoring.selectorLabels" . | nindent 4 }}
    app.kubernetes.io/component: predictor
    app.kubernetes.io/part-of: {{ include "lead-scoring.fullname" . }}
    networking.kserve.io/visibility: cluster-local
  annotations:
    serving.kserve.io/deploymentMode: Standard
    serving.kserve.io/autoscalerClass: external
spec:
  predictor:
    {{- include "lead-scoring.predictor" (dict "root" . "variant" .Values.inferenceService.stable) | nindent 4 }}
  {{- with .Values.inferenceService.canaries }}
  canary:
    {{- range . }}
    - trafficPercent: {{ .trafficPercent }}
      predictor:
        {{- include "lead-scoring.predictor" (dict "root" $ "variant" .) | nindent 8 }}
    {{- end }}
  {{- end }}
{{- end -}}
