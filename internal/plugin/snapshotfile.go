package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/snapshot"
)

// saveFile saves a snapshot to a file here.
func (s *session) saveFile(ctx context.Context, args []string, name string) error {
	file, err := newWhole(name)
	if err != nil {
		return err
	}
	defer file.discard()
	if err := s.on(ctx, args); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	api, err := s.reach(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	answer, err := api.send(ctx, http.MethodGet, nil)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer func() { _ = answer.Close() }()
	counted := &counter{}
	contents, err := snapshot.Read(io.TeeReader(answer, io.MultiWriter(file, counted)))
	if err != nil {
		return interrupted(ctx, fmt.Errorf("what came is no whole snapshot, so there is no file %s: %w; try again", name, err))
	}
	if err := file.keep(); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s has %s\n", name, contentsOf(contents, counted.bytes))
	fmt.Fprintf(s.Out, "Done in %s.\n", elapsed(time.Since(start)))
	fmt.Fprintln(s.ErrOut, wrapped(openFile, 0))
	return nil
}

const openFile = "The file is not encrypted. It holds all data, all ACL tokens and the private keys of the service mesh: " +
	"encrypt it, such as with age, before you leave it anywhere."

// contentsOf says what is in a snapshot.
func contentsOf(c *snapshot.Contents, bytes int64) string {
	return fmt.Sprintf("%s: index %d, %d keys, datacenter %s", sized(bytes), c.Index, c.Records["KVS"], dash(c.Datacenter))
}

// sized is a size for people, such as 13Mi.
func sized(bytes int64) string {
	unit := int64(1)
	for bytes >= 10*1024*unit { // at least ten units of the next one
		unit *= 1024
	}
	return resource.NewQuantity((bytes+unit-1)/unit*unit, resource.BinarySI).String()
}

type counter struct{ bytes int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}

// whole is a file that appears when all of it is there. Nobody else can read it, and it takes the place of no other.
type whole struct {
	*os.File
	name string
}

const part = ".part"

func newWhole(name string) (*whole, error) {
	if err := isNew(name); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name+part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the person names it
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s exists: another command writes it now, or was killed; in that case, delete it", name+part)
	}
	return &whole{file, name}, err
}

func isNew(name string) error {
	_, err := os.Lstat(name)
	switch {
	case err == nil:
		return fmt.Errorf("%s exists, and is not overwritten: choose another name", name)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// keep gives the file its name.
func (w *whole) keep() error {
	if err := errors.Join(w.Sync(), w.Close(), isNew(w.name)); err != nil {
		return err
	}
	return os.Rename(w.Name(), w.name)
}

// discard removes what was not kept.
func (w *whole) discard() {
	_ = w.Close()
	_ = os.Remove(w.Name())
}

// restoreFile restores a snapshot from a file here.
func (s *session) restoreFile(ctx context.Context, args []string, o restoring) error {
	file, err := os.Open(o.from)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := s.on(ctx, args); err != nil {
		return err
	}
	c, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	contents, err := fitting(c, file)
	if err != nil {
		return fmt.Errorf("%s cannot be restored, and nothing was changed: %w", o.from, err)
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	fmt.Fprint(s.Out, planOfRestoreFile(c, o.from, contentsOf(contents, info.Size())))
	if err := s.confirm(ctx, "Replace all data?", o.yes); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	api, err := s.reach(ctx)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	start := time.Now()
	answer, err := api.send(ctx, http.MethodPut, &body{file, info.Size()})
	if err != nil {
		return replaced(ctx, err)
	}
	_ = answer.Close()
	fmt.Fprintf(s.Out, "The data is restored, in %s. What the operator does now: kubectl consul status %s -n %s --watch\n",
		elapsed(time.Since(start)), c.Name, c.Namespace)
	return nil
}

// fitting reads all of a snapshot, and says why the cluster cannot restore it: Consul takes some that it crashes at.
func fitting(c *v1alpha1.ConsulCluster, from io.Reader) (*snapshot.Contents, error) {
	contents, err := snapshot.Read(from)
	if err != nil {
		return nil, err
	}
	fit := snapshot.Fit{Datacenter: c.Spec.Datacenter, Version: cmp.Or(c.Status.Version, c.Spec.Version)}
	return contents, fit.Check(*contents)
}

// planOfRestoreFile says what it does to restore a file.
func planOfRestoreFile(c *v1alpha1.ConsulCluster, name, contents string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in namespace %s: restore the file %s\n", c.Name, c.Namespace, name)
	say := numbered(&b)
	sayState(say, c)
	say("The file was checked, and fits the cluster. It has %s.", contents)
	say("No snapshot of the present data is taken. Take one first: kubectl consul snapshot save %s -n %s", c.Name, c.Namespace)
	sayReplaced(say, "since the file was saved")
	say("The operator notices, and makes its tokens again. If it then says ConsulRefuses, delete the pod of the leader: the next " +
		"one makes the management token.")
	return b.String()
}
