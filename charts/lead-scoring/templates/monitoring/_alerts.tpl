{{/*
The groups of alert rules. A series of the pods is matched with the controller's by `workload`, the InferenceService's and the
variant's name joined by a hyphen: the pods know their variant, the controller knows which variants there are.
*/}}
{{- define "lead-scoring.alerts" -}}
{{- $fullname := include "lead-scoring.fullname" . -}}
{{- $alerts := .Values.monitoring.alerts -}}
{{- $rollout := printf "namespace=%q, inference_service=%q" .Release.Namespace $fullname -}}
{{- $pods := printf "namespace=%q, pod=~%q" .Release.Namespace (printf "%s-.+-predictor-.+" $fullname) -}}
{{- $controllers := printf "namespace=%q, pod=~%q" .Release.Namespace (printf "%s-controller-.+" $fullname) -}}
{{- $failed := "5..|ABORTED|DATA_LOSS|DEADLINE_EXCEEDED|INTERNAL|RESOURCE_EXHAUSTED|UNAVAILABLE|UNIMPLEMENTED|UNKNOWN" -}}
{{- $runbook := "docs/rollouts.md" -}}
groups:
  - name: {{ .Release.Namespace }}.{{ $fullname }}.recorded
    rules:
      # Answers and refusals of the variants in the last 5 minutes; copies for the shadow are none.
      - record: lead_scoring:requests:increase5m
        expr: |
          sum by (namespace, workload) (
            label_replace(
              increase(lead_requests_total{ {{- $pods }}, shadow="false"}[5m]),
              "workload", "$1", "pod", "(.+)-predictor-.+"))
        labels:
          inference_service: {{ $fullname }}
      - record: lead_scoring:failures:increase5m
        expr: |
          sum by (namespace, workload) (
            label_replace(
              increase(lead_requests_total{ {{- $pods }}, shadow="false", code=~{{ $failed | quote }}}[5m]),
              "workload", "$1", "pod", "(.+)-predictor-.+"))
        labels:
          inference_service: {{ $fullname }}
      - record: lead_scoring:latency_seconds:p99_5m
        expr: |
          histogram_quantile(0.99, sum by (namespace, workload, le) (
            label_replace(
              rate(lead_request_duration_seconds_bucket{ {{- $pods }}, shadow="false"}[5m]),
              "workload", "$1", "pod", "(.+)-predictor-.+")))
        labels:
          inference_service: {{ $fullname }}
      # What the routes gave in the same 5 minutes: a shift in between is in both.
      - record: lead_scoring:routed_share:avg5m
        expr: |
          label_join(
            max by (namespace, inference_service, variant) (avg_over_time(lead_rollout_routed_share{ {{- $rollout }}}[5m])),
            "workload", "-", "inference_service", "variant")
      # Variants that answered nothing count as 0.
      - record: lead_scoring:answered_share:increase5m
        expr: |
          100 * (
            lead_scoring:requests:increase5m{ {{- $rollout }}}
              or on (namespace, workload) (0 * lead_scoring:routed_share:avg5m{ {{- $rollout }}})
          ) / on (namespace) group_left ()
            (sum by (namespace) (lead_scoring:requests:increase5m{ {{- $rollout }}}) > 0)
  - name: {{ .Release.Namespace }}.{{ $fullname }}.shares
    rules:
      - alert: LeadScoringShareNotRouted
        expr: |
          abs(
            max by (namespace, inference_service, variant) (lead_rollout_intended_share{ {{- $rollout }}})
            - max by (namespace, inference_service, variant) (lead_rollout_routed_share{ {{- $rollout }}})
          ) > 0
        for: {{ $alerts.convergenceSeconds }}s
        labels:
          severity: warning
        annotations:
          summary: {{ `Variant {{ $labels.variant }} of {{ $labels.inference_service }} does not get the share that was asked for.` | quote }}
          description: {{ `{{ $value }} points apart. Pods of the variant are not ready, or the controller is held up: kubectl describe modelrollout {{ $labels.inference_service }}.` | quote }}
          runbook: {{ $runbook }}
      - alert: LeadScoringShareNotAnswered
        expr: |
          abs(
            lead_scoring:answered_share:increase5m{ {{- $rollout }}}
            - on (namespace, workload) lead_scoring:routed_share:avg5m{ {{- $rollout }}}
          ) > {{ $alerts.sharePoints }}
          and on (namespace)
            sum by (namespace) (lead_scoring:requests:increase5m{ {{- $rollout }}}) >= {{ $alerts.shareMinAnswers }}
        for: 5m
        labels:
          severity: warning
        annotations:
          summary: {{ `{{ $labels.workload }} does not answer the share that the routes give it.` | quote }}
          description: {{ `{{ $value }} points apart over 5 minutes. Another route claims the hostname, the gateway refuses the routes, or few callers send most of the requests under the same x-lead-key.` | quote }}
          runbook: {{ $runbook }}
      - alert: LeadScoringRoutesEdited
        expr: sum by (namespace, kind) (increase(lead_rollout_repairs_total{ {{- $controllers }}}[10m])) > 0
        labels:
          severity: warning
        annotations:
          summary: {{ `Somebody else changes the {{ $labels.kind }} of the rollout, and the controller puts it right.` | quote }}
          runbook: {{ $runbook }}
      - alert: LeadScoringControllerAbsent
        expr: absent(max(lead_rollout_leader{ {{- $controllers }}}) == 1)
        for: 2m
        labels:
          severity: warning
        annotations:
          summary: {{ printf "No controller acts for %s: traffic goes on, shares don't move." $fullname | quote }}
          runbook: {{ $runbook }}
  - name: {{ .Release.Namespace }}.{{ $fullname }}.answers
    rules:
      - alert: LeadScoringErrors
        expr: |
          100 * lead_scoring:failures:increase5m{ {{- $rollout }}}
            / on (namespace, workload) (lead_scoring:requests:increase5m{ {{- $rollout }}} >= {{ $alerts.errorMinRequests }})
            > {{ $alerts.errorPercent }}
        for: 1m
        labels:
          severity: critical
        annotations:
          summary: {{ `{{ $labels.workload }} fails {{ $value | printf "%.1f" }} % of its requests.` | quote }}
          description: "A canary that does is taken out with one patch, see the runbook."
          runbook: {{ $runbook }}
      - alert: LeadScoringSlow
        expr: lead_scoring:latency_seconds:p99_5m{ {{- $rollout }}} > {{ divf $alerts.latencyP99Ms 1000 }}
        for: 10m
        labels:
          severity: warning
        annotations:
          summary: {{ `1 % of the requests to {{ $labels.workload }} take over {{ $value | humanizeDuration }}.` | quote }}
          runbook: {{ $runbook }}
      - alert: LeadScoringPredictorFailures
        expr: |
          sum by (namespace, pod, kind) (increase(lead_predictor_failures_total{ {{- $pods }}}[5m])) > 0
        for: 5m
        labels:
          severity: warning
        annotations:
          summary: {{ `The predictor of {{ $labels.pod }} fails ({{ $labels.kind }}).` | quote }}
          runbook: docs/reliability.md
      - alert: LeadScoringSilent
        expr: absent(lead_ready{ {{- $pods }}})
        for: 5m
        labels:
          severity: critical
        annotations:
          summary: {{ printf "Prometheus sees no pod of %s: nothing is known about errors or shares." $fullname | quote }}
          runbook: docs/metrics.md
  - name: {{ .Release.Namespace }}.{{ $fullname }}.pods
    rules:
      - alert: LeadScoringNobodyReady
        expr: sum by (namespace, inference_service) (lead_rollout_ready_pods{ {{- $rollout }}}) == 0
        for: 30s
        labels:
          severity: critical
        annotations:
          summary: {{ `No pod of {{ $labels.inference_service }} is ready.` | quote }}
          runbook: {{ $runbook }}
      - alert: LeadScoringTooFewPods
        expr: |
          max by (namespace, inference_service, variant) (lead_rollout_ready_pods{ {{- $rollout }}})
            < max by (namespace, inference_service, variant) (lead_rollout_needed_pods{ {{- $rollout }}})
        for: {{ $alerts.convergenceSeconds }}s
        labels:
          severity: warning
        annotations:
          summary: {{ `Variant {{ $labels.variant }} of {{ $labels.inference_service }} has {{ $value }} ready pods, fewer than its share needs.` | quote }}
          runbook: {{ $runbook }}
      - alert: LeadScoringMixedDigests
        expr: |
          count by (namespace, workload, model_version) (
            count by (namespace, workload, model_version, digest) (
              label_replace(lead_model_info{ {{- $pods }}}, "workload", "$1", "pod", "(.+)-predictor-.+"))
          ) > 1
        labels:
          severity: critical
        annotations:
          summary: {{ `Pods of {{ $labels.workload }} hold different models under version {{ $labels.model_version }}.` | quote }}
          description: Somebody changed a published version. Publish the change as a version of its own, and restore the old one.
          runbook: {{ $runbook }}
{{- end -}}

{{/* The same, with the labels of the values on every alert. */}}
{{- define "lead-scoring.labelledAlerts" -}}
{{- $rules := include "lead-scoring.alerts" . | fromYaml -}}
{{- range $group := $rules.groups -}}
{{- range $rule := $group.rules -}}
{{- if and $rule.alert $.Values.monitoring.rules.alertLabels -}}
{{- $_ := set $rule "labels" (merge (dict) $.Values.monitoring.rules.alertLabels $rule.labels) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}
