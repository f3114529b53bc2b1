package snapshot

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// taskVariable has the test's program be a task in a process of its own, and holds its arguments.
const taskVariable = "SNAPSHOT_TASK"

func TestMain(m *testing.M) {
	if args := os.Getenv(taskVariable); args != "" {
		os.Exit(runTask(strings.Fields(args)))
	}
	os.Exit(m.Run())
}

// runTask runs a task, and prints how much memory this process has needed.
func runTask(args []string) (exitCode int) {
	ctx := log.IntoContext(context.Background(), zap.New())
	if err := Run(ctx, args, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status, err := os.ReadFile("/proc/self/status")
	must(err)
	fmt.Println(string(peakOfProcess.Find(status)))
	return 0
}

// peakOfProcess is the most memory that a process has had, which the kernel remembers.
var peakOfProcess = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// taskOf is a task in a process of its own, which has not started.
func taskOf(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	own, err := os.Executable()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	task := exec.CommandContext(ctx, own)
	task.Env = append(os.Environ(), taskVariable+"="+strings.Join(args, " "))
	task.Stderr = t.Output()
	return task
}
