package localcluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// keptRuns is how many default directories of ended runs stay, for their logs.
const keptRuns = 5

// prepareDirs finds or makes the directories and locks the cluster's own: a locked one belongs to a living run.
func (c *Cluster) prepareDirs() error {
	if c.binDir == "" || c.dir == "" {
		root, err := repositoryRoot()
		if err != nil {
			return err
		}
		if c.binDir == "" {
			c.binDir = filepath.Join(root, "bin")
		}
		if c.dir == "" {
			if c.dir, err = newRunDir(filepath.Join(root, ".local")); err != nil {
				return err
			}
		}
	}
	for _, dir := range []*string{&c.binDir, &c.dir} {
		absolute, err := filepath.Abs(*dir) // processes run elsewhere
		if err != nil {
			return err
		}
		*dir = absolute
	}
	if _, err := os.Stat(filepath.Join(c.dir, "etcd")); err == nil {
		return fmt.Errorf("%s holds a cluster already: choose another directory or remove it", c.dir)
	}
	if err := os.MkdirAll(filepath.Join(c.dir, "logs", "pods"), 0o755); err != nil { //nolint:gosec // read by people
		return err
	}
	lock, err := lockDir(c.dir, os.O_CREATE)
	if err != nil {
		return fmt.Errorf("%s belongs to a running cluster: %w", c.dir, err)
	}
	c.lock = lock
	return nil
}

// repositoryRoot is the directory above with a go.mod: tests run in the directory of their package.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory: set Options.Dir and Options.BinDir")
		}
		dir = parent
	}
}

func newRunDir(parent string) (string, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // read by people
		return "", err
	}
	removeDeadRuns(parent)
	return os.MkdirTemp(parent, "run-")
}

func lockDir(dir string, flag int) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { //nolint:gosec // a descriptor
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// removeDeadRuns removes what ended runs left, those that were killed too, except the newest few. A directory without a
// lock file is just being made.
func removeDeadRuns(parent string) {
	runs, _ := filepath.Glob(filepath.Join(parent, "run-*")) // the pattern is well-formed
	type deadRun struct {
		dir  string
		lock *os.File
		age  int64
	}
	var dead []deadRun
	for _, dir := range runs {
		lock, err := lockDir(dir, 0)
		if err != nil {
			continue
		}
		defer func() { _ = lock.Close() }()
		if info, err := lock.Stat(); err == nil {
			dead = append(dead, deadRun{dir, lock, -info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(dead, func(a, b deadRun) int { return int(min(1, max(-1, a.age-b.age))) })
	for i, run := range dead {
		_ = removeState(run.dir)
		if i >= keptRuns {
			_ = os.RemoveAll(run.dir)
		}
	}
}

// removeState removes all but logs.
func removeState(dir string) error {
	var errs []error
	for _, name := range []string{"etcd", "pods", "volumes", "certs", "kubeconfig"} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}
