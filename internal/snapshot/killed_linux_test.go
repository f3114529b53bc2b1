package snapshot

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/test/lib/child"
)

// stage is where a task runs: a real store and a Consul, both behind a gate.
type stage struct {
	gate      *gate
	lists     *disturbance // of what was begun
	bucket    *Bucket
	pretender *pretender
	args      []string
}

// enter prepares a stage for a task that saves a snapshot, or restores one that is there.
func enter(t *testing.T, stop point, command ...string) stage {
	t.Helper()
	s := stage{gate: newGate(stop), lists: &disturbance{to: isList, by: says(http.StatusForbidden, "AccessDenied")}}
	s.gate.open(true)
	bucket, options := startBucket(t, func(next http.Handler) http.Handler { return s.gate.before(s.lists.before(next)) })
	consul, pretender := pretend(t, large(), s.gate.before)
	s.bucket, s.pretender = bucket, pretender
	s.args = append(slices.Clone(command), "--store=s3://"+options.Bucket, "--s3-endpoint="+options.Endpoint, "--s3-path-style",
		"--s3-credentials-dir="+options.CredentialsDir, "--consul="+consul.Address, "1.snap")
	if command[0] == "restore" {
		NewWithT(t).Expect(put(t.Context(), bucket, "1.snap", large())).To(Succeed())
	}
	s.gate.open(false)
	return s
}

// run runs the task to its end.
func (s stage) run(ctx context.Context, t *testing.T) {
	t.Helper()
	NewWithT(t).Expect(Run(ctx, s.args, t.Output(), t.Output())).To(Succeed())
}

// kill runs the task in a process that is killed at the point, and returns when nothing of it is on its way any more.
func (s stage) kill(ctx context.Context, t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	task, err := child.StartCommand(taskOf(ctx, t, s.args...))
	g.Expect(err).NotTo(HaveOccurred())
	defer task.Kill()
	select {
	case <-s.gate.stopped:
	case <-task.Exited():
		t.Fatalf("it has ended before %q", s.gate.stop)
	}
	task.Kill()
	s.gate.open(true)
	close(s.gate.dead)
	g.Eventually(s.gate.busy, "10s").Should(BeZero())
}

// pointsOf are all points in the life of a task.
func pointsOf(t *testing.T, command ...string) []point {
	t.Helper()
	s := enter(t, point{}, command...)
	s.run(soon(t), t)
	points := s.gate.points()
	t.Logf("%d points: %v", len(points), points)
	return points
}

// Wherever a task that saves is killed, no object is there that is not whole, and the next one succeeds and clears up.
func TestSaveThatIsKilled(t *testing.T) {
	long(t)
	points := pointsOf(t, "save")
	NewWithT(t).Expect(points).To(ContainElements(
		point{"list", atTheStart}, point{"Consul saves", inTheMiddle}, point{"begin", atTheAnswer}, point{"part 1", inTheMiddle},
		point{"part 2", atTheAnswer}, point{"complete", atTheAnswer}, point{"read", inTheMiddle},
	))
	begun := slices.Index(points, point{"begin", atTheAnswer})
	completed := slices.Index(points, point{"complete", atTheAnswer})
	for i, stop := range points { // one after the other
		t.Run(stop.String(), func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			s := enter(t, stop, "save")
			s.kill(ctx, t)
			left := []string{}
			if i >= begun && i < completed {
				left = append(left, "1.snap")
			}
			g.Expect(uploads(t, s.bucket)).To(Equal(left))
			stored, err := get(ctx, s.bucket, "1.snap")
			if i < completed {
				g.Expect(reasonOf(err)).To(Equal(reason.SnapshotMissing))
			} else {
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(bytes.Equal(stored, large())).To(BeTrue(), "it is whole")
			}

			s.run(ctx, t)
			stored, err = get(ctx, s.bucket, "1.snap")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(bytes.Equal(stored, large())).To(BeTrue())
			g.Expect(uploads(t, s.bucket)).To(BeEmpty())
		})
	}
}

// Where nobody may list what was begun, it stays until somebody may, and is in nobody's way.
func TestSaveThatIsKilledWhereNobodyMayList(t *testing.T) {
	g, ctx := NewWithT(t), soon(t)
	s := enter(t, point{"part 2", atTheAnswer}, "save")
	s.kill(ctx, t)
	s.lists.times = 1000
	s.run(ctx, t)
	s.lists.times = 0
	stored, err := get(ctx, s.bucket, "1.snap")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Equal(stored, large())).To(BeTrue())
	g.Expect(uploads(t, s.bucket)).To(ConsistOf("1.snap"))
	g.Expect(s.bucket.Delete(ctx, "1.snap")).To(Succeed())
	g.Expect(uploads(t, s.bucket)).To(BeEmpty())
}

// A file that a task which was killed has begun is no snapshot, and the next one takes its place.
func TestSaveIntoAFolderThatIsKilled(t *testing.T) {
	for _, at := range []string{atTheStart, inTheMiddle} {
		t.Run(at, func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			s := stage{gate: newGate(point{"Consul saves", at})}
			consul, _ := pretend(t, large(), s.gate.before)
			dir := t.TempDir()
			s.args = []string{"save", "--store=" + dir, "--consul=" + consul.Address, "1.snap"}
			s.kill(ctx, t)
			g.Expect(os.ReadDir(dir)).To(HaveExactElements(HaveField("Name()", ".1.snap.partial")))

			s.run(ctx, t)
			g.Expect(os.ReadDir(dir)).To(HaveExactElements(HaveField("Name()", "1.snap")))
			stored, err := os.ReadFile(filepath.Join(dir, "1.snap"))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(bytes.Equal(stored, large())).To(BeTrue())
		})
	}
}

// Wherever a task that restores is killed, Consul was given nothing, or no whole snapshot, or all of it; the next one succeeds.
func TestRestoreThatIsKilled(t *testing.T) {
	long(t)
	command := []string{"restore", "--datacenter=dc1", "--version=1.22.7"}
	points := pointsOf(t, command...)
	NewWithT(t).Expect(points).To(ConsistOf(
		point{"read", atTheStart}, point{"read", inTheMiddle}, point{"read (2)", atTheStart}, point{"read (2)", inTheMiddle},
		point{"Consul restores", atTheStart}, point{"Consul restores", inTheMiddle}, point{"Consul restores", atTheAnswer},
	))
	for _, stop := range points {
		t.Run(stop.String(), func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			s := enter(t, stop, command...)
			s.kill(ctx, t)
			given, restored := s.pretender.soFar()
			if stop.request == "read" || stop == (point{"Consul restores", atTheStart}) {
				g.Expect(given).To(BeEmpty(), "it had not begun")
			}
			if stop.at == atTheAnswer {
				g.Expect(restored).To(HaveLen(1))
			} else {
				g.Expect(restored).To(BeEmpty())
			}

			s.run(ctx, t)
			_, whole := s.pretender.all()
			g.Expect(whole).To(HaveLen(len(restored) + 1))
			for _, text := range whole {
				g.Expect(bytes.Equal(text, large())).To(BeTrue())
			}
		})
	}
}
