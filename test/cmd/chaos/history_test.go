package main

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	. "github.com/onsi/gomega"
)

// told is a history that begins now; each operation takes its place in it by when it was called and when it returned.
type told struct{ *history }

func (t told) add(called, returned int, r request, a answer, f fate) {
	r.key = "k"
	t.history.add(0, t.start.Add(time.Duration(called)), r, a, f)
	operations := t.operations[r.key]
	if f == succeeded {
		operations[len(operations)-1].Return = int64(returned)
	}
}

func (t told) isLinearizable(g *WithT, dir string) bool {
	l, err := t.check(dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.undecided).To(BeEmpty())
	g.Expect(l.files).To(HaveLen(len(l.illegal)))
	for _, file := range l.files {
		g.Expect(os.ReadFile(file)).NotTo(BeEmpty())
	}
	return len(l.illegal) == 0
}

func TestWhatIsLinearizable(t *testing.T) {
	one, two := request{action: write, value: "1"}, request{action: write, value: "2"}
	reads := request{action: read}
	swaps := request{action: cas, expect: "1", value: "2"}
	for name, test := range map[string]struct {
		tell func(told)
		want bool
	}{
		"a read of what was written": {func(h told) {
			h.add(1, 2, one, answer{}, succeeded)
			h.add(3, 4, reads, answer{value: "1"}, succeeded)
		}, true},
		"a stale read": {func(h told) {
			h.add(1, 2, one, answer{}, succeeded)
			h.add(3, 4, two, answer{}, succeeded)
			h.add(5, 6, reads, answer{value: "1"}, succeeded)
		}, false},
		"a lost write": {func(h told) {
			h.add(1, 2, one, answer{}, succeeded)
			h.add(3, 4, reads, answer{}, succeeded)
		}, false},
		"a write of unknown outcome that happens late": {func(h told) {
			h.add(1, 0, two, answer{}, unknown)
			h.add(2, 3, one, answer{}, succeeded)
			h.add(4, 5, reads, answer{value: "1"}, succeeded)
			h.add(6, 7, reads, answer{value: "2"}, succeeded)
		}, true},
		"a write of unknown outcome that never happens": {func(h told) {
			h.add(1, 2, one, answer{}, succeeded)
			h.add(3, 0, two, answer{}, unknown)
			h.add(4, 5, reads, answer{value: "1"}, succeeded)
		}, true},
		"a write that was never sent happens": {func(h told) {
			h.add(1, 2, two, answer{}, failed)
			h.add(3, 4, reads, answer{value: "2"}, succeeded)
		}, false},
		"a CAS that is refused though nothing changed": {func(h told) {
			h.add(1, 2, one, answer{}, succeeded)
			h.add(3, 4, swaps, answer{}, succeeded)
		}, false},
		"two CAS of the same value": {func(h told) {
			h.add(1, 2, one, answer{}, succeeded)
			h.add(3, 5, swaps, answer{applied: true}, succeeded)
			h.add(4, 6, swaps, answer{applied: true}, succeeded)
		}, false},
		"a CAS of unknown outcome": {func(h told) {
			h.add(1, 2, one, answer{}, succeeded)
			h.add(3, 0, swaps, answer{}, unknown)
			h.add(4, 5, reads, answer{value: "2"}, succeeded)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			h := told{newHistory(time.Now())}
			test.tell(h)
			g.Expect(h.isLinearizable(g, t.TempDir())).To(Equal(test.want))
		})
	}
}

func TestKeysAreLeftWhenTooMuchAboutThemIsUnknown(t *testing.T) {
	g := NewWithT(t)
	h := newHistory(time.Now())
	key, other := h.key(0), h.key(1)
	for range mostUnknown {
		g.Expect(h.key(0)).To(Equal(key))
		h.add(0, time.Now(), request{action: write, key: key}, answer{}, unknown)
	}
	g.Expect(h.key(0)).NotTo(Equal(key))
	g.Expect(h.key(1)).To(Equal(other))
	g.Expect(h.count(unknown)).To(Equal(mostUnknown))
	g.Expect(h.keys()).To(Equal([]string{key}))
}

func TestWhatWasNeverSentIsWithoutEffect(t *testing.T) {
	g := NewWithT(t)
	refused := &url.Error{Err: notSent{errors.New("connection refused")}}
	g.Expect([]fate{fateOf(nil), fateOf(refused), fateOf(errors.New("500"))}).To(Equal([]fate{succeeded, failed, unknown}))
}

func TestAllKindsComeUpBeforeAnyDoesAgain(t *testing.T) {
	g := NewWithT(t)
	f := &faults{random: rand.New(rand.NewPCG(1, 0))} //nolint:gosec // no secrets
	possible := false
	f.kinds = []kind{{name: "a", often: 2}, {name: "b", often: 1}, {name: "c", often: 1, possible: func() bool { return possible }}}
	for range 2 {
		drawn := map[string]int{}
		for range 3 {
			drawn[f.draw().name]++
		}
		g.Expect(drawn).To(Equal(map[string]int{"a": 2, "b": 1}))
	}
	possible = true
	g.Expect([]string{f.draw().name, f.draw().name}).To(Equal([]string{"c", "c"}), "they were put off")
}

// A restore brings back what a key held when the snapshot was saved, and nothing else.
func TestRestoresInAHistory(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	run := func(last string) porcupine.CheckResult {
		h := newHistory(at(0))
		operation := func(second int, r request, a answer) porcupine.Operation {
			called := at(second).Sub(h.start).Nanoseconds()
			return porcupine.Operation{Input: r, Output: a, Call: called, Return: called + 1}
		}
		h.addOfAll(request{action: save, saved: 3}, at(2), at(3), succeeded)
		h.addOfAll(request{action: restore, saved: 3}, at(5), at(6), succeeded)
		operations := append([]porcupine.Operation{
			operation(1, request{action: write, value: "before"}, answer{}),
			operation(4, request{action: write, value: "after"}, answer{}),
			operation(7, request{action: read}, answer{value: last}),
		}, h.ofAll...)
		return porcupine.CheckOperationsTimeout(register, operations, time.Minute)
	}
	g := NewWithT(t)
	g.Expect(run("before")).To(Equal(porcupine.Ok))
	g.Expect(run("after")).To(Equal(porcupine.Illegal), "what was written since is gone")
	g.Expect(run("")).To(Equal(porcupine.Illegal))
}
