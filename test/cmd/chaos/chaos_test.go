package main

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// boundedFor is enough for some faults of each run to be others. `make chaos` goes on for longer.
const boundedFor = 20 * time.Second

// The operator of a run is this program as well.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == operatorCommand {
		operatorMain(os.Args[2:])
		return
	}
	os.Exit(m.Run())
}

func TestChaosForAWhile(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes four minutes: make test-all, make test-others and make race run it")
	}
	NewWithT(t).Expect(run(t.Context(), options{duration: boundedFor, seed: newSeed()}, os.Stdout)).To(Succeed())
}

// A server that is killed while it stands still runs again, and may be stopped once more before its time is up.
func TestAServerThatStandsStillTwice(t *testing.T) {
	g := NewWithT(t)
	f := &faults{stopped: map[int]bool{}}
	var processes []*os.Process
	for range 2 {
		command := exec.CommandContext(t.Context(), "sleep", "60")
		g.Expect(command.Start()).To(Succeed())
		t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
		g.Expect(command.Process.Signal(syscall.SIGSTOP)).To(Succeed())
		f.stopped[command.Process.Pid] = true
		processes = append(processes, command.Process)
	}
	g.Expect(processes[0].Kill()).To(Succeed())
	g.Expect(f.resume(processes[0])).To(Succeed())
	g.Expect(f.stopped).To(HaveLen(1), "the other one goes on standing still")
	g.Expect(f.resume(processes[1])).To(Succeed())
	g.Expect(f.stopped).To(BeEmpty())
}
