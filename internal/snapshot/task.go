package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// abortWithin is how long it may take to discard what was not completed.
const abortWithin = 10 * time.Second

// Task is one object in a store, and the cluster that it is of.
type Task struct {
	Consul Consul
	Store  Store
	Keys   Keys
	// Name is that of the object.
	Name string
	// SHA256 is the sum that it has to have, in hexadecimal; empty if it is not known.
	SHA256 string
	// Patience is how long it goes on trying before it fails with ErrAgain; 0 for as long as its context lives.
	Patience time.Duration
}

// Saved is what is known of an object that was saved.
type Saved struct {
	Contents
	// Size is that of the object in bytes, and SHA256 its sum in hexadecimal: of what is stored, which may be encrypted.
	Size   int64
	SHA256 string
}

// Save saves a snapshot, and reads it back. It goes on until it succeeds, ctx ends, or somebody refuses.
func (t Task) Save(ctx context.Context) (*Saved, error) {
	var saved *Saved
	err := t.persist(ctx, func(ctx context.Context) (err error) {
		saved, err = t.saveOnce(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return saved, t.persist(ctx, func(ctx context.Context) error { return t.readBack(ctx, saved) })
}

func (t Task) saveOnce(ctx context.Context) (*Saved, error) {
	object, err := t.Store.Create(ctx, t.Name)
	if err != nil { // and no leader has written all its state to a disk in vain
		return nil, err
	}
	defer object.Abort()
	from, err := t.Consul.save(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }()
	counted := newTally(object)
	encrypted, err := t.Keys.encrypt(counted)
	if err != nil {
		return nil, err
	}
	source, sink := &remembering{Reader: from}, &remembering{Writer: encrypted}
	contents, err := Read(io.TeeReader(source, sink))
	if err == nil {
		err = encrypted.Close()
	}
	if err != nil { // what Consul sent is checked on the way: another answer may be whole
		err = fmt.Errorf("what Consul has sent is no whole snapshot: %w", err)
		return nil, failed(reason.ConsulUnreachable, firstOf(err, source.err, sink.err))
	}
	return &Saved{Contents: *contents, Size: counted.size, SHA256: counted.sum()}, object.Commit()
}

// readBack makes sure that the store has what was written, and that it can be decrypted, if there is a key.
func (t Task) readBack(ctx context.Context, saved *Saved) error {
	t.SHA256 = saved.SHA256
	if !t.Keys.CanEncrypt() || t.Keys.CanDecrypt() {
		_, err := t.inspectOnce(ctx, io.Discard)
		return notYet(err)
	}
	from, err := t.Store.Open(ctx, t.Name)
	if err != nil {
		return notYet(err)
	}
	defer func() { _ = from.Close() }()
	counted := newTally(io.Discard)
	if _, err := io.Copy(counted, from); err != nil {
		return err
	}
	return t.checkSum(counted)
}

// notYet has a task look once more for an object that was just written: not every store shows it at once.
func notYet(err error) error {
	if reasonOf(err) == reason.SnapshotMissing {
		return &failure{reason.StoreUnreachable, err}
	}
	return err
}

// checkSum compares the sum of an object with the one that it has to have.
func (t Task) checkSum(is *tally) error {
	if t.SHA256 == "" || t.SHA256 == is.sum() {
		return nil
	}
	return failed(reason.SnapshotDamaged, fmt.Errorf("the store returns %d bytes with the SHA-256 sum %s, and what was saved has %s",
		is.size, is.sum(), t.SHA256))
}

// Inspect reads an object and checks it.
func (t Task) Inspect(ctx context.Context) (*Saved, error) {
	var saved *Saved
	err := t.persist(ctx, func(ctx context.Context) (err error) {
		saved, err = t.inspectOnce(ctx, io.Discard)
		return err
	})
	return saved, err
}

// inspectOnce reads an object, checks it, and copies the archive on the way.
func (t Task) inspectOnce(ctx context.Context, archive io.Writer) (*Saved, error) {
	from, err := t.Store.Open(ctx, t.Name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }()
	counted := newTally(io.Discard)
	source, sink := &remembering{Reader: from}, &remembering{Writer: archive}
	plain, err := t.Keys.decrypt(io.TeeReader(source, counted), t.SHA256 != "")
	var contents *Contents
	if err == nil {
		contents, err = Read(io.TeeReader(plain, sink))
	}
	if err == nil {
		err = t.checkSum(counted)
	}
	if err != nil {
		return nil, failed(reason.SnapshotDamaged, firstOf(err, source.err, sink.err))
	}
	return &Saved{Contents: *contents, Size: counted.size, SHA256: counted.sum()}, nil
}

// remembering is a stream that remembers its first error: not every decoder passes on what it is told.
type remembering struct {
	io.Reader
	io.Writer
	err error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && r.err == nil {
		r.err = err
	}
	return n, err
}

func (r *remembering) Write(p []byte) (int, error) {
	n, err := r.Writer.Write(p)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n, err
}

// firstOf is the first of the causes that there is, or else the error that followed.
func firstOf(err error, causes ...error) error {
	for _, cause := range causes {
		if cause != nil {
			return cause
		}
	}
	return err
}

func (t Task) deleteAll(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := t.persist(ctx, func(ctx context.Context) error { return t.Store.Delete(ctx, name) }); err != nil {
			return err
		}
	}
	return nil
}
