package plugin

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// snapshotTable is the table of snapshots.
func snapshotTable(all []v1alpha1.ConsulSnapshot, now time.Time) string {
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tCLUSTER\tSTATUS\tVERIFIED\tSIZE\tINDEX\tCOMPLETED")
	for i := range all {
		s := &all[i]
		why, _ := stateOf(s)
		fmt.Fprintln(table, strings.Join([]string{
			s.Name, s.Spec.ClusterName, dash(why), dash(string(s.Status.Verified)), dash(s.Status.Size), number(s.Status.Index),
			ago(now, s.Status.CompletedAt),
		}, "\t"))
	}
	_ = table.Flush()
	return trimmed(b.String())
}

// number is a number of the status that is left out where it is not known.
func number(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// writeSnapshot writes what is known of a snapshot.
func writeSnapshot(out io.Writer, s *v1alpha1.ConsulSnapshot, now time.Time) {
	why, message := stateOf(s)
	st := s.Status
	fmt.Fprintf(out, "%s of %s: %s\n%s\n", s.Name, s.Spec.ClusterName, dash(why), wrapped(message, 2))
	if st.StartedAt == nil {
		return
	}
	fmt.Fprintln(out)
	facts := []fact{
		{"Taken", when(now, st.StartedAt)}, {"Completed", when(now, st.CompletedAt)},
		{"Store", dash(st.Store)}, {"Object", dash(st.Object)},
	}
	if st.Verified != "" {
		facts = append(facts,
			fact{"Encrypted", map[bool]string{true: "yes", false: "no: whoever reads the object has all tokens"}[st.Encrypted]},
			fact{"Verified", verified[st.Verified]},
			fact{"Size", fmt.Sprintf("%s (%d bytes)", st.Size, st.Bytes)},
			fact{"SHA-256", st.SHA256},
			fact{"Index", fmt.Sprintf("%d, term %d", st.Index, st.Term)},
			fact{"Keys", fmt.Sprintf("%d in the KV store", st.Keys)},
			fact{"Consul", fmt.Sprintf("%s, datacenter %s", dash(st.Version), dash(st.Datacenter))})
	}
	for _, line := range facts {
		fmt.Fprintf(out, "  %-11s %s\n", line.name, line.text) // names and sums stay in one piece, to be copied
	}
}

var verified = map[v1alpha1.SnapshotVerification]string{
	v1alpha1.VerifyArchive: "by its sums and records (Archive)",
	v1alpha1.VerifyRestore: "by restoring it into another server (Restore)",
}

// when is a time for people and for programs.
func when(now time.Time, at *metav1.Time) string {
	if at.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%s, %s ago", at.UTC().Format(time.RFC3339), ago(now, at))
}

// takenAt is from when on what was written is not in a snapshot for sure.
func takenAt(s *v1alpha1.ConsulSnapshot) *metav1.Time {
	if s.Status.StartedAt != nil {
		return s.Status.StartedAt
	}
	return s.Status.CompletedAt
}
