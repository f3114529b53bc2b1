package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// recipe says all that makes the binary what it is. It is kept beside the binary as a stamp, because asking
// Go whether kube-apiserver is up to date takes seconds each time.
func (t tool) recipe() (string, error) {
	if t.found != "" {
		return source(t.found)
	}
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH, t.pkg, t.ldflags, t.gcflags)
	for _, path := range append([]string{filepath.Join(t.dir, "go.mod"), filepath.Join(t.dir, "go.sum")}, t.replaced...) {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		_, _ = sum.Write(content)
	}
	return fmt.Sprintf("%x\n", sum.Sum(nil)), nil
}

func (t tool) upToDate() (bool, error) {
	if t.own || !exists(t.binary()) {
		return false, nil
	}
	want, err := t.recipe()
	if err != nil {
		return false, err
	}
	have, err := os.ReadFile(t.stamp())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return string(have) == want, nil
}

// build builds under a temporary name and renames: who interrupts it, or runs the old binary meanwhile, loses nothing.
func (t tool) build(ctx context.Context, label string) error {
	recipe, err := t.recipe()
	if err != nil {
		return err
	}
	start := time.Now()
	fmt.Printf("%s … with empty caches usually %s\n", label, t.usual)
	temporary := filepath.Join(binDir, "."+t.name+".building")
	if err := t.goBuild(ctx, temporary, label, start); err != nil {
		return err
	}
	fmt.Printf("%s done in %s\n", label, minutes(time.Since(start)))
	return t.install(temporary, recipe)
}

// install gives a finished binary its name and its stamp.
func (t tool) install(temporary, recipe string) error {
	if err := os.Rename(temporary, t.binary()); err != nil || t.own {
		return err
	}
	return os.WriteFile(t.stamp(), []byte(recipe), 0o644)
}

var errInterrupted = errors.New("interrupted; what is compiled so far is kept")

func (t tool) goBuild(ctx context.Context, output, label string, start time.Time) error {
	output, err := filepath.Abs(output)
	if err != nil {
		return err
	}
	args := []string{"build", "-v", "-ldflags", t.ldflags, "-o", output}
	if !t.own { // what we build ourselves is built with the flags of `go test`
		args = append(args, "-trimpath")
		for _, flags := range t.gcflags {
			args = append(args, "-gcflags="+flags)
		}
	}
	cmd := exec.CommandContext(ctx, "go", append(args, t.pkg)...)
	cmd.Dir = t.dir
	cmd.Env = environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer

	watched := make(chan string)
	go func() { watched <- watch(reader, label, start) }()
	err = cmd.Run()
	_ = writer.Close()
	said := <-watched
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return fmt.Errorf("%w: %s\n%s", err, cmd, said)
	}
	return nil
}

func environment() []string { return append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off") }

// watch turns what `go build -v` says into a line of progress now and then. It returns the end of it, for errors.
func watch(output io.Reader, label string, start time.Time) string {
	const keep = 30
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			lines <- scanner.Text()
		}
		_, _ = io.Copy(io.Discard, output)
	}()
	ticker := time.NewTicker(15 * time.Second)
	defer ticker.Stop()
	var downloaded, compiled int
	var last []string
	for {
		select {
		case line, open := <-lines:
			if !open {
				return strings.Join(last, "\n")
			}
			if strings.HasPrefix(line, "go: downloading ") {
				downloaded++
			} else {
				compiled++
			}
			last = append(last, line)
			last = last[max(0, len(last)-keep):]
		case <-ticker.C:
			fmt.Printf("%s … %s: %d modules downloaded, %d packages compiled\n",
				label, minutes(time.Since(start)), downloaded, compiled)
		}
	}
}
