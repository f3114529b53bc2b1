package main

import (
	"io"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestLongRunThatRestoresNothingIsRed(t *testing.T) {
	saved := []good{{name: "chaos-0"}}
	for what, test := range map[string]struct {
		backups backups
		after   time.Duration
		dead    string
	}{
		"nothing was saved":       {backups{asked: 1}, time.Minute, "none of 1 snapshots was saved"},
		"too short for a restore": {backups{asked: 1, good: saved, restores: 1}, time.Minute, ""},
		"long, and none was done": {backups{asked: 1, good: saved, restores: 2}, longRun, "none of 2 restores was done"},
		"long":                    {backups{asked: 1, good: saved, restores: 2, restored: 1}, longRun, ""},
	} {
		t.Run(what, func(t *testing.T) {
			NewWithT(t).Expect(test.backups.dead(test.after)).To(Equal(test.dead))
		})
	}
}

func TestRestoreIsAmongTheFirstCards(t *testing.T) {
	for seed := range uint64(100) {
		deck := newFaults(nil, nil, nil, seed, io.Discard).shuffled()
		isRestore := func(k kind) bool { return k.name == restoreKind }
		NewWithT(t).Expect(slices.IndexFunc(deck, isRestore)).To(BeNumerically("~", 4, 4))
	}
}
