{{- define "zkp2p-consumer.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "zkp2p-consumer.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "zkp2p-consumer.labels" -}}
{{ include "zkp2p-consumer.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "zkp2p-consumer.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What is the same for the consumer, the migration and the audit: settings, with every secret as a file. */}}
{{- define "zkp2p-consumer.env" -}}
- {name: ZKP2P_KAFKA__BOOTSTRAP_SERVERS, value: {{ .Values.kafka.bootstrapServers | quote }}}
- {name: ZKP2P_KAFKA__TOPIC, value: {{ .Values.kafka.topic | quote }}}
- {name: ZKP2P_KAFKA__DLQ_TOPIC, value: {{ .Values.kafka.dlqTopic | quote }}}
- {name: ZKP2P_KAFKA__GROUP_ID, value: {{ .Values.kafka.groupId | quote }}}
- {name: ZKP2P_KAFKA__GROUP_PROTOCOL, value: {{ .Values.kafka.groupProtocol | quote }}}
{{- with .Values.kafka.securityProtocol }}
- {name: ZKP2P_KAFKA__SECURITY_PROTOCOL, value: {{ . | quote }}}
{{- end }}
{{- with .Values.kafka.sasl.mechanism }}
- {name: ZKP2P_KAFKA__SASL_MECHANISM, value: {{ . | quote }}}
{{- end }}
{{- with .Values.kafka.sasl.username }}
- {name: ZKP2P_KAFKA__SASL_USERNAME, value: {{ . | quote }}}
{{- end }}
{{- if .Values.kafka.sasl.passwordSecret.name }}
- {name: ZKP2P_KAFKA__SASL_PASSWORD_FILE, value: /etc/zkp2p/secrets/kafka-password}
{{- end }}
{{- if .Values.kafka.caSecret.name }}
- {name: ZKP2P_KAFKA__SSL_CA_LOCATION, value: /etc/zkp2p/secrets/kafka-ca.crt}
{{- end }}
{{- with .Values.kafka.extra }}
- {name: ZKP2P_KAFKA__EXTRA, value: {{ . | toJson | quote }}}
{{- end }}
- {name: ZKP2P_CLICKHOUSE__URL, value: {{ .Values.clickhouse.url | quote }}}
- {name: ZKP2P_CLICKHOUSE__DATABASE, value: {{ .Values.clickhouse.database | quote }}}
- {name: ZKP2P_CLICKHOUSE__USERNAME, value: {{ .Values.clickhouse.username | quote }}}
{{- if .Values.clickhouse.passwordSecret.name }}
- {name: ZKP2P_CLICKHOUSE__PASSWORD_FILE, value: /etc/zkp2p/secrets/clickhouse-password}
{{- end }}
{{- if .Values.clickhouse.caSecret.name }}
- {name: ZKP2P_CLICKHOUSE__CA_LOCATION, value: /etc/zkp2p/secrets/clickhouse-ca.crt}
{{- end }}
{{- with .Values.clickhouse.compression }}
- {name: ZKP2P_CLICKHOUSE__COMPRESSION, value: {{ . | quote }}}
{{- end }}
{{- with .Values.clickhouse.cluster }}
- {name: ZKP2P_CLICKHOUSE__CLUSTER, value: {{ . | quote }}}
{{- end }}
- {name: ZKP2P_HTTP__PORT, value: {{ .Values.http.port | quote }}}
- {name: ZKP2P_LOG__LEVEL, value: {{ .Values.log.level | quote }}}
- {name: ZKP2P_LOG__FORMAT, value: {{ .Values.log.format | quote }}}
{{- range $name, $value := .Values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "zkp2p-consumer.hasSecrets" -}}
{{- if or .Values.kafka.sasl.passwordSecret.name .Values.kafka.caSecret.name .Values.clickhouse.passwordSecret.name .Values.clickhouse.caSecret.name }}yes{{ end }}
{{- end }}

{{- define "zkp2p-consumer.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if include "zkp2p-consumer.hasSecrets" . }}
- {name: secrets, mountPath: /etc/zkp2p/secrets, readOnly: true}
{{- end }}
{{- end }}

{{- define "zkp2p-consumer.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if include "zkp2p-consumer.hasSecrets" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
    {{- with .Values.kafka.sasl.passwordSecret }}{{ if .name }}
      - secret: {name: {{ .name | quote }}, items: [{key: {{ .key | quote }}, path: kafka-password}]}
    {{- end }}{{ end }}
    {{- with .Values.kafka.caSecret }}{{ if .name }}
      - secret: {name: {{ .name | quote }}, items: [{key: {{ .key | quote }}, path: kafka-ca.crt}]}
    {{- end }}{{ end }}
    {{- with .Values.clickhouse.passwordSecret }}{{ if .name }}
      - secret: {name: {{ .name | quote }}, items: [{key: {{ .key | quote }}, path: clickhouse-password}]}
    {{- end }}{{ end }}
    {{- with .Values.clickhouse.caSecret }}{{ if .name }}
      - secret: {name: {{ .name | quote }}, items: [{key: {{ .key | quote }}, path: clickhouse-ca.crt}]}
    {{- end }}{{ end }}
{{- end }}
{{- end }}

{{/* The restricted Pod Security Standard, pod and container. */}}
{{- define "zkp2p-consumer.podSecurity" -}}
serviceAccountName: {{ .Values.serviceAccountName | quote }}
automountServiceAccountToken: false
# Else Kubernetes injects a variable for every Service of the namespace.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "zkp2p-consumer.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
