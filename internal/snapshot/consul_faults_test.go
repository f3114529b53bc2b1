package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/test/lib/await"
)

// An answer of Consul that is not all of it is never taken for a snapshot.
func TestSaveOfAnAnswerThatIsCut(t *testing.T) {
	shortenSilence(t, time.Second)
	errorFollows := func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		endsEarly(next, w, r)
		_, _ = io.WriteString(w, "No cluster leader")
	}
	for name, by := range map[string]effect{
		"it breaks off": breaksOff, "it ends early": endsEarly, "an error follows": errorFollows, "nothing comes at all": hangs,
		"nothing more comes": hangsInTheMiddle, "the connection is closed": closes, "there is no leader": noLeader,
	} {
		for size, archive := range map[string][]byte{"small": small(), "large": large()} {
			t.Run(name+", "+size, func(t *testing.T) {
				t.Parallel()
				g, ctx := NewWithT(t), soon(t)
				cut := &disturbance{to: isRead, by: by, times: 2}
				consul, _ := pretend(t, archive, cut.before)
				store := newFolder(t)
				task := Task{Consul: consul, Store: store, Name: "1.snap"}
				_, err := task.saveOnce(ctx)
				g.Expect(reasonOf(err)).To(Equal(reason.ConsulUnreachable))
				_, err = get(ctx, store, "1.snap")
				g.Expect(reasonOf(err)).To(Equal(reason.SnapshotMissing))

				_, err = task.Save(ctx)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(cut.seen.Load()).To(BeNumerically(">", cut.times))
				stored, err := get(ctx, store, "1.snap")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(bytes.Equal(stored, archive)).To(BeTrue())
			})
		}
	}
}

// halfway is a store whose object ends with an error in the middle, when it is opened for the second time.
type halfway struct {
	Store
	opened int
}

func (h *halfway) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	from, err := h.Store.Open(ctx, name)
	if h.opened++; h.opened != 2 || err != nil {
		return from, err
	}
	lost := failed(reason.StoreUnreachable, errors.New("the store is gone"))
	return readCloser{io.MultiReader(io.LimitReader(from, partSize/2), failing{lost}), from}, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// takesHalf takes half of what is sent and closes the connection, as a server that is stopped.
func takesHalf(_ http.Handler, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, partSize/2)
	panic(http.ErrAbortHandler)
}

// takesAll takes all and closes the connection, so that nobody knows what it did with it.
func takesAll(_ http.Handler, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// noLeader is what Consul answers without a leader.
func noLeader(_ http.Handler, w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	http.Error(w, "No cluster leader", http.StatusInternalServerError)
}

// A restore that breaks off is tried again, until it is known to be done.
func TestRestoreThatBreaksOff(t *testing.T) {
	for name, by := range map[string]effect{
		"before it had all":  takesHalf,
		"before the start":   closes,
		"after the end":      takesAll,
		"its answer is lost": losesAnswer,
		"without a leader":   noLeader,
	} {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			store := newFolder(t)
			g.Expect(put(ctx, store, "1.snap", large())).To(Succeed())
			broken := &disturbance{to: isWrite, by: by, times: 1}
			consul, pretender := pretend(t, nil, broken.before)
			restored, err := Task{Consul: consul, Store: store, Name: "1.snap"}.Restore(ctx, fits)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(restored.Size).To(BeEquivalentTo(len(large())))
			g.Expect(broken.seen.Load()).To(BeEquivalentTo(2))
			_, whole := pretender.all()
			g.Expect(whole).NotTo(BeEmpty())
			g.Expect(bytes.Equal(whole[len(whole)-1], large())).To(BeTrue())
		})
	}
	t.Run("the store breaks", func(t *testing.T) {
		g, ctx := NewWithT(t), soon(t)
		store := &halfway{Store: newFolder(t)}
		g.Expect(put(ctx, store, "1.snap", large())).To(Succeed())
		consul, pretender := pretend(t, nil, undisturbed)
		_, err := Task{Consul: consul, Store: store, Name: "1.snap"}.Restore(ctx, fits)
		g.Expect(err).NotTo(HaveOccurred())
		_, whole := pretender.all()
		g.Expect(whole).To(HaveLen(1))
	})
}

