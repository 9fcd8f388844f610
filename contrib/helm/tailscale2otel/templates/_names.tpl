{{- define "tailscale2otel.name" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | replace "tailscale2otel-tailscale2otel" "tailscale2otel" | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "tailscale2otel.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tailscale2otel.labels" -}}
{{ include "tailscale2otel.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}
