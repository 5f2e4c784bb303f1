{{/* Names */}}

{{- define "platform-gate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters, so that the names derived from it stay within 63. */}}
{{- define "platform-gate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "platform-gate.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secret that holds the serving certificate, and the Lease of the one pod that writes it and caBundle. cert-manager's Secret has a name of its
     own: it is no part of the release and stays behind, where Helm would refuse to make one of the same name. */}}
{{- define "platform-gate.certificateName" -}}
{{- $name := printf "%s-%s" (include "platform-gate.fullname" .) (ternary "issued" "tls" (eq .Values.certificate.mode "cert-manager")) -}}
{{- default $name .Values.certificate.secretName -}}
{{- end -}}

{{- define "platform-gate.leaseName" -}}
{{- printf "%s-tls" (include "platform-gate.fullname" .) -}}
{{- end -}}

{{- define "platform-gate.watchName" -}}
{{- printf "%s-watch" (include "platform-gate.fullname" .) -}}
{{- end -}}

{{- define "platform-gate.registryCAName" -}}
{{- printf "%s-ca" (include "platform-gate.fullname" .) -}}
{{- end -}}

{{- define "platform-gate.namespaceLabelsName" -}}
{{- printf "%s-namespace-labels" (include "platform-gate.fullname" .) -}}
{{- end -}}

{{- define "platform-gate.serviceAccountName" -}}
{{- default (include "platform-gate.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* Labels */}}

{{- define "platform-gate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "platform-gate.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The chart's own labels win over commonLabels, since objects are found by them. */}}
{{- define "platform-gate.labels" -}}
{{- $own := include "platform-gate.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/component" "webhook" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63) -}}
{{- mustMerge $own (default (dict) .Values.commonLabels) | toYaml -}}
{{- end -}}

{{/* Pods carry no chart version: a new chart alone is no reason to restart them. */}}
{{- define "platform-gate.podLabels" -}}
{{- $own := include "platform-gate.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/component" "webhook" -}}
{{- mustMerge $own (default (dict) .Values.podLabels) (default (dict) .Values.commonLabels) | toYaml -}}
{{- end -}}

{{/* Image */}}

{{- define "platform-gate.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry -}}
{{- $repository := ternary .Values.image.repository (printf "%s/%s" $registry .Values.image.repository) (empty $registry) -}}
{{- $image := printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- ternary (printf "%s@%s" $image .Values.image.digest) $image (not (empty .Values.image.digest)) -}}
{{- end -}}

{{/* Settings */}}

{{/* The settings file: what the values say, and where the certificate lives. */}}
{{- define "platform-gate.config" -}}
{{- $certificate := dict
      "mode" .Values.certificate.mode
      "secretName" (include "platform-gate.certificateName" .)
      "leaseName" (include "platform-gate.leaseName" .)
      "serviceName" (include "platform-gate.fullname" .)
      "webhookConfigurationName" (include "platform-gate.fullname" .) -}}
{{- if .Values.pin.enabled -}}
{{- $_ := set $certificate "mutatingWebhookConfigurationName" (include "platform-gate.fullname" .) -}}
{{- end -}}
{{- if eq .Values.certificate.mode "self-managed" -}}
{{- $_ := set $certificate "overlapSeconds" (int .Values.certificate.overlapSeconds) -}}
{{- end -}}
{{- with .Values.certificate.caBundle -}}
{{- $_ := set $certificate "caBundle" . -}}
{{- end -}}
{{- $own := dict "certificate" $certificate "pullSecrets" .Values.pullSecrets.enabled -}}
{{- if .Values.watch.enabled -}}
{{- $_ := set $own "watch" (dict "leaseName" (include "platform-gate.watchName" .)) -}}
{{- end -}}
{{- if .Values.registryCredentials.existingSecret -}}
{{- $_ := set $own "defaultCredentials" "/etc/platform-gate/credentials/config.json" -}}
{{- end -}}
{{- if include "platform-gate.callersCA" . -}}
{{- $_ := set $own "callers" (dict "caFile" "/etc/platform-gate/callers/ca.crt" "names" .Values.callers.names) -}}
{{- end -}}
{{- mustMerge $own .Values.settings | toYaml -}}
{{- end -}}

{{/* Scheduling */}}

{{- define "platform-gate.topologySpreadConstraints" -}}
{{- if .Values.topologySpreadConstraints -}}
{{- toYaml .Values.topologySpreadConstraints -}}
{{- else -}}
{{- range $index, $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" -}}
{{- if $index }}
{{ end -}}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "platform-gate.selectorLabels" $ | nindent 6 }}
  matchLabelKeys:
    - pod-template-hash
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The values' affinity, with the image's architectures required in every term and a soft anti-affinity unless one is given. */}}
{{- define "platform-gate.affinity" -}}
{{- $affinity := deepCopy (default (dict) .Values.affinity) -}}
{{- if not (hasKey $affinity "podAntiAffinity") -}}
{{- $_ := set $affinity "podAntiAffinity" (include "platform-gate.podAntiAffinity" . | fromYaml) -}}
{{- end -}}
{{- with .Values.image.architectures -}}
{{- $onImageArch := dict "key" "kubernetes.io/arch" "operator" "In" "values" . -}}
{{- $nodeAffinity := default (dict) $affinity.nodeAffinity -}}
{{- $required := default (dict) $nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution -}}
{{- $terms := list -}}
{{- range default (list (dict)) $required.nodeSelectorTerms -}}
{{- $expressions := append (default (list) .matchExpressions) $onImageArch -}}
{{- $terms = append $terms (set . "matchExpressions" $expressions) -}}
{{- end -}}
{{- $_ := set $nodeAffinity "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) -}}
{{- $_ := set $affinity "nodeAffinity" $nodeAffinity -}}
{{- end -}}
{{- toYaml $affinity -}}
{{- end -}}

{{- define "platform-gate.podAntiAffinity" -}}
preferredDuringSchedulingIgnoredDuringExecution:
  - weight: 100
    podAffinityTerm:
      topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "platform-gate.selectorLabels" . | nindent 10 }}
{{- end -}}

{{/* Whether anything is to be mounted under /etc/platform-gate/ca. */}}
{{- define "platform-gate.hasRegistryCA" -}}
{{- with .Values.registryCA -}}
{{- if or .existingConfigMap .existingSecret .bundles -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* The volume of the CA that vouches for callers, if they are held to one. */}}
{{- define "platform-gate.callersCA" -}}
{{- $items := list (dict "key" .Values.callers.key "path" "ca.crt") -}}
{{- if .Values.callers.existingConfigMap -}}
{{- dict "configMap" (dict "name" .Values.callers.existingConfigMap "items" $items) | toYaml -}}
{{- else if .Values.callers.existingSecret -}}
{{- dict "secret" (dict "secretName" .Values.callers.existingSecret "items" $items) | toYaml -}}
{{- end -}}
{{- end -}}

{{/* Webhook */}}

{{- define "platform-gate.webhookAnnotations" -}}
{{- $annotations := deepCopy (default (dict) .Values.webhook.annotations) -}}
{{- if eq .Values.certificate.mode "cert-manager" -}}
{{- $_ := set $annotations "cert-manager.io/inject-ca-from" (printf "%s/%s" .Release.Namespace (include "platform-gate.certificateName" .)) -}}
{{- end -}}
{{- toYaml $annotations -}}
{{- end -}}

{{/* Names of the namespaces that are never judged, one by one in {namespaces: [...]}. */}}
{{- define "platform-gate.excludedNamespaces" -}}
{{- dict "namespaces" (append (default (list) .Values.webhook.excludedNamespaces) .Release.Namespace | uniq | sortAlpha) | toYaml -}}
{{- end -}}

{{- define "platform-gate.namespaceSelector" -}}
{{- $excluded := (include "platform-gate.excludedNamespaces" . | fromYaml).namespaces -}}
{{- $notExcluded := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" $excluded -}}
{{- $selector := deepCopy (default (dict) .Values.webhook.namespaceSelector) -}}
{{- set $selector "matchExpressions" (prepend (default (list) $selector.matchExpressions) $notExcluded) | toYaml -}}
{{- end -}}

{{/* Annotations of what exists only while `helm test` runs; takes the weight. */}}
{{- define "platform-gate.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "platform-gate.pinNamespaceSelector" -}}
{{- $selector := include "platform-gate.namespaceSelector" . | fromYaml -}}
{{- $asked := dict "key" "platform-gate.io/pin" "operator" "In" "values" (list "enabled") -}}
{{- set $selector "matchExpressions" (prepend $selector.matchExpressions $asked) | toYaml -}}
{{- end -}}