// Once Consul was given the end of a snapshot, only success is an end: whatever follows, nobody knows what it did with it.
func TestRestoreIsIncompleteAfterTheEnd(t *testing.T) {
	denied := func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		http.Error(w, "Permission denied", http.StatusForbidden)
	}
	for name, c := range map[string]struct {
		by   []effect // one after the other
		want reason.Reason
	}{
		"it took half":             {[]effect{takesHalf, takesHalf}, reason.ConsulUnreachable},
		"it took all":              {[]effect{takesAll, takesAll}, reason.RestoreIncomplete},
		"it took all, then half":   {[]effect{takesAll, takesHalf}, reason.RestoreIncomplete},
		"it took half, then all":   {[]effect{takesHalf, takesAll}, reason.RestoreIncomplete},
		"it took all, then denies": {[]effect{takesAll, denied}, reason.RestoreIncomplete},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			ctx, cancel := context.WithCancel(soon(t))
			defer cancel()
			store := newFolder(t)
			g.Expect(put(ctx, store, "1.snap", large())).To(Succeed())
			broken := &disturbance{to: isWrite, times: 1000}
			broken.by = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if turn := int(broken.seen.Load()) - 1; turn < len(c.by) { // one restore follows the other
					c.by[turn](next, w, r)
					return
				}
				cancel()
				closes(next, w, r)
			}
			consul, _ := pretend(t, nil, broken.before)
			_, err := Task{Consul: consul, Store: store, Name: "1.snap"}.Restore(ctx, fits)
			g.Expect(reasonOf(err)).To(Equal(c.want), "%v", err)
			g.Expect(broken.seen.Load()).To(BeEquivalentTo(len(c.by)+1), "it was tried again")
		})
	}
}

// A leader that restores says nothing for as long as that takes.
func TestSlowRestoreIsWaitedFor(t *testing.T) {
	shortenSilence(t, time.Second)
	g, ctx := NewWithT(t), soon(t)
	store := newFolder(t)
	g.Expect(put(ctx, store, "1.snap", small())).To(Succeed())
	slow := &disturbance{to: isWrite, times: 1, by: func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_ = await.Sleep(r.Context(), 2*mostSilence)
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	}}
	consul, pretender := pretend(t, nil, slow.before)
	_, err := Task{Consul: consul, Store: store, Name: "1.snap"}.Restore(ctx, fits)
	g.Expect(err).NotTo(HaveOccurred())
	_, whole := pretender.all()
	g.Expect(whole).To(HaveLen(1))
	g.Expect(slow.seen.Load()).To(BeEquivalentTo(1), "it was asked once")
}

// A leader that takes nothing more is given up, and nothing is restored.
func TestSilentRestoreIsGivenUp(t *testing.T) {
	shortenSilence(t, time.Second)
	g, ctx := NewWithT(t), soon(t)
	store := newFolder(t)
	g.Expect(put(ctx, store, "1.snap", large())).To(Succeed())
	done := make(chan struct{})
	silent := &disturbance{to: isWrite, times: 1, by: func(http.Handler, http.ResponseWriter, *http.Request) { <-done }}
	consul, _ := pretend(t, nil, silent.before)
	defer close(done)
	given, err := Task{Consul: consul, Store: store, Name: "1.snap"}.restoreOnce(ctx)
	g.Expect(given).To(BeFalse())
	g.Expect(reasonOf(err)).To(Equal(reason.ConsulUnreachable))
	g.Expect(err).To(MatchError(ContainSubstring("nothing moved")))
	g.Expect(ctx.Err()).NotTo(HaveOccurred(), "it is given up long before")
}
