package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// ready says where a program may be found instead of being built.
type ready struct {
	variable string   // the environment variable that names its folder
	files    []string // what it may be called there, the best first
	ask      []string // its arguments to tell its version
	want     *regexp.Regexp
	wanted   string // want in words
	hosts    bool   // it has to read the file `hosts`, see hosts.go
}

// readyConsul is a Consul of exactly that version: demo and tests are about the differences.
func readyConsul(version string) ready {
	return ready{
		variable: "CONSUL_BIN_DIR",
		files:    []string{"consul-" + version, "consul"},
		ask:      []string{"version"},
		want:     regexp.MustCompile(`^Consul v` + regexp.QuoteMeta(version) + `\s`),
		wanted:   "Consul v" + version,
		hosts:    true,
	}
}

// readyAssets are the programs of envtest. Any patch version will do, since envtest does not have all of them.
func readyAssets(name string) ready {
	asks := map[string]struct{ says, version, args string }{
		"etcd":           {"etcd Version: ", etcdVersion, "--version"},
		"kube-apiserver": {"Kubernetes v", kubernetesVersion, "--version"},
		"kubectl":        {"Client Version: v", kubernetesVersion, "version --client"},
	}
	program, ok := asks[name]
	if !ok {
		return ready{}
	}
	wanted := program.says + program.version[1:strings.LastIndex(program.version, ".")]
	return ready{
		variable: "KUBEBUILDER_ASSETS",
		files:    []string{name},
		ask:      strings.Fields(program.args),
		want:     regexp.MustCompile(`^` + regexp.QuoteMeta(wanted) + `\.\d+\s`),
		wanted:   wanted,
	}
}

// find returns the path of the program, or why there is none; both are empty when the variable is not set.
func (r ready) find(ctx context.Context) (path, why string) {
	dir := os.Getenv(r.variable)
	if r.variable == "" || dir == "" {
		return "", ""
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err.Error()
	}
	var others []string
	for _, file := range r.files {
		path := filepath.Join(dir, file)
		if !exists(path) {
			continue
		}
		said, err := ask(ctx, path, r.ask...)
		if r.want.MatchString(said) {
			return path, ""
		}
		if err != nil {
			said = err.Error()
		}
		first, _, _ := strings.Cut(said, "\n")
		others = append(others, fmt.Sprintf("%s is %q", file, first))
	}
	if others == nil {
		return "", fmt.Sprintf("%s has no %s", r.variable, strings.Join(r.files, " and no "))
	}
	return "", fmt.Sprintf("%s has no %s: %s", r.variable, r.wanted, strings.Join(others, ", "))
}

// ask runs a program that answers at once. It sees nothing of the environment, which could change the answer.
func ask(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"HOME=/nonexistent"}
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// source is what a copy was made of. A file that was exchanged has another size or time.
func source(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintln(path, info.Size(), info.ModTime().UnixNano()), nil
}

// take copies the program that was found to bin/. A copy lasts when its source goes.
func (t tool) take(ctx context.Context) error {
	recipe, err := t.recipe()
	if err != nil {
		return err
	}
	temporary := filepath.Join(binDir, "."+t.name+".building")
	defer func() { _ = os.Remove(temporary) }()
	if err := copyProgram(t.found, temporary); err != nil {
		return err
	}
	note := ""
	if t.ready.hosts {
		if err := errors.Join(readHostsFile(temporary), checkHostsFile(ctx, temporary)); err != nil {
			return fmt.Errorf("%s cannot be used, unset %s to build one: %w", t.found, t.ready.variable, err)
		}
		note = ", and reads ./hosts for /etc/hosts"
	}
	fmt.Printf("%s is copied from %s (%s)%s\n", t.name, t.found, t.ready.variable, note)
	return t.install(temporary, recipe)
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
