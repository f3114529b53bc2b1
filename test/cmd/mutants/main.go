// Command mutants breaks the planner on purpose, in one way at a time, and checks that the simulation notices: each
// mutant has to be caught by the invariant that the list says. Then it breaks what is around the planner, which tests have
// to notice. It changes no file: the compiler is given the broken one in place of the real one.
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"
)

var (
	//go:embed mutants.yaml
	ofThePlanner []byte
	//go:embed effects.yaml
	ofEffects []byte
	//go:embed security.yaml
	ofSecurity []byte
)

// mutant is a change of one place in one file.
type mutant struct {
	// Breaks says what the broken planner does.
	Breaks string `json:"breaks"`
	File   string `json:"file"`
	// Find is in the file exactly once.
	Find    string `json:"find"`
	Replace string `json:"replace"`
	// CaughtBy is the invariant that has to be violated: I1 to I10; or the tests that have to fail, in a package.
	CaughtBy string `json:"caughtBy"`
	In       string `json:"in"`
	// Scenarios is a pattern of those that can catch it; empty for all, which takes longer.
	Scenarios string `json:"scenarios"`
}

func main() {
	pattern := flag.String("run", "", "only mutants that match this regular expression")
	flag.Parse()
	if err := run(regexp.MustCompile(*pattern)); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(match *regexp.Regexp) error {
	mutants, err := all()
	if err != nil {
		return err
	}
	mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return !match.MatchString(m.Breaks) })
	work, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	var (
		group errgroup.Group
		mu    sync.Mutex
		done  int
		wrong []string
	)
	group.SetLimit(runtime.GOMAXPROCS(0)) // each mostly keeps one processor busy
	for i, m := range mutants {
		group.Go(func() error {
			start := time.Now()
			violated, err := m.caught(filepath.Join(work, strconv.Itoa(i)))
			if err != nil {
				return fmt.Errorf("%s: %w", m.Breaks, err)
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			if violated != m.CaughtBy {
				wrong = append(wrong, m.Breaks)
			}
			fmt.Printf("[%2d/%d] %-78s %s (%.0f s)\n", done, len(mutants), m.Breaks, m.verdict(violated), time.Since(start).Seconds())
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d of %d were not caught as they should be: %s", len(wrong), len(mutants), strings.Join(wrong, "; "))
	}
	fmt.Printf("%d of %d mutants were caught, each by the invariant or the test that the list says\n", len(mutants), len(mutants))
	return nil
}

func (m mutant) verdict(violated string) string {
	switch violated {
	case "":
		return "SURVIVES"
	case m.CaughtBy:
		return "caught by " + violated
	}
	return "caught by " + violated + ", " + m.CaughtBy + " was expected"
}

func all() ([]mutant, error) {
	var mutants []mutant
	for _, list := range []struct {
		name string
		text []byte
	}{{"mutants.yaml", ofThePlanner}, {"effects.yaml", ofEffects}, {"security.yaml", ofSecurity}} {
		var some []mutant
		if err := yaml.UnmarshalStrict(list.text, &some); err != nil {
			return nil, fmt.Errorf("%s: %w", list.name, err)
		}
		mutants = append(mutants, some...)
	}
	return mutants, nil
}

// caught says what notices a mutant; nothing if it survives. It has a folder of its own.
func (m mutant) caught(work string) (string, error) {
	if err := os.Mkdir(work, 0o700); err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if m.In == "" {
		return m.violates(work)
	}
	overlay, err := m.overlay(work)
	if err != nil {
		return "", err
	}
	args := []string{"test", "-overlay", overlay, "-vet=off", "-count=1", "-failfast", "-run", m.tests(), m.In}
	test := exec.Command("go", args...) //nolint:gosec // our own
	output, err := test.CombinedOutput()
	switch {
	case err == nil && strings.Contains(string(output), "no tests to run"):
		return "", fmt.Errorf("%s has no %s", m.In, m.CaughtBy)
	case err == nil:
		return "", nil
	case !strings.Contains(string(output), "--- FAIL: "+m.CaughtBy):
		return "", fmt.Errorf("the tests did not run:\n%s", output)
	}
	return m.CaughtBy, nil
}

// tests is a pattern that matches those that have to fail, and no others.
func (m mutant) tests() string {
	parts := strings.Split(m.CaughtBy, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

// violates is the invariant that the simulation finds violated, or nothing. Most mutants are caught within few states.
func (m mutant) violates(work string) (string, error) {
	overlay, err := m.overlay(work)
	if err != nil {
		return "", err
	}
	program := filepath.Join(work, "explore")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", program, "./test/cmd/explore") //nolint:gosec // our own
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not compile:\n%s", output)
	}
	for _, states := range []int{1000, 10_000} {
		violated, err := explore(program, states, m.Scenarios)
		if violated != "" || err != nil {
			return violated, err
		}
	}
	return "", nil
}

// explore explores one scenario after the other, so that the first violation is always the same.
func explore(program string, states int, scenarios string) (string, error) {
	cmd := exec.Command(program, "-states", strconv.Itoa(states), "-run", scenarios) //nolint:gosec // just built
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	output, err := cmd.CombinedOutput()
	if err == nil {
		return "", nil
	}
	found := regexp.MustCompile(`(?m)^(I[0-9]+) `).FindSubmatch(output)
	if found == nil {
		return "", fmt.Errorf("the simulation did not run:\n%s", output)
	}
	return string(found[1]), nil
}

// source is the file with the mutation, in the repository at root.
func (m mutant) source(root string) (string, error) {
	source, err := os.ReadFile(filepath.Join(root, m.File))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), m.Find); n != 1 {
		return "", fmt.Errorf("%s has %q %d times, not once: bring the list of mutants up to date", m.File, m.Find, n)
	}
	return strings.Replace(string(source), m.Find, m.Replace, 1), nil
}

// overlay is a file for the compiler that puts the broken source in place of the real one.
func (m mutant) overlay(work string) (string, error) {
	source, err := m.source(".")
	if err != nil {
		return "", err
	}
	broken := filepath.Join(work, "broken.go")
	if err := os.WriteFile(broken, []byte(source), 0o600); err != nil {
		return "", err
	}
	original, err := filepath.Abs(m.File)
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal(map[string]map[string]string{"Replace": {original: broken}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(work, "overlay.json")
	return file, errors.Join(err, os.WriteFile(file, raw, 0o600))
}
