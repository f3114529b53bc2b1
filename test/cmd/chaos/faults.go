package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// kind of a fault, or of what a user does meanwhile.
type kind struct {
	name string
	// often is how many of it are in the deck.
	often int
	// possible says whether it may happen now; always, if it is nil.
	possible func() bool
	// inject does it and says what it did.
	inject func(ctx context.Context) (string, error)
}

// faults injects one fault after another, and takes back in time what does not end by itself.
type faults struct {
	*harness.Scene
	lines  *lines // of the operator
	random *rand.Rand
	say    func(format string, args ...any)

	kinds  []kind
	deck   []kind
	counts map[string]int
	spec   userSpec

	ending  chan struct{}  // closed when everything is to be taken back at once
	pending sync.WaitGroup // of what is to be taken back

	mu       sync.Mutex
	stopped  map[int]bool    // processes of servers that stand still; one may have been killed, and its server run again
	cut      map[string]bool // nodes that are cut off
	slow     map[string]bool // nodes whose packets are delayed
	inEffect map[lasting]bool
	err      error // of what goes on beside the faults

	history *history
	backups backups
}

// lasting is a state that a fault brings about. The next fault that brings it about waits until it is over.
type lasting string

const (
	operatorDown lasting = "the operator does not run"
	refusing     lasting = "the API server refuses what the operator writes"
	hanging      lasting = "calls to the API server hang"
	garbling     lasting = "agents answer garbage"
	restoring    lasting = "a snapshot is restored"
)

