package main

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkLimit is for how long the history of one key is checked. It takes milliseconds, but there is a worst case that
// nobody would live to see.
const checkLimit = 30 * time.Second

// linearity is what the check of all histories found.
type linearity struct {
	keys, operations int
	took             time.Duration
	// illegal and undecided are keys; files draw the illegal ones.
	illegal, undecided []string
	files              []string
}

// check checks each key by itself: a history is linearizable if and only if that of each object is.
func (h *history) check(dir string) (linearity, error) {
	began := time.Now()
	l := linearity{}
	for _, key := range h.keys() {
		operations := slices.Concat(h.operations[key], h.ofAll)
		l.keys++
		l.operations += len(operations)
		result := porcupine.CheckOperationsTimeout(register, operations, checkLimit)
		if result == porcupine.Ok {
			continue
		}
		if result == porcupine.Unknown {
			l.undecided = append(l.undecided, key)
			continue
		}
		l.illegal = append(l.illegal, key)
		file := filepath.Join(dir, strings.ReplaceAll(key, "/", "-")+".html")
		_, info := porcupine.CheckOperationsVerbose(register, operations, checkLimit)
		if err := porcupine.VisualizePath(register, info, file); err != nil {
			return l, err
		}
		l.files = append(l.files, file)
	}
	l.took = time.Since(began)
	return l, nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
