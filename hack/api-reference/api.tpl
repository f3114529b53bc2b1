{{- define "gvList" -}}
<!-- Generated from the Go types in api/ by `make api-reference`; edit their comments instead. -->

# API reference
{{ range . }}
{{- $group := . }}
Everything is in the API group and version `{{ .GroupVersionString }}`.
{{ range .SortedKinds }}{{ template "type" ($group.TypeForKind .) }}{{ end }}
{{- range .SortedTypes }}{{ if not .GVK }}{{ template "type" . }}{{ end }}{{ end }}
{{- end }}
{{- end -}}

{{- define "type" -}}
{{- if markdownShouldRenderType . }}
## {{ .Name }}

{{ .Doc }}
{{ if .References }}
Used by:{{ range $i, $user := .SortedReferences }}{{ if $i }},{{ end }} {{ markdownRenderTypeLink $user }}{{ end }}.
{{ end }}
{{- if .EnumValues }}
{{ range .EnumValues -}}
- `{{ .Name }}`{{ with .Doc }}: {{ . | trim }}{{ end }}
{{ end }}
{{- else if .Members }}
| Field | Type | Description | Default | Limits |
| --- | --- | --- | --- | --- |
{{ with .GVK }}| `apiVersion` | string | `{{ .Group }}/{{ .Version }}` | | |
| `kind` | string | `{{ .Kind }}` | | |
{{ end }}
{{- range .Members }}{{ template "member" . }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "member" -}}
| `{{ .Name }}` | {{ markdownRenderType .Type }} | {{ template "description" . -}}
{{- " | " }}{{ template "default" . }} | {{ template "limits" . }} |
{{ end -}}

{{- define "description" -}}
{{- if eq .Name "metadata" }}As of any Kubernetes object.
{{- else }}{{ markdownRenderFieldDoc .Doc | replace "<br />" " " | replace "<" "&lt;" }}{{ end }}
{{- end -}}

{{- /* An object whose own fields have the defaults has none to show. */ -}}
{{- define "default" -}}
{{- if .Default }}{{ if not (hasPrefix "{" .Default) }}`{{ .Default }}`{{ end }}{{ end }}
{{- end -}}

{{- define "limits" -}}
{{- $limits := list }}
{{- range .Validation }}
{{- if or (hasPrefix "Enum" .) (hasPrefix "M" .) (hasPrefix "Pattern" .) }}
{{- $limits = append $limits (markdownRenderFieldDoc .) }}
{{- end }}
{{- end }}
{{- join ", " $limits }}
{{- end -}}
