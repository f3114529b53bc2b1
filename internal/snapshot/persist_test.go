package snapshot

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
)

// Some failures pass, others pass soon or not at all, and a task goes on for as long as that takes, or it has time.
func TestHowLongATaskGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		why      reason.Reason
		patience time.Duration
		until    time.Duration // it is done; 0 for never
		deadline time.Duration
		from, to time.Duration // when it ends
		isAgain  bool
	}{
		"what passes": {
			why: reason.StoreUnreachable, until: 10 * time.Second, from: 10 * time.Second, to: 20 * time.Second,
		},
		"longer than it is patient": {
			why: reason.StoreUnreachable, patience: time.Minute, from: time.Minute, to: time.Minute + lastPause, isAgain: true,
		},
		"without patience, until the deadline": {
			why: reason.StoreUnreachable, deadline: time.Hour, from: time.Hour, to: time.Hour,
		},
		"patient for longer than there is time": {
			why: reason.StoreUnreachable, patience: time.Hour, deadline: time.Minute, from: time.Minute, to: time.Minute,
		},
		"a store that refuses": {why: reason.StoreRefuses, patience: time.Minute},
		"damage":               {why: reason.SnapshotDamaged},
		"a token that is refused": {
			why: reason.ConsulRefuses, patience: time.Minute, from: tokensWithin, to: tokensWithin + lastPause,
		},
		"a token that is refused, in a restore": {
			why: reason.ConsulRefuses, from: tokensWithin, to: tokensWithin + lastPause,
		},
		"a token that is made again": {
			why: reason.ConsulRefuses, patience: time.Minute, until: 90 * time.Second, from: 90 * time.Second, to: tokensWithin,
		},
		"nobody knows how a restore ended": {
			why: reason.RestoreIncomplete, deadline: time.Hour, from: time.Hour, to: time.Hour,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, ctx := NewWithT(t), t.Context()
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				start := time.Now()
				err := Task{Patience: c.patience}.persist(ctx, func(context.Context) error {
					if c.until > 0 && time.Since(start) >= c.until {
						return nil
					}
					return failed(c.why, errors.New("it does not work"))
				})
				g.Expect(time.Since(start)).To(And(BeNumerically(">=", c.from), BeNumerically("<=", c.to)))
				if c.until > 0 {
					g.Expect(err).NotTo(HaveOccurred())
					return
				}
				g.Expect(reasonOf(err)).To(Equal(c.why))
				g.Expect(errors.Is(err, ErrAgain)).To(Equal(c.isAgain))
			})
		})
	}
}

// A leader is elected in seconds, so soon after it is tried again; what is broken for longer is not asked all the time.
func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var pauses []time.Duration
		last := time.Now()
		_ = Task{}.persist(t.Context(), func(context.Context) error {
			pauses = append(pauses, time.Since(last))
			last = time.Now()
			if len(pauses) == 8 {
				return failed(reason.StoreRefuses, errors.New("enough"))
			}
			return failed(reason.StoreUnreachable, errors.New("nobody answers"))
		})
		g.Expect(pauses).To(HaveExactElements(0*time.Second, 1*time.Second, 2*time.Second, 4*time.Second, 8*time.Second,
			16*time.Second, 30*time.Second, 30*time.Second))
	})
}

// A pod that is stopped has another one begin anew, unless it restores: two of them may not.
func TestStoppedTask(t *testing.T) {
	for name, c := range map[string]struct {
		to      func(*http.Request) bool
		command []string
		want    reason.Reason
		isAgain bool
	}{
		"while it saves":      {isRead, []string{"save", "--within=1h"}, reason.ConsulUnreachable, true},
		"when its time is up": {isRead, []string{"save", "--within=2s"}, reason.ConsulUnreachable, false},
		"while it restores": {
			isWrite, []string{"restore", "--datacenter=dc1", "--version=1.22.7"}, reason.RestoreIncomplete, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			dir := t.TempDir()
			store, err := OpenFolder(dir)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(put(t.Context(), store, "1.snap", small())).To(Succeed())
			ctx, stop := context.WithCancel(soon(t))
			defer stop()
			isLate := name == "when its time is up"
			busy := &disturbance{to: c.to, times: 1000, by: func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if !isLate {
					stop()
				}
				hangs(next, w, r)
			}}
			consul, _ := pretend(t, small(), busy.before)
			ended := filepath.Join(t.TempDir(), "outcome")
			args := append(slices.Clone(c.command), "--store="+dir, "--consul="+consul.Address, "--outcome="+ended, "1.snap")
			err = Run(ctx, args, t.Output(), t.Output())
			g.Expect(err).To(HaveOccurred())
			g.Expect(errors.Is(err, ErrAgain)).To(Equal(c.isAgain), "%v", err)
			g.Expect(busy.seen.Load()).To(BeEquivalentTo(1))
			text, err := os.ReadFile(ended)
			g.Expect(err).NotTo(HaveOccurred())
			said, isThere := ReadOutcome(string(text))
			g.Expect(isThere).To(BeTrue())
			g.Expect(said.Reason).To(Equal(c.want))
			g.Expect(get(t.Context(), store, "1.snap")).To(Equal(small()), "what was there stays")
		})
	}
}

// What fails while a pod is stopped may fail for that alone.
func TestFailureOfAStoppedTask(t *testing.T) {
	g := NewWithT(t)
	ctx, stop := context.WithCancel(t.Context())
	damaged := func(context.Context) error {
		stop()
		return failed(reason.SnapshotDamaged, errors.New("half is missing"))
	}
	err := Task{Patience: time.Minute}.persist(ctx, damaged)
	g.Expect(err).To(MatchError(ErrAgain))
	g.Expect(reasonOf(err)).To(Equal(reason.SnapshotDamaged))
	g.Expect(Task{}.persist(ctx, damaged)).NotTo(MatchError(ErrAgain))
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet }

// A pod that is stopped in the middle leaves no parts behind, although it is told to end.
func TestStoppedTaskLeavesNoParts(t *testing.T) {
	g := NewWithT(t)
	ctx, stop := context.WithCancel(soon(t))
	defer stop()
	stopped := &disturbance{to: isPart2, times: 1, by: func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		stop()
		hangs(next, w, r)
	}}
	bucket, _ := startBucket(t, stopped.before)
	consul, _ := pretend(t, large(), undisturbed)
	_, err := Task{Consul: consul, Store: bucket, Name: "1.snap", Patience: time.Hour}.Save(ctx)
	g.Expect(err).To(MatchError(ErrAgain))
	g.Expect(stopped.seen.Load()).To(BeEquivalentTo(1))
	g.Expect(uploads(t, bucket)).To(BeEmpty())
	_, err = get(t.Context(), bucket, "1.snap")
	g.Expect(reasonOf(err)).To(Equal(reason.SnapshotMissing))
}
