{{- define "redtape.labels" -}}
{{ include "redtape.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "redtape.selector" -}}
app.kubernetes.io/name: redtape
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "redtape.serviceAccount" -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- end }}

{{- define "redtape.port" -}}
{{ required "config.prometheus_export.port: the engine's probes need it" .Values.config.prometheus_export.port }}
{{- end }}
