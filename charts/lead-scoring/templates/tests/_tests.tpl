{{- define "lead-scoring.tests.selectorLabels" -}}
{{ include "lead-scoring.selectorLabels" . }}
app.kubernetes.io/component: test
{{- end -}}

{{/* The image of the tests: their own, or the stable variant's transformer. */}}
{{- define "lead-scoring.tests.image" -}}
{{- $runtime := include "lead-scoring.runtime" (dict "root" . "key" .Values.inferenceService.stable.runtime) | fromYaml -}}
{{- include "lead-scoring.image" (ternary .Values.tests.image $runtime.transformer.image (not (empty .Values.tests.image.repository))) -}}
{{- end -}}

{{/* One pod of `helm test`, `{root, promise}`: it asks for one promise and ends with its answer. */}}
{{- define "lead-scoring.test" -}}
{{- $root := .root -}}
{{- $fullname := include "lead-scoring.fullname" $root -}}
{{- with $root.Values -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ $fullname }}-test-{{ $.promise }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "lead-scoring.labels" $root | nindent 4 }}
    app.kubernetes.io/component: test
    {{- if eq $.promise "golden" }}
    # KServe fetches the model for pods with this label, with the credentials of the ServiceAccount. No variant has the name.
    serving.kserve.io/inferenceservice: {{ $fullname }}-test
    {{- end }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation
    {{- if eq $.promise "golden" }}
    internal.serving.kserve.io/storage-initializer-sourceuri: {{ .inferenceService.stable.storageUri | quote }}
    {{- with .predictor.storageContainerName }}
    internal.serving.kserve.io/storage-container-name: {{ . }}
    {{- end }}
    {{- end }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "lead-scoring.predictor.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with include "lead-scoring.pullSecrets" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- include "lead-scoring.podSecurityContext" $root | nindent 4 }}
  {{- with .predictor.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .predictor.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    # KServe mounts the model into the container of this name.
    - name: kserve-container
      image: {{ include "lead-scoring.tests.image" $root }}
      imagePullPolicy: IfNotPresent
      command:
        - python
        - /tests/ask.py
        - {{ $.promise }}
        - --model={{ .model.name }}
        - --service=http://{{ $fullname }}-{{ .inferenceService.stable.name }}-predictor
        {{- if .tests.gatewayUrl }}
        - --gateway={{ .tests.gatewayUrl }}
        - --host={{ first .edge.rest.hostnames }}
        - --header={{ ternary .edge.auth.apiKey.header "authorization" (eq .edge.auth.mode "apiKey") }}
        {{- if eq .edge.auth.mode "none" }}
        - --open
        {{- end }}
        {{- end }}
        - --within-s={{ .tests.timeoutSeconds }}
      {{- with .tests.tokenSecretName }}
      env:
        - name: LEAD_TOKEN
          valueFrom:
            secretKeyRef: {name: {{ . }}, key: token}
      {{- end }}
      resources:
        requests: {cpu: 20m, memory: 32Mi}
        limits: {cpu: 200m, memory: 128Mi}
      securityContext:
        {{- include "lead-scoring.containerSecurityContext" $root | nindent 8 }}
      volumeMounts:
        - {name: tests, mountPath: /tests, readOnly: true}
  volumes:
    - name: tests
      configMap: {name: {{ $fullname }}-tests}
{{- end -}}
{{- end -}}
