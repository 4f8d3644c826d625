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

{{/* What is the same for the consumer, the migration and the audit: settings, with every secret as a file.
     Takes the root and the values that may name another ClickHouse user. */}}
{{- define "zkp2p-consumer.env" -}}
{{- $user := index . 1 }}{{ with index . 0 }}
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
{{- if .Values.kafka.extraSecret.name }}
{{- if or .Values.kafka.extra .Values.kafka.clientCertificateSecret.name }}
{{- fail "kafka.extraSecret holds all properties: leave kafka.extra and kafka.clientCertificateSecret empty" }}
{{- end }}
- {name: ZKP2P_KAFKA__EXTRA_FILE, value: /etc/zkp2p/secrets/kafka-extra.json}
{{- else }}
{{- $extra := .Values.kafka.extra }}
{{- if .Values.kafka.clientCertificateSecret.name }}
{{- $extra = merge (dict "ssl.certificate.location" "/etc/zkp2p/secrets/kafka-client.crt" "ssl.key.location" "/etc/zkp2p/secrets/kafka-client.key") $extra }}
{{- end }}
{{- with $extra }}
- {name: ZKP2P_KAFKA__EXTRA, value: {{ . | toJson | quote }}}
{{- end }}
{{- end }}
- {name: ZKP2P_CLICKHOUSE__URL, value: {{ .Values.clickhouse.url | quote }}}
- {name: ZKP2P_CLICKHOUSE__DATABASE, value: {{ .Values.clickhouse.database | quote }}}
- {name: ZKP2P_CLICKHOUSE__USERNAME, value: {{ $user.username | default .Values.clickhouse.username | quote }}}
{{- if (include "zkp2p-consumer.passwordSecret" (list . $user) | fromYaml).name }}
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
{{- end }}

{{/* Of the ClickHouse user: another user has another password, or none. */}}
{{- define "zkp2p-consumer.passwordSecret" -}}
{{- $user := index . 1 }}
{{- if $user.username }}{{ toYaml $user.passwordSecret }}{{ else }}{{ toYaml (index . 0).Values.clickhouse.passwordSecret }}{{ end }}
{{- end }}

{{/* Every secret that is mounted, as items of a projected volume. */}}
{{- define "zkp2p-consumer.secrets" -}}
{{- $password := include "zkp2p-consumer.passwordSecret" . | fromYaml }}
{{- with (index . 0).Values }}
{{- $files := list
      (list .kafka.sasl.passwordSecret.name .kafka.sasl.passwordSecret.key "kafka-password")
      (list .kafka.caSecret.name .kafka.caSecret.key "kafka-ca.crt")
      (list .kafka.clientCertificateSecret.name .kafka.clientCertificateSecret.certificateKey "kafka-client.crt")
      (list .kafka.clientCertificateSecret.name .kafka.clientCertificateSecret.privateKey "kafka-client.key")
      (list .kafka.extraSecret.name .kafka.extraSecret.key "kafka-extra.json")
      (list $password.name $password.key "clickhouse-password")
      (list .clickhouse.caSecret.name .clickhouse.caSecret.key "clickhouse-ca.crt") }}
{{- range $files }}{{ if index . 0 }}
- secret: {name: {{ index . 0 | quote }}, items: [{key: {{ index . 1 | quote }}, path: {{ index . 2 }}}]}
{{- end }}{{ end }}
{{- end }}
{{- end }}

{{- define "zkp2p-consumer.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if include "zkp2p-consumer.secrets" . }}
- {name: secrets, mountPath: /etc/zkp2p/secrets, readOnly: true}
{{- end }}
{{- end }}

{{- define "zkp2p-consumer.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with include "zkp2p-consumer.secrets" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources: {{- . | trim | nindent 6 }}
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
