package snapshot

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"github.com/consul-operator/consul-operator/api/reason"
)

// Folder is a store in a folder, as of a mounted volume claim.
type Folder struct{ root *os.Root }

// OpenFolder returns the store in a folder that exists. No name leads out of it.
func OpenFolder(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	return &Folder{root}, stored(err)
}

// Create begins a file, under a name that says that it is not complete.
func (f *Folder) Create(_ context.Context, name string) (Object, error) {
	if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return nil, stored(err)
	}
	partial := partialOf(name)
	opened, err := f.root.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, stored(err)
	}
	return &file{root: f.root, to: opened, partial: partial, name: name}, nil
}

// Open opens a file.
func (f *Folder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	opened, err := f.root.Open(name)
	return opened, stored(err)
}

// Delete deletes a file, and what is left of one that was never completed.
func (f *Folder) Delete(_ context.Context, name string) error {
	for _, name := range []string{partialOf(name), name} {
		if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return stored(err)
		}
	}
	return nil
}

// partialOf is the name of a file that is not complete.
func partialOf(name string) string { return path.Join(path.Dir(name), "."+path.Base(name)+".partial") }

// file is one that is being written.
type file struct {
	to            *os.File
	root          *os.Root
	partial, name string
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.to.Write(p)
	return n, stored(err)
}

// Commit has the disk keep the file before its name, so that no name stands for less than all of it.
func (f *file) Commit() error {
	if err := errors.Join(f.to.Sync(), f.to.Close()); err != nil {
		return stored(err)
	}
	if err := f.root.Rename(f.partial, f.name); err != nil {
		return stored(err)
	}
	dir, err := f.root.Open(filepath.Dir(f.name))
	if err != nil {
		return stored(err)
	}
	return stored(errors.Join(dir.Sync(), dir.Close()))
}

func (f *file) Abort() {
	_ = f.to.Close()
	_ = f.root.Remove(f.partial)
}

// stored gives an error of a file system its reason.
func stored(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failed(reason.SnapshotMissing, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, fs.ErrPermission),
		errors.Is(err, syscall.EROFS):
		return failed(reason.StoreRefuses, err)
	}
	return failed(reason.StoreUnreachable, err)
}
