package snapshot

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/consul-operator/consul-operator/api/reason"
)

// mostOutcome is how many bytes of a termination message the kubelet keeps
// (https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure).
const mostOutcome = 4096

// Most of what an outcome names, so that it fits.
const (
	mostServers = 20
	mostMessage = 1024
)

// Outcome is what a task leaves behind: the termination message of its container, which the operator reads.
type Outcome struct {
	// Reason is why it failed; empty if it did not.
	Reason  reason.Reason `json:"reason,omitempty"`
	Message string        `json:"message,omitempty"`
	// What is known of the object: see Saved and Contents.
	Index      uint64         `json:"index,omitempty"`
	Term       uint64         `json:"term,omitempty"`
	Size       int64          `json:"size,omitempty"`
	SHA256     string         `json:"sha256,omitempty"`
	Datacenter string         `json:"datacenter,omitempty"`
	Servers    []Server       `json:"servers,omitempty"`
	Records    map[string]int `json:"records,omitempty"`
}

// outcome of a task.
func outcome(saved *Saved, err error) Outcome {
	if err != nil {
		return Outcome{Reason: reasonOf(err), Message: legible(err.Error())}
	}
	if saved == nil {
		return Outcome{}
	}
	// Those with the highest serials: a new cluster counts on from there.
	servers := slices.SortedFunc(slices.Values(saved.Servers), func(a, b Server) int {
		return cmp.Or(len(b.Name)-len(a.Name), cmp.Compare(b.Name, a.Name))
	})
	return Outcome{
		Index: saved.Index, Term: saved.Term, Size: saved.Size, SHA256: saved.SHA256, Datacenter: saved.Datacenter,
		Servers: servers[:min(len(servers), mostServers)], Records: saved.Records,
	}
}

// legible is a message without what takes six bytes in JSON, and not longer than fits.
func legible(message string) string {
	message = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || strings.ContainsRune("<>&", r) {
			return ' '
		}
		return r
	}, message)
	return strings.ToValidUTF8(message[:min(len(message), mostMessage)], "")
}

// write writes an outcome to a file.
func (o Outcome) write(file string) error {
	text, err := json.Marshal(o)
	if err != nil || file == "" {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// ReadOutcome returns the outcome in a termination message, and false if there is none in it, such as when the kubelet stopped
// the pod.
func ReadOutcome(message string) (Outcome, bool) {
	var o Outcome
	if len(message) > mostOutcome || json.Unmarshal([]byte(message), &o) != nil {
		return Outcome{}, false
	}
	return o, true
}
