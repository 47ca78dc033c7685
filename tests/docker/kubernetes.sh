#!/usr/bin/env bash
# The manifests, as kustomize builds them, against Kubernetes' own published schemas: offline, without a cluster.
#
# The schemas come with PyPI's kubernetes-validate; `kubectl` (or `kustomize`) builds. Where either is missing, what
# needs it is skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/docker/checks.sh

echo "-- Kubernetes"
if command -v kubectl >/dev/null; then kustomize=(kubectl kustomize)
elif command -v kustomize >/dev/null; then kustomize=(kustomize build)
else skip "Kubernetes manifests" "neither kubectl nor kustomize is installed"; summary; exit; fi

# The overlay's secrets are never in the repository, so a copy gets some.
cp -r deploy/kubernetes "$work/k8s"
for name in database-password datahub-access-id datahub-access-key; do echo none >"$work/k8s/overlays/oceanbase-cloud/secrets/$name"; done
build() { "${kustomize[@]}" "$work/k8s/overlays/oceanbase-cloud" >"$work/all.yaml"; }
check "the overlay for OceanBase Cloud builds" build
check "without the secrets' files it does not" equal failed \
  "$("${kustomize[@]}" deploy/kubernetes/overlays/oceanbase-cloud >/dev/null 2>&1 || echo failed)"

venv=${DEPS_DIR:-target/deps}/kubernetes-validate
[ -x "$venv/bin/kubernetes-validate" ] || { python3 -m venv "$venv" && "$venv/bin/pip" --quiet install kubernetes-validate==1.37.0; } || true
if [ -x "$venv/bin/kubernetes-validate" ]; then
  for version in 1.27 1.32 1.37; do
    check "every object is valid in Kubernetes $version" "$venv/bin/kubernetes-validate" --strict --kubernetes-version "$version" "$work/all.yaml"
  done
  sed 's/readOnlyRootFilesystem/readOnlyRootFileSystem/' "$work/all.yaml" >"$work/wrong.yaml"
  check "a misspelt field is found" equal failed \
    "$("$venv/bin/kubernetes-validate" --strict "$work/wrong.yaml" >/dev/null 2>&1 || echo failed)"
  "$venv/bin/python" - "$work/all.yaml" >"$work/objects.json" <<'PYTHON'
import json, sys, yaml
print(json.dumps({o["kind"]: o for o in yaml.safe_load_all(open(sys.argv[1]))}))
PYTHON
  object() { jq -c "$1" "$work/objects.json"; }
  check "one pod, and the old one goes first" equal '[1,"Recreate"]' "$(object '.Deployment.spec | [.replicas, .strategy.type]')"
  pod=.Deployment.spec.template
  check "not root, as user 10001" equal '[true,10001]' "$(object "$pod.spec.securityContext | [.runAsNonRoot, .runAsUser]")"
  check "read-only root, no capability, no escalation" equal '[true,["ALL"],false]' \
    "$(object "$pod.spec.containers[0].securityContext | [.readOnlyRootFilesystem, .capabilities.drop, .allowPrivilegeEscalation]")"
  check "startup and liveness ask /health/live, readiness /health/ready" equal '["/health/live","/health/live","/health/ready"]' \
    "$(object "$pod.spec.containers[0] | [.startupProbe, .livenessProbe, .readinessProbe | .httpGet.path]")"
  for kind in NetworkPolicy PodDisruptionBudget Service; do
    case $kind in NetworkPolicy) selector=podSelector.matchLabels ;; Service) selector=selector ;; *) selector=selector.matchLabels ;; esac
    check "$kind selects the pod and nothing else" equal '[true,false]' \
      "$(object "$pod.metadata.labels as \$l | .$kind.spec.$selector | [all(to_entries[]; \$l[.key] == .value), length == 0]")"
  done
  check "the checkpoint is on a persistent volume" equal '"cdc-collector-data"' \
    "$(object "$pod.spec.volumes[] | select(.name == \"data\") | .persistentVolumeClaim.claimName")"
  check "the drain ends before the grace period" equal true \
    "$(object '(.ConfigMap.data.SHUTDOWN_TIMEOUT_SECONDS | tonumber) < .Deployment.spec.template.spec.terminationGracePeriodSeconds')"
  check "no secret in a variable" equal '[]' "$(object "[$pod.spec.containers[0].env[].name | select(endswith(\"_FILE\") | not)]")"
  # The collector itself says whether it understands every option of the ConfigMap.
  image=realtime-pipeline/cdc-collector:1.0.0
  if docker image inspect "$image" >/dev/null 2>&1; then
    object '.ConfigMap.data' | jq -r 'to_entries[] | "\(.key)=\(.value)"' >"$work/env"
    check "the collector accepts the ConfigMap's options" docker run --rm --env-file "$work/env" --env DATABASE_PASSWORD=none \
      --env DATAHUB_ACCESS_ID=none --env DATAHUB_ACCESS_KEY=none "$image" config
  else
    skip "the ConfigMap's options" "no image $image"
  fi
else
  skip "schemas of Kubernetes" "kubernetes-validate cannot be installed from the Python package index"
fi
summary
