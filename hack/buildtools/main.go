// Command buildtools builds the programs this project runs but does not import, such as kube-apiserver and Consul,
// and the project's own ones, into bin/. It builds what is missing or out of date and says what it is doing,
// because the first time takes minutes.
//
// It uses the standard library only, so that it starts at once on a machine whose caches are empty.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	binDir = "bin"
	// modulesDir has one folder with a go.mod for each source of tools.
	modulesDir = "hack/tools"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "buildtools:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return errors.New("usage: buildtools TOOL... (from the root of the repository), or: buildtools all")
	}
	known, err := knownTools(modulesDir, os.Getenv("VERSION"))
	if err != nil {
		return err
	}
	wanted, err := choose(known, names)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(binDir, ".stamps"), 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(binDir, ".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	return buildAll(ctx, wanted)
}

// lock makes two runs at once take turns. The kernel drops it when the process ends, however it ends.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	fd := int(file.Fd())
	if syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		fmt.Println("waiting for another build in this folder to end")
		if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
	return func() { _ = file.Close() }, nil
}

// buildAll builds the tools in the order given; those up to date cost one line together.
func buildAll(ctx context.Context, wanted []tool) error {
	var stale []tool
	for _, t := range wanted {
		fresh, err := t.upToDate()
		if err != nil {
			return err
		}
		if !fresh {
			stale = append(stale, t)
		}
	}
	if n := len(wanted) - len(stale); n > 0 && len(wanted) > 1 {
		fmt.Printf("%d of %d programs in %s/ are up to date\n", n, len(wanted), binDir)
	}
	start := time.Now()
	if len(stale) > 1 {
		fetching, stop := context.WithCancel(ctx)
		defer stop()
		go fetchAhead(fetching, stale[1:])
	}
	for i, t := range stale {
		if err := t.build(ctx, fmt.Sprintf("[%d/%d] %s", i+1, len(stale), t.name)); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	if len(stale) > 1 {
		fmt.Printf("built %d programs in %s\n", len(stale), minutes(time.Since(start)))
	}
	return nil
}

// minutes writes a duration as people say it.
func minutes(d time.Duration) string {
	d = d.Round(time.Second)
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}
