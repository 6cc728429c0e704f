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

{{- /* The name of what is in no namespace. Releases of one name in several namespaces have one each. */ -}}
{{- define "redtape.clusterName" -}}
redtape:{{ .Release.Namespace }}:{{ .Release.Name }}
{{- end }}

{{- define "redtape.port" -}}
{{ required "config.prometheus_export.port: the engine's probes need it" .Values.config.prometheus_export.port }}
{{- end }}

{{- /* Every process in a pod is chosen where the values choose none: a default among them would be merged with theirs. */ -}}
{{- define "redtape.config" -}}
{{- $config := merge (dict) .Values.config -}}
{{- if not (pick $config "discovery" "open_port" "executable_name" "auto_target_exe" "system_wide") -}}
{{- $_ := set $config "discovery" (dict "instrument" (list (dict "k8s_namespace" "*"))) -}}
{{- end -}}
{{ toYaml $config }}
{{- end }}

{{- /* The port of what redtape says of itself; nothing where it is not served. */ -}}
{{- define "redtape.internalPort" -}}
{{- with get .Values.config "internal_metrics" }}{{ with get . "prometheus" }}{{ get . "port" }}{{ end }}{{ end }}
{{- end }}
