{{- define "appkeys.name" -}}
{{- if contains "appkeys" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-appkeys{{ end }}
{{- end }}

{{- define "appkeys.selector" -}}
app.kubernetes.io/name: appkeys
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "appkeys.labels" -}}
{{ include "appkeys.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "appkeys.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* What all Pods of the chart have in common. */}}
{{- define "appkeys.pod" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "appkeys.container" -}}
image: {{ include "appkeys.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with .Values.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What the operator does with the objects of teams, in each namespace that it looks after. */}}
{{- define "appkeys.teamRules" -}}
- apiGroups: [appkeys.dev]
  resources: [applications, applicationkeys, keymanagers{{ if not .Values.namespaces }}, clusterkeymanagers{{ end }}]
  verbs: [get, list, watch, patch]
- apiGroups: [appkeys.dev]
  resources: [applications/status, applicationkeys/status, keymanagers/status{{ if not .Values.namespaces }}, clusterkeymanagers/status{{ end }}]
  verbs: [update]
- apiGroups: [appkeys.dev]
  resources: [applicationkeys/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* What `appkeys release` does there. */}}
{{- define "appkeys.releaseRules" -}}
- apiGroups: [appkeys.dev]
  resources: [applications, applicationkeys, keymanagers{{ if not .Values.namespaces }}, clusterkeymanagers{{ end }}]
  verbs: [list, patch]
{{- end }}
