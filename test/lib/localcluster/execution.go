package localcluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

const sigTerm = syscall.SIGTERM

// execution is what a container's processes need: the main one, hooks and exec probes alike.
type execution struct {
	image      string // repository of the image
	program    string // what stands for it
	dir        string
	entrypoint []string // command
	args       []string
	env        []string
	mounts     rewriter
}

// pullError, configError: see container.create.
type pullError struct{ error }
type configError struct{ error }

func (c *container) tryCreate() (*execution, error) {
	program, err := c.worker.kubelet.images(c.spec.Image)
	if err != nil {
		return nil, &pullError{err}
	}
	if err := os.MkdirAll(filepath.Join(c.rootfs(), "tmp"), 0o755); err != nil { //nolint:gosec // read by people
		return nil, err
	}
	repository, _ := splitImage(c.spec.Image)
	run := &execution{image: repository, program: program, dir: c.rootfs()}
	if err := link(program, filepath.Join(run.programs(), path.Base(repository))); err != nil {
		return nil, err
	}
	pod := c.worker.newest()
	if run.mounts, err = c.mountVolumes(pod); err != nil {
		return nil, err
	}
	variables, err := c.environment(pod)
	if err != nil {
		return nil, &configError{err}
	}
	run.setEnv(c, variables)
	for _, word := range c.spec.Command {
		run.entrypoint = append(run.entrypoint, c.local(run, expand(word, variables.values)))
	}
	for _, word := range c.spec.Args {
		run.args = append(run.args, c.local(run, expand(word, variables.values)))
	}
	if len(run.entrypoint) == 0 {
		run.entrypoint = []string{path.Base(repository)}
	}
	hostname := pod.Spec.Hostname
	if hostname == "" {
		hostname = pod.Name
	}
	lines := c.loopback() + " localhost\n"
	for _, address := range c.worker.addresses {
		lines += address + " " + hostname + "\n"
	}
	return run, c.worker.kubelet.hosts.add(pod.Namespace, run.dir, lines)
}

var (
	localhost = regexp.MustCompile(`\b127\.0\.0\.1\b`)
	anywhere  = regexp.MustCompile(`(^|=)0\.0\.0\.0$`)
)

// local says what a text means here: paths of the pod, its own 127.0.0.1, and 0.0.0.0, which is all addresses of the pod and not
// of the machine.
func (c *container) local(r *execution, text string) string {
	text = localhost.ReplaceAllString(r.mounts.apply(text), c.loopback())
	all := append(slices.Clone(c.worker.addresses), c.loopback())
	return anywhere.ReplaceAllString(text, "${1}"+strings.Join(all, " "))
}

func (c *container) loopback() string { return c.worker.kubelet.block.loopback(c.worker.octet) }

// setEnv adds what a container runtime sets, unless the pod does.
func (r *execution) setEnv(c *container, variables *variables) {
	for _, name := range variables.names {
		r.env = append(r.env, name+"="+c.local(r, variables.values[name]))
	}
	defaults := []string{
		"PATH=" + r.programs() + ":" + os.Getenv("PATH"), "HOSTNAME=" + c.worker.key.Name,
		"HOME=" + r.dir, "TMPDIR=" + filepath.Join(r.dir, "tmp"),
	}
	for _, variable := range defaults {
		name, _, _ := strings.Cut(variable, "=")
		if _, ok := variables.values[name]; !ok {
			r.env = append(r.env, variable)
		}
	}
}

// programs is the folder with the image's own program, which comes first in PATH.
func (r *execution) programs() string { return filepath.Join(r.dir, "bin") }

// command builds the process for a command line. A first word that names the image's own program runs what stands for
// the image; any other is looked up on this machine.
func (r *execution) command(words []string) *exec.Cmd {
	cmd := &exec.Cmd{Path: r.program, Args: words, Env: r.env, Dir: r.dir}
	if path.Base(words[0]) != path.Base(r.image) {
		found, err := exec.LookPath(words[0])
		cmd.Path = found
		if err != nil {
			cmd.Path, cmd.Err = words[0], fmt.Errorf("exec: %w: the image has no programs but its own", err)
		}
	}
	return cmd
}

// exec runs a command beside the container's process and returns its output, when it fails as an error.
func (c *container) exec(ctx context.Context, run *execution, words []string) error {
	rewritten := make([]string, 0, len(words))
	for _, word := range words {
		rewritten = append(rewritten, c.local(run, word))
	}
	output, err := os.CreateTemp(c.home(), "exec-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(output.Name()); _ = output.Close() }()
	cmd := run.command(rewritten)
	// A file, not a pipe: nobody has to wait for the readers of a grandchild.
	cmd.Stdout, cmd.Stderr = output, output
	proc, err := c.worker.kubelet.processes.start(cmd)
	if err != nil {
		return err
	}
	select {
	case <-proc.exited:
	case <-ctx.Done():
		proc.kill()
		return fmt.Errorf("command %q timed out", words)
	}
	if code := proc.exitCode(); code != 0 {
		return fmt.Errorf("command %q ended with exit code %d: %s", words, code, tail(output.Name(), 0))
	}
	return nil
}
