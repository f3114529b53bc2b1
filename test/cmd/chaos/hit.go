package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/test/lib/observer"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

// mostStopped is how many servers may stand still, or be cut off, at a time: of three, that is more than the cluster bears.
const mostStopped = 2

var errNoVictim = errors.New("there is no server to hit")

// victim draws one of the servers that can be hit, rather often the leader: that hurts most.
func (f *faults) victim(can func(observer.ServerNow) bool) (observer.ServerNow, error) {
	cannot := func(s observer.ServerNow) bool { return !can(s) }
	there := slices.DeleteFunc(f.Observer.Snapshot().Servers, cannot)
	if len(there) == 0 {
		return observer.ServerNow{}, errNoVictim
	}
	leads := slices.IndexFunc(there, func(s observer.ServerNow) bool { return s.Leader })
	i, rather := f.random.IntN(len(there)), f.random.IntN(3) == 0
	if rather && leads >= 0 {
		i = leads
	}
	return there[i], nil
}

// title is a server's name and what it is.
func title(s observer.ServerNow) string {
	if s.Leader {
		return s.Name + ", the leader"
	}
	return fmt.Sprintf("%s, %s", s.Name, s.State)
}

func exists(s observer.ServerNow) bool { return s.State != observer.Gone }

func (f *faults) runs(s observer.ServerNow) bool {
	_, running := f.running(s.Name)
	return running
}

func (f *faults) goesOn(s observer.ServerNow) bool {
	process, running := f.running(s.Name)
	f.mu.Lock()
	defer f.mu.Unlock()
	return running && !f.stopped[process.Pid]
}

func (f *faults) running(server string) (*os.Process, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return f.Process(ctx, server)
}

// killServer leaves the disk as it is, in the middle of whatever was written.
func (f *faults) killServer(context.Context) (string, error) {
	server, err := f.victim(f.runs)
	if err != nil {
		return "", err
	}
	f.Observer.Disturb()
	_, err = f.signal(server.Name, syscall.SIGKILL)
	return title(server), err
}

// killAll takes the quorum away. They come back on their disks.
func (f *faults) killAll(context.Context) (string, error) {
	f.Observer.Disturb()
	killed := 0
	for _, server := range f.Observer.Snapshot().Servers {
		switch _, err := f.signal(server.Name, syscall.SIGKILL); {
		case err == nil:
			killed++
		case !errors.Is(err, errNoVictim):
			return "", err
		}
	}
	return report.Count(killed, "server") + " at once", nil
}

func (f *faults) mayStop() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.stopped)+len(f.cut) < mostStopped
}

// stopServer is a partition's poor cousin: nobody hears of the server, and it does not know. A leader goes on believing
// that it leads.
func (f *faults) stopServer(context.Context) (string, error) {
	server, err := f.victim(f.goesOn)
	if err != nil {
		return "", err
	}
	f.Observer.Disturb()
	process, err := f.signal(server.Name, syscall.SIGSTOP)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	f.stopped[process.Pid] = true
	f.mu.Unlock()
	duration := f.seconds(2, 30)
	f.later(duration, func() error {
		f.Observer.Disturb() // It is back with what it knew then: that is a fault of its own.
		return f.resume(process)
	})
	return fmt.Sprintf("%s, for %s", title(server), report.Seconds(duration)), nil
}

func (f *faults) resume(process *os.Process) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.stopped, process.Pid)
	if err := process.Signal(syscall.SIGCONT); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil // It was killed meanwhile.
}

// signal returns the process that it has reached.
func (f *faults) signal(server string, signal syscall.Signal) (*os.Process, error) {
	process, running := f.running(server)
	if !running {
		return nil, fmt.Errorf("%w: %s does not run", errNoVictim, server)
	}
	err := process.Signal(signal)
	if errors.Is(err, os.ErrProcessDone) {
		err = fmt.Errorf("%w: %s has just ended", errNoVictim, server)
	}
	return process, err
}

// deletePod is what a drain does, or with no time left a node that is taken away.
func (f *faults) deletePod(ctx context.Context) (string, error) {
	server, err := f.victim(exists)
	if err != nil {
		return "", err
	}
	f.Observer.Disturb()
	how, err := f.removePod(ctx, server.Name)
	return title(server) + how, err
}

// mayDelete reports whether another server may lose its disk. No more than a minority of the voters may, so all others have to
// be there, and those that lost theirs before have to be replaced. A server that was stopped a moment ago looks as if it were
// there, and one that is being updated in place has no vote.
func (f *faults) mayDelete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.Observer.Snapshot()
	return len(f.stopped)+len(f.cut) == 0 && now.Whole && now.Voters >= f.spec.replicas
}

// deleteServer takes a disk away for good. The claim goes when no pod uses it any more.
func (f *faults) deleteServer(ctx context.Context) (string, error) {
	server, err := f.victim(exists)
	if err != nil {
		return "", err
	}
	f.Observer.Disturb()
	f.Observer.ForfeitClaim(server.Name)
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: f.Key.Namespace, Name: server.Name}}
	if err := f.Client.Delete(ctx, claim); err != nil {
		return "", err
	}
	how, err := f.removePod(ctx, server.Name)
	return title(server) + how, err
}

// removePod gives a pod the time it has by its spec, or none. Without grace its name is free at once, and a kubelet that is cut
// off would not know: two processes on one disk are a person's mistake, and none of what is tried here.
func (f *faults) removePod(ctx context.Context, name string) (string, error) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: f.Key.Namespace, Name: name}}
	f.mu.Lock()
	connected := len(f.cut) == 0
	f.mu.Unlock()
	if f.random.IntN(2) == 0 || !connected {
		return "", f.Client.Delete(ctx, pod)
	}
	return ", without grace", f.Client.Delete(ctx, pod, client.GracePeriodSeconds(0))
}

// killOperator breaks no invariant: the operator keeps nothing in memory, and Consul does without it. So it is no
// disturbance.
func (f *faults) killOperator(context.Context) (string, error) {
	f.KillOperator()
	duration := f.seconds(0, 8)
	f.during(operatorDown, duration, f.StartOperator)
	return "for " + report.Seconds(duration), nil
}