func newFaults(scene *harness.Scene, lines *lines, history *history, seed uint64, out io.Writer) *faults {
	began := time.Now()
	f := &faults{
		Scene: scene, lines: lines, history: history, random: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // no secrets
		counts: map[string]int{}, spec: initialSpec(seed), ending: make(chan struct{}),
		stopped: map[int]bool{}, cut: map[string]bool{}, slow: map[string]bool{},
		inEffect: map[lasting]bool{},
	}
	f.say = func(format string, args ...any) {
		fmt.Fprintf(out, "      %6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	f.kinds = []kind{
		{name: "kill -9 of a server", often: 3, inject: f.killServer},
		{name: "kill -9 of all servers", often: 1, inject: f.killAll},
		{name: "SIGSTOP of a server", often: 2, possible: f.mayStop, inject: f.stopServer},
		{name: "deleted pod", often: 2, inject: f.deletePod},
		{name: "deleted claim and pod", often: 1, possible: f.mayDelete, inject: f.deleteServer},
		{name: "kill -9 of the operator", often: 2, possible: f.not(operatorDown), inject: f.killOperator},
		{name: "quota used up", often: 1, possible: f.not(refusing), inject: f.useUpQuota},
		{name: "webhook that is down", often: 1, possible: f.not(refusing), inject: f.breakWebhook},
		{name: "webhook that never answers", often: 1, possible: f.not(refusing), inject: f.hangWebhook},
		{name: "policy that denies", often: 1, possible: f.not(refusing), inject: f.deny},
		{name: "API server that hangs", often: 2, possible: f.not(hanging), inject: f.hangAPI},
		{name: "agents that answer garbage", often: 3, possible: f.not(garbling), inject: f.garble},
		{name: "change of version", often: 1, inject: f.changeVersion},
		{name: "change of config", often: 1, inject: f.changeConfig},
		{name: "change of replicas", often: 1, inject: f.scale},
		{name: "transfer of leadership", often: 1, inject: f.transfer},
		{name: "rotation of the gossip key", often: 1, inject: f.ask(v1alpha1.AnnotationRotateGossipKey)},
		{name: "another certificate", often: 1, inject: f.renameServers},
		{name: "rotation of the authority", often: 1, inject: f.ask(v1alpha1.AnnotationRotateAuthority)},
		{name: "snapshot", often: 1, possible: f.mayTake, inject: f.takeSnapshot},
		{name: restoreKind, often: 1, possible: f.mayRestore, inject: f.restoreSnapshot},
		{name: "rotation of the ACL tokens", often: 1, inject: f.ask(v1alpha1.AnnotationRotateTokens)},
	}
	return f
}

// run injects faults until the context ends, or the operator does by itself.
func (f *faults) run(ctx context.Context) error {
	for f.wait(ctx) {
		next := f.draw()
		if next == nil {
			continue
		}
		what, err := next.inject(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case apierrors.IsNotFound(err), errors.Is(err, errNoVictim):
			f.say("%s: missed, %v", next.name, err) // What was to be hit went by itself.
		case err != nil:
			return fmt.Errorf("%s: %w", next.name, err)
		default:
			f.counts[next.name]++
			f.say("%s: %s", next.name, what)
		}
	}
	select {
	case <-f.OperatorCrashed():
		return fmt.Errorf("the operator ended by itself, see %s", f.OperatorLog())
	default:
		return nil
	}
}

// draw takes the first card that can be played. The deck is shuffled anew when none is left that can be, so all kinds
// come up before any comes up again. What cannot be now stays on top until it can.
func (f *faults) draw() *kind {
	playable := func(k kind) bool { return k.possible == nil || k.possible() }
	i := slices.IndexFunc(f.deck, playable)
	if i < 0 {
		f.deck = append(f.deck, f.shuffled()...)
		i = slices.IndexFunc(f.deck, playable)
	}
	if i < 0 {
		return nil
	}
	k := f.deck[i]
	f.deck = slices.Delete(f.deck, i, i+1)
	return &k
}

// shuffled has a restore among the first cards, so that a run of minutes has one.
func (f *faults) shuffled() []kind {
	const soon = 8
	var deck []kind
	for _, k := range f.kinds {
		deck = append(deck, slices.Repeat([]kind{k}, k.often)...)
	}
	f.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	if i := slices.IndexFunc(deck, func(k kind) bool { return k.name == restoreKind }); i > soon {
		deck[i], deck[soon] = deck[soon], deck[i]
	}
	return deck
}

// wait lets a few seconds pass, or, one time in four, the time until the cluster has recovered, since the invariants
// say most about a cluster without a fault in which something goes on. It is false when no more faults are to come.
func (f *faults) wait(ctx context.Context) bool {
	// The next fault may come sooner than a server whose restart is backed off for minutes.
	const recoveryLimit = 45 * time.Second
	until := time.Now().Add(time.Second + time.Duration(f.random.Int64N(int64(6*time.Second))))
	calm := f.random.IntN(4) == 0
	limit := until.Add(recoveryLimit)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-f.OperatorCrashed():
			return false
		case now := <-ticker.C:
			recovering := calm && f.Observer.Snapshot().Faults && now.Before(limit)
			if !now.Before(until) && !recovering {
				return true
			}
		}
	}
}

// not is whether the state that a fault brings about is over, or never was.
func (f *faults) not(state lasting) func() bool {
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return !f.inEffect[state]
	}
}

// during takes a state back after a while.
func (f *faults) during(state lasting, duration time.Duration, undo func() error) {
	f.set(state, true)
	f.later(duration, func() error {
		defer f.set(state, false)
		return undo()
	})
}

func (f *faults) set(state lasting, inEffect bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inEffect[state] = inEffect
}

// later takes something back after a while, or at the end of all faults if that is sooner.
func (f *faults) later(after time.Duration, undo func() error) {
	f.pending.Go(func() {
		select {
		case <-time.After(after):
		case <-f.ending:
		}
		f.fail(undo())
	})
}

// fail has the run end with an error, if it is one.
func (f *faults) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = errors.Join(f.err, err)
}

// end takes back what is still in effect.
func (f *faults) end() error {
	close(f.ending)
	f.pending.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// seconds draws a time.
func (f *faults) seconds(least, most int) time.Duration {
	least, most = least*1000, most*1000
	return time.Duration(least+f.random.IntN(most-least)) * time.Millisecond
}
