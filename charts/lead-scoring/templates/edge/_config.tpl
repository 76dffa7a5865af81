{{/* The edge's part of the controller's config.json: gateway, rest, grpc, routeTimeout, trafficPolicy. */}}
{{- define "lead-scoring.edge.controllerConfig" -}}
gateway:
  name: kserve-ingress-gateway
  namespace: kserve
  sectionName: null
rest:
  hostnames: [lead-scoring.example.com]
grpc:
  hostnames: [grpc.lead-scoring.example.com]
routeTimeout: 1s
trafficPolicy: {}
{{- end -}}
