// Command buildtools builds the programs this project runs but does not import, such as kube-apiserver and Consul,
// and the project's own ones, into bin/. It builds what is missing or out of date and says what it is doing,
// because the first time takes minutes. What the folders CONSUL_BIN_DIR and KUBEBUILDER_ASSETS have it copies.
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
	"slices"
	"sync"
	"sync/atomic"
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

// buildAll builds the tools; those up to date cost one line together. Programs that are compiled without the optimizer
// share only the standard library with the others, so both are built side by side: while one is linked, or waits for a
// download, the other has the processors.
func buildAll(ctx context.Context, wanted []tool) error {
	stale, err := takeReady(ctx, wanted)
	if err != nil {
		return err
	}
	start := time.Now()
	b := builder{all: len(stale)}
	building, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	for _, lane := range lanes(stale) {
		b.group.Go(func() {
			if err := b.build(building, lane); err != nil {
				stop(err) // the first error is the one that counts
			}
		})
	}
	b.group.Wait()
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err := context.Cause(building); err != nil {
		return err
	}
	if len(stale) > 1 {
		fmt.Printf("built %d programs in %s\n", len(stale), minutes(time.Since(start)))
	}
	return nil
}

// takeReady copies the programs that are found on this machine and returns the tools that have to be built.
func takeReady(ctx context.Context, wanted []tool) ([]tool, error) {
	var stale []tool
	upToDate := 0
	for _, t := range wanted {
		var why string
		t.found, why = t.ready.find(ctx)
		fresh, err := t.upToDate()
		switch {
		case err != nil:
			return nil, err
		case fresh:
			upToDate++
		case t.found != "":
			if err := t.take(ctx); err != nil {
				return nil, err
			}
		default:
			if why != "" {
				fmt.Printf("%s is built: %s\n", t.name, why)
			}
			stale = append(stale, t)
		}
	}
	if upToDate > 0 && len(wanted) > 1 {
		fmt.Printf("%d of %d programs in %s/ are up to date\n", upToDate, len(wanted), binDir)
	}
	return stale, nil
}

// lanes are tools that are built one after the other, in the order given.
func lanes(stale []tool) [][]tool {
	var optimized, not []tool
	for _, t := range stale {
		if slices.Contains(t.gcflags, "all="+unoptimized) {
			not = append(not, t)
		} else {
			optimized = append(optimized, t)
		}
	}
	return [][]tool{optimized, not}
}

// builder counts what is built.
type builder struct {
	group sync.WaitGroup
	begun atomic.Int32
	all   int
}

func (b *builder) build(ctx context.Context, lane []tool) error {
	if len(lane) > 1 {
		fetching, stop := context.WithCancel(ctx)
		defer stop()
		go fetchAhead(fetching, lane[1:])
	}
	for _, t := range lane {
		label := fmt.Sprintf("[%d/%d] %s", b.begun.Add(1), b.all, t.name)
		if err := t.build(ctx, label); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
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
