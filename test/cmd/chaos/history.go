package main

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// never is when an operation returns whose outcome nobody knows: it may take effect at any time, even much later.
const never = math.MaxInt64

// action is what a client does to a key.
type action string

const (
	read  action = "read"
	write action = "write"
	cas   action = "CAS"
)

var actions = []action{read, write, cas}

// What a user does to all keys at once.
const (
	save    action = "snapshot"
	restore action = "restore"
)

// mostSaved is how many snapshots there may be in a run.
const mostSaved = 8

// request is what was asked for. No value is written twice, so a value stands for the ModifyIndex it was written at.
type request struct {
	action action
	key    string
	value  string // to be written
	expect string // by a CAS; "" is a key that does not exist
	saved  int    // which snapshot is saved, or restored
}

// answer is what came back.
type answer struct {
	value   string // read
	applied bool   // by a CAS
	unknown bool   // nothing came back that tells
}

// fate is what became of an operation.
type fate string

const (
	succeeded fate = "ok"      // answered
	failed    fate = "failed"  // without effect: never sent, or a read
	unknown   fate = "unknown" // a write that may have happened, or happen yet
)

// A key is used for keyLifetime, or until mostUnknown writes to it have an unknown outcome. Then clients go on with the
// next one: the time that the check takes doubles with each of those.
const (
	keysAtATime = 3
	keyLifetime = 10 * time.Second
	mostUnknown = 6
)

// slot is one of the keys in use.
type slot struct {
	key     string
	since   time.Time
	unknown int
}

// history is what all clients did, in their own time.
type history struct {
	start time.Time

	mu         sync.Mutex
	slots      [keysAtATime]slot
	serial     int
	operations map[string][]porcupine.Operation // by key; those without effect are not in it
	ofAll      []porcupine.Operation            // on all keys at once
	fates      map[action]map[fate]int
	lastOK     time.Time
	longestGap time.Duration
}

func newHistory(start time.Time) *history {
	h := &history{start: start, operations: map[string][]porcupine.Operation{}, fates: map[action]map[fate]int{}, lastOK: start}
	for _, action := range actions {
		h.fates[action] = map[fate]int{}
	}
	return h
}

// key is the one that the slot has now.
func (h *history) key(i int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := &h.slots[i]; s.key == "" || s.unknown >= mostUnknown || time.Since(s.since) > keyLifetime {
		h.serial++
		*s = slot{key: fmt.Sprintf("chaos/%04d", h.serial), since: time.Now()}
	}
	return h.slots[i].key
}

func (h *history) countUnknown(key string) {
	for i := range h.slots {
		if h.slots[i].key == key {
			h.slots[i].unknown++
		}
	}
}

// add takes down an operation of a client that was called at that time and ends now.
func (h *history) add(client int, called time.Time, r request, a answer, f fate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.fates[r.action][f]++
	returned := now.Sub(h.start).Nanoseconds()
	switch f {
	case failed:
		return
	case unknown:
		returned, a.unknown = never, true
		h.countUnknown(r.key)
	case succeeded:
		h.longestGap = max(h.longestGap, now.Sub(h.lastOK))
		h.lastOK = now
	}
	h.operations[r.key] = append(h.operations[r.key], porcupine.Operation{
		ClientId: client, Input: r, Output: a, Call: called.Sub(h.start).Nanoseconds(), Return: returned,
	})
}

// addOfAll takes down what a user did to all keys at once, from one time to another. If nobody knows whether it was done, it may
// be done at any time.
func (h *history) addOfAll(r request, called, returned time.Time, f fate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	operation := porcupine.Operation{
		ClientId: clientCount + 1 + len(h.ofAll), Input: r, Output: answer{unknown: f == unknown},
		Call: called.Sub(h.start).Nanoseconds(), Return: returned.Sub(h.start).Nanoseconds(),
	}
	if f == unknown {
		operation.Return = never
	}
	h.ofAll = append(h.ofAll, operation)
}

// keys lists the keys that may hold something.
func (h *history) keys() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return sortedKeys(h.operations)
}

// count adds up what became of all operations.
func (h *history) count(f fate) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, fates := range h.fates {
		n += fates[f]
	}
	return n
}

// value is the state of a key: what it holds, and what it held when each snapshot was saved.
type value struct {
	now   string
	saved [mostSaved]string
}

// register is the model of one key. A snapshot saves what it holds, and a restore brings that back.
var register = porcupine.Model{
	Init: func() any { return value{} },
	Step: func(state, input, output any) (bool, any) {
		key, r, a := state.(value), input.(request), output.(answer)
		switch r.action {
		case read:
			return a.value == key.now, key
		case write:
			key.now = r.value
			return true, key
		case save:
			key.saved[r.saved] = key.now
			return true, key
		case restore:
			key.now = key.saved[r.saved]
			return true, key
		}
		matches := key.now == r.expect
		if matches {
			key.now = r.value
		}
		return a.unknown || a.applied == matches, key
	},
	DescribeOperation: func(input, output any) string { return describe(input.(request), output.(answer)) },
}

func describe(r request, a answer) string {
	result := ""
	if a.unknown {
		result = " → ?"
	}
	switch {
	case r.action == save, r.action == restore:
		return fmt.Sprintf("%s %d%s", r.action, r.saved, result)
	case r.action == read:
		return fmt.Sprintf("read → %q", a.value)
	case r.action == cas && !a.unknown:
		result = fmt.Sprintf(" → %t", a.applied)
	}
	if r.action == cas {
		return fmt.Sprintf("CAS %q, %q%s", r.expect, r.value, result)
	}
	return fmt.Sprintf("write %q%s", r.value, result)
}
