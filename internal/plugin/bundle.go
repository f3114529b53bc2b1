package plugin

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// entry is a file of a report, without secrets.
type entry struct{ name, about, text string }

// entries are the files of a report. Everything goes through the redactor here: nothing of the evidence is written elsewhere.
func (e *evidence) entries(r *redactor) ([]entry, error) {
	shown, err := r.picture(e.picture)
	if err != nil {
		return nil, err
	}
	var meaning strings.Builder
	explanation(&meaning, shown.ConsulCluster, e.at)
	page, err := e.page(r)
	if err != nil {
		return nil, err
	}
	all := []entry{
		{"status.txt", "the cluster and its servers", r.text(render(shown, e.at, true))},
		{"explain.txt", "what the operator waits for, and what can be done", r.text(meaning.String())},
		{"report.html", "the same with a timeline, for a browser", page},
		{"versions.txt", "versions of what takes part", r.text(aligned(e.versions))},
	}
	for _, kind := range e.kinds {
		text, err := r.yamlOf(kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.file, err)
		}
		all = append(all, entry{kind.file, fmt.Sprintf("%s (%d)", kind.title, len(kind.items)), text})
	}
	if e.nodes != nil {
		text, err := r.nodes(e.nodes)
		if err != nil {
			return nil, err
		}
		all = append(all, entry{"nodes.yaml", "names, labels, taints and conditions of the nodes", text})
	}
	all = append(all, entry{"events.txt", "events about all this, by time", r.text(eventLines(r.events(e.events)))})
	if len(e.secrets) > 0 {
		all = append(all, entry{"secrets.txt", "names and types of Secrets, and nothing else", r.text(secretLines(e.secrets))})
	}
	for _, one := range e.logs {
		all = append(all, entry{one.file, fmt.Sprintf("the last %d lines", tailLines), r.log(one.text)})
	}
	return append([]entry{e.readme(r, all)}, all...), nil
}

// readme says what is there, what is not, and what was taken out.
func (e *evidence) readme(r *redactor, all []entry) entry {
	var b strings.Builder
	fmt.Fprintf(&b, "Report on ConsulCluster %s in namespace %s, %s\n\n", e.Name, e.Namespace, e.at.UTC().Format(time.RFC3339))
	b.WriteString(wrapped("Secrets were taken out, as far as a program can tell: what looks like one, or has the name of one, is "+
		redacted+". A UUID that is not known to be the id of a server or of an object may be an ACL token, and has a number "+
		"instead: equal ones have the same. Names, addresses and what servers log are as they were. Look at it before you send it "+
		"away, above all at cluster.yaml and logs/.", 0))
	b.WriteString("\n\nFiles\n\n")
	var files []fact
	for _, one := range all {
		files = append(files, fact{one.name, one.about})
	}
	b.WriteString(aligned(files))
	b.WriteString("\nLeft out\n\n")
	if len(e.gaps) == 0 {
		b.WriteString("  nothing\n")
	}
	for _, missing := range e.gaps {
		fmt.Fprintf(&b, "  %s\n%s\n", r.text(missing.what), wrapped(r.text(missing.why.Error()), 4))
	}
	return entry{"README.txt", "", b.String()}
}

// aligned are facts in two columns.
func aligned(facts []fact) string {
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, one := range facts {
		fmt.Fprintf(table, "  %s\t%s\n", one.name, one.text)
	}
	_ = table.Flush()
	return b.String()
}

// yamlOf are objects as YAML documents.
func (r *redactor) yamlOf(kind objects) (string, error) {
	var b strings.Builder
	for _, item := range kind.items {
		tree, err := r.object(item)
		if err != nil {
			return "", err
		}
		if gvk, err := apiutil.GVKForObject(item, kindsOfReports); err == nil { // a client leaves it out
			setKind(tree, gvk)
		}
		raw, err := yaml.Marshal(tree)
		if err != nil {
			return "", err
		}
		b.WriteString("---\n")
		b.Write(raw)
	}
	return b.String(), nil
}

var kindsOfReports = scheme()

func setKind(tree map[string]any, gvk schema.GroupVersionKind) {
	tree["apiVersion"], tree["kind"] = gvk.GroupVersion().String(), gvk.Kind
}

// nodes are their names, labels, taints and conditions: the rest is nobody's business.
func (r *redactor) nodes(nodes []corev1.Node) (string, error) {
	var all []any
	for _, node := range nodes {
		shown, err := r.object(map[string]any{
			"name": node.Name, "labels": node.Labels, "taints": node.Spec.Taints, "conditions": node.Status.Conditions,
		})
		if err != nil {
			return "", err
		}
		all = append(all, shown)
	}
	raw, err := yaml.Marshal(all)
	return string(raw), err
}

func eventLines(events []corev1.Event) string {
	var b strings.Builder
	for _, event := range events {
		times := ""
		if event.Count > 1 {
			times = fmt.Sprintf(" (%d times)", event.Count)
		}
		fmt.Fprintf(&b, "%s %s %s %s/%s%s: %s\n", happened(event).UTC().Format(time.RFC3339), event.Type, event.Reason,
			strings.ToLower(event.InvolvedObject.Kind), event.InvolvedObject.Name, times, event.Message)
	}
	return b.String()
}

func secretLines(secrets []secretName) string {
	var lines []fact
	for _, secret := range secrets {
		lines = append(lines, fact{secret.name, dash(secret.kind)})
	}
	return aligned(lines)
}

// writeBundle writes the files of a report as a ZIP archive.
func writeBundle(out io.Writer, entries []entry, at time.Time) error {
	archive := zip.NewWriter(out)
	for _, one := range entries {
		header := &zip.FileHeader{Name: one.name, Method: zip.Deflate, Modified: at}
		header.SetMode(0o600)
		file, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(file, one.text); err != nil {
			return err
		}
	}
	return archive.Close()
}
