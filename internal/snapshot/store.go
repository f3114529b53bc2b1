package snapshot

import (
	"context"
	"io"
)

// Store is where snapshots are kept. Names are paths with slashes. All errors have a reason.
type Store interface {
	// Create begins an object, which appears with Commit.
	Create(ctx context.Context, name string) (Object, error)
	// Open returns an object.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Delete deletes an object. One that is not there is no error.
	Delete(ctx context.Context, name string) error
}

// Object is one that is being written.
type Object interface {
	io.Writer
	// Commit makes all that was written appear.
	Commit() error
	// Abort discards what was written, unless it was committed.
	Abort()
}
