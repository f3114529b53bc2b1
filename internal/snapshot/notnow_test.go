package snapshot

import (
	"io"
	"net/http"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
)

// Raft refuses a snapshot while a change of its configuration is not committed. It has all of it then, and nothing is changed: it
// is tried again.
func TestRestoreThatRaftRefusesForNow(t *testing.T) {
	g := NewWithT(t)
	refuses := &disturbance{
		to: func(r *http.Request) bool { return r.Method == http.MethodPut }, times: 1,
		by: func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Error(w, "failed to restore: cannot restore snapshot now, wait until the configuration entry at 9 has been applied "+
				"(have applied 7)", http.StatusInternalServerError)
		},
	}
	consul, pretender := pretend(t, small(), refuses.before)
	store, err := OpenFolder(t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	task := Task{Consul: consul, Store: store, Name: "1.snap"}
	_, err = task.Save(t.Context())
	g.Expect(err).NotTo(HaveOccurred())

	given, err := task.restoreOnce(t.Context())
	g.Expect(given).To(BeFalse())
	g.Expect(reasonOf(err)).To(Equal(reason.ConsulUnreachable), "which passes")
	given, err = task.restoreOnce(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(given).To(BeTrue())
	_, restored := pretender.all()
	g.Expect(restored).To(HaveLen(1))
}

// Consul denies before it restores, and may have been given all by then: nothing is changed.
func TestRestoreThatConsulDenies(t *testing.T) {
	g, ctx := NewWithT(t), soon(t)
	denies := &disturbance{to: isWrite, times: 1000, by: func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Permission denied", http.StatusForbidden)
	}}
	consul, _ := pretend(t, nil, denies.before)
	store := newFolder(t)
	g.Expect(put(ctx, store, "1.snap", small())).To(Succeed())
	given, err := Task{Consul: consul, Store: store, Name: "1.snap"}.restoreOnce(ctx)
	g.Expect(given).To(BeFalse())
	g.Expect(reasonOf(err)).To(Equal(reason.ConsulRefuses))
}
