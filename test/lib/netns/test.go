package netns

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/consul-operator/consul-operator/test/lib/child"
)

// T is a *testing.T.
type T interface {
	Helper()
	Name() string
	Log(args ...any)
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// noNetwork is the exit code of a test program that was given a network namespace, and no rights in it.
const noNetwork = 77

// Test runs a test in a network of its own: this program runs once more, with this test alone. On a machine that gives its
// users no network namespaces the test is skipped, and says why.
func Test(t T, test func()) {
	t.Helper()
	if !Inside() {
		again(t)
		return
	}
	if err := Up(); err != nil {
		fmt.Println(err)
		os.Exit(noNetwork)
	}
	test()
}

func again(t T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatalf("finding this program: %v", err)
	}
	only := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	cmd := exec.Command(self, "-test.v", "-test.run="+only) //nolint:gosec // this program
	Isolate(cmd)
	output, input, err := os.Pipe()
	if err != nil {
		t.Fatalf("a pipe: %v", err)
	}
	defer func() { _ = output.Close() }()
	cmd.Stdout, cmd.Stderr = input, input
	program, err := child.StartCommand(cmd)
	_ = input.Close() // the program has its own
	if err != nil {
		t.Skipf("it needs a network namespace, and this machine gives none to its users: %v", err)
	}
	t.Cleanup(program.Kill)
	last := tell(t, output)
	<-program.Exited()
	switch code := program.ExitCode(); code {
	case 0:
	case noNetwork:
		t.Skipf("it needs a network namespace, and this machine gives its users no rights in one: %s", last)
	default:
		t.Fatalf("in a network of its own it ends with exit code %d, see above", code)
	}
}

// tell logs what a program prints, line by line: one that begins with `---` would be taken for a result of this program. It
// returns the last line.
func tell(t T, output io.Reader) string {
	t.Helper()
	last := ""
	for lines := bufio.NewReader(output); ; {
		line, err := lines.ReadString('\n')
		if line != "" {
			last = strings.TrimSuffix(line, "\n")
			t.Log(last)
		}
		if err != nil { // it has ended
			return last
		}
	}
}
