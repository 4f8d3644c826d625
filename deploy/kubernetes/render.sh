#!/bin/sh
# Renders the chart into the plain manifests beside this file, for those without Helm.
# usage: deploy/kubernetes/render.sh [DIRECTORY]     needs helm on PATH, in .cache/bin, or named by $HELM
set -eu
cd "$(dirname "$0")/../.."
out=${1:-deploy/kubernetes}
chart=deploy/helm/zkp2p-consumer
helm=${HELM:-$(command -v helm || echo .cache/bin/helm)}

render() { # FILE TEMPLATE [helm's arguments]
  file=$out/$1; template=$2; shift 2
  mkdir -p "$(dirname "$file")"
  {
    echo "# Rendered from $chart by deploy/kubernetes/render.sh: change it there."
    "$helm" template zkp2p-consumer "$chart" --namespace zkp2p --kube-version 1.34.0 \
      --set clickhouse.username=zkp2p --set clickhouse.passwordSecret.name=zkp2p-clickhouse \
      --set migrate.username=zkp2p_migrator --set migrate.passwordSecret.name=zkp2p-clickhouse \
      --set migrate.passwordSecret.key=migrator-password \
      --set audit.username=zkp2p_auditor --set audit.passwordSecret.name=zkp2p-clickhouse \
      --set audit.passwordSecret.key=auditor-password \
      --show-only "templates/$template" "$@" |
      grep -vE '^(---|# Source:.*|    (helm.sh/chart|helm.sh/hook|helm.sh/hook-delete-policy|app.kubernetes.io/managed-by): .*|  annotations:)$' |
      grep -vE '^ +(helm.sh/chart|app.kubernetes.io/managed-by): '
  } > "$file"
}

render migrate-job.yaml migrate-job.yaml
render statefulset.yaml statefulset.yaml
render pdb.yaml pdb.yaml
render networkpolicy.yaml networkpolicy.yaml
render audit-cronjob.yaml audit-cronjob.yaml
render monitoring/podmonitor.yaml podmonitor.yaml --set monitoring.podMonitor.enabled=true
render monitoring/prometheusrule.yaml prometheusrule.yaml --set monitoring.prometheusRule.enabled=true
render keda/scaledobject.yaml scaledobject.yaml --set autoscaling.enabled=true

# What the manifests were made of: a test compares it where there is no helm.
find "$chart" -type f | LC_ALL=C sort | xargs sha256sum deploy/kubernetes/render.sh | sha256sum | cut -d' ' -f1 > "$out/chart.sha256"
