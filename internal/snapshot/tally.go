package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
)

// tally counts what is written.
type tally struct {
	to   io.Writer
	hash hash.Hash
	size int64
}

func newTally(to io.Writer) *tally { return &tally{to: to, hash: sha256.New()} }

func (t *tally) Write(p []byte) (int, error) {
	n, err := t.to.Write(p)
	t.size += int64(n)
	_, _ = t.hash.Write(p[:n]) // never fails
	return n, err
}

func (t *tally) sum() string { return hex.EncodeToString(t.hash.Sum(nil)) }
