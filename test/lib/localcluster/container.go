package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Back-off of restarts and of pulls, as a kubelet has it.
const (
	backOffInitial = 10 * time.Second
	backOffMax     = 5 * time.Minute
	backOffReset   = 10 * time.Minute // a container that ran this long starts afresh
)

// container runs one container of a pod, again and again as its restart policy wants.
type container struct {
	worker *podWorker
	spec   *corev1.Container
	init   bool

	ctx  context.Context // its end is the order to stop
	stop context.CancelFunc
	done chan struct{}

	hasStarted  chan struct{} // closed when it started for the first time, its startup probe included
	startedOnce sync.Once

	// files is held while files of volumes are written, of the newest pod: roots are the directories of the volumes, and paths is
	// what stands for which path in them.
	files sync.Mutex
	roots map[string]string
	paths rewriter

	// guarded by worker.mu
	state, last    corev1.ContainerState
	restarts       int32
	launched       bool
	started, ready bool
	proc           *process
}

func newContainer(w *podWorker, spec *corev1.Container, init bool) *container {
	c := &container{
		worker: w, spec: spec, init: init,
		done: make(chan struct{}), hasStarted: make(chan struct{}),
	}
	c.state.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	if len(w.pod.Spec.InitContainers) > 0 {
		c.state.Waiting.Reason = "PodInitializing"
	}
	parent := w.stopping
	if c.sidecar() { // outlives the stop of the main containers
		parent = w.hard
	}
	c.ctx, c.stop = context.WithCancel(parent)
	return c
}

// sidecar tells an init container that keeps running beside the main ones.
func (c *container) sidecar() bool {
	return c.init && c.spec.RestartPolicy != nil && *c.spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// home is the container's own directory; rootfs in it is the working directory of its process.
func (c *container) home() string   { return filepath.Join(c.worker.dir, c.spec.Name) }
func (c *container) rootfs() string { return filepath.Join(c.home(), "rootfs") }
func (c *container) logFile() string {
	return filepath.Join(c.worker.logDir, c.spec.Name+".log")
}

func (c *container) run() {
	defer close(c.done)
	delay := time.Duration(0)
	for {
		run := c.create()
		if run == nil {
			c.notRestarted()
			return
		}
		ended, sick := c.runOnce(run)
		again := c.ctx.Err() == nil && c.mayRestart(ended.ExitCode, sick)
		if sick && again {
			c.killed(ended)
		} else {
			c.exited(ended)
		}
		if !again {
			return
		}
		if ended.FinishedAt.Sub(ended.StartedAt.Time) > backOffReset {
			delay = 0
		}
		if delay > 0 && !c.crashLoop(ended, delay) {
			return
		}
		delay = nextBackOff(delay)
	}
}

func nextBackOff(delay time.Duration) time.Duration {
	return max(backOffInitial, min(2*delay, backOffMax))
}

// mayRestart follows the restart policy. What a kubelet has killed because it was sick, it starts again however it ended,
// unless the policy is Never (computePodActions in pkg/kubelet/kuberuntime).
func (c *container) mayRestart(exitCode int32, sick bool) bool {
	policy := c.worker.newest().Spec.RestartPolicy
	switch {
	case c.sidecar(), sick && policy != corev1.RestartPolicyNever:
		return true
	case c.init || policy == corev1.RestartPolicyOnFailure:
		return exitCode != 0 && policy != corev1.RestartPolicyNever
	}
	return policy == corev1.RestartPolicyAlways
}

func (c *container) succeeded() bool {
	c.worker.mu.Lock()
	defer c.worker.mu.Unlock()
	return c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
}

// crashLoop waits; false when the container is to stop instead.
func (c *container) crashLoop(ended *corev1.ContainerStateTerminated, delay time.Duration) bool {
	message := fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
		delay, c.spec.Name, c.worker.key.Name, c.worker.key.Namespace, c.worker.uid)
	c.worker.event(corev1.EventTypeWarning, "BackOff", "%s", message)
	c.worker.update(func() {
		c.last = corev1.ContainerState{Terminated: ended}
		c.state = waiting("CrashLoopBackOff", message)
	})
	return sleep(c.ctx, delay)
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// create gathers all a start needs, and waits for what is missing; nil when the container is to stop instead.
func (c *container) create() *execution {
	var pullDelay time.Duration
	for c.ctx.Err() == nil {
		run, err := c.tryCreate()
		var pull *pullError
		var config *configError
		switch {
		case err == nil:
			return run
		case errors.As(err, &pull):
			pullDelay = nextBackOff(pullDelay)
			if !c.pullFailed(pull, pullDelay) {
				return nil
			}
			continue
		case errors.As(err, &config):
			c.wait("CreateContainerConfigError", config.Error())
			c.worker.event(corev1.EventTypeWarning, "Failed", "Error: %s", config)
		default: // a volume is not there yet; a kubelet tells so in an event only
			c.worker.event(corev1.EventTypeWarning, "FailedMount", "%s", err)
		}
		sleep(c.ctx, 500*time.Millisecond)
	}
	return nil
}

func (c *container) wait(reason, message string) {
	c.worker.update(func() {
		if c.state.Terminated != nil {
			c.last = c.state
		}
		c.state = waiting(reason, message)
	})
}

func (c *container) pullFailed(pull *pullError, delay time.Duration) bool {
	c.wait("ErrImagePull", pull.Error())
	c.worker.event(corev1.EventTypeWarning, "Failed", "Error: ErrImagePull: %s", pull)
	if !sleep(c.ctx, time.Second) {
		return false
	}
	c.wait("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", c.spec.Image, pull))
	return sleep(c.ctx, delay-time.Second)
}

// runOnce starts the process and sees it to its end. It tells whether the process was killed because it was sick.
func (c *container) runOnce(run *execution) (ended *corev1.ContainerStateTerminated, sick bool) {
	startedAt := metav1.Now()
	logFile, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // read by people
	if err != nil {
		return startError(err, startedAt), false
	}
	defer func() { _ = logFile.Close() }()
	logStart, _ := logFile.Seek(0, 2)
	cmd := run.command(append(append([]string{}, run.entrypoint...), run.args...))
	cmd.Stdout, cmd.Stderr = logFile, logFile
	proc, err := c.worker.kubelet.processes.start(cmd)
	if err != nil {
		c.worker.event(corev1.EventTypeWarning, "Failed", "Error: %s", err)
		return startError(err, startedAt), false
	}
	c.running(proc, startedAt)
	sick = c.supervise(run, proc)
	return c.terminated(proc, startedAt, logStart), sick
}

func (c *container) running(proc *process, startedAt metav1.Time) {
	c.worker.update(func() {
		if c.state.Terminated != nil {
			c.last = c.state
		}
		if c.launched {
			c.restarts++
		}
		c.launched = true
		c.proc = proc
		c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: startedAt}}
	})
	c.worker.event(corev1.EventTypeNormal, "Started", "Started container %s", c.spec.Name)
}

// supervise probes the process and returns when it is gone: whether it was killed because it was sick.
func (c *container) supervise(run *execution, proc *process) (sick bool) {
	ctx, cancel := context.WithCancel(c.worker.forced)
	unhealthy := make(chan time.Duration, 1)
	var probes sync.WaitGroup
	probes.Go(func() {
		if c.postStart(ctx, run, unhealthy) {
			c.probeAll(ctx, run, unhealthy)
		}
	})
	select {
	case <-proc.exited:
	case grace := <-unhealthy:
		sick = true
		c.terminate(proc, run, grace)
	case <-c.ctx.Done():
		c.worker.event(corev1.EventTypeNormal, "Killing", "Stopping container %s", c.spec.Name)
		c.terminate(proc, run, backOffReset) // in truth as long as the pod's grace period lasts
	}
	cancel()
	probes.Wait()
	return sick
}

// terminate stops the process: preStop, SIGTERM, SIGKILL. A preStop hook that used up the time leaves it two seconds.
func (c *container) terminate(proc *process, run *execution, grace time.Duration) {
	ctx, cancel := context.WithTimeout(c.worker.hard, grace)
	defer cancel()
	c.preStop(ctx, run, proc)
	proc.signal(sigTerm)
	extra, cancelExtra := context.WithTimeout(c.worker.forced, 2*time.Second)
	defer cancelExtra()
	for _, limit := range []context.Context{ctx, extra} {
		select {
		case <-proc.exited:
			return
		case <-limit.Done():
		}
	}
	proc.kill()
}

func (c *container) terminated(proc *process, startedAt metav1.Time, logStart int64) *corev1.ContainerStateTerminated {
	ended := &corev1.ContainerStateTerminated{
		ExitCode: proc.exitCode(), Reason: "Completed", StartedAt: startedAt, FinishedAt: metav1.Now(),
		ContainerID: c.containerID(),
	}
	if ended.Message = c.terminationMessage(); ended.ExitCode != 0 {
		ended.Reason = "Error"
		if ended.Message == "" && c.spec.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError {
			ended.Message = tail(c.logFile(), logStart)
		}
	}
	return ended
}

// mostTermination is how many bytes of the file a kubelet takes.
const mostTermination = 4096

// terminationFile stands for the file in which a container leaves a message.
func (c *container) terminationFile() string { return filepath.Join(c.home(), "termination-log") }

func (c *container) terminationMessage() string {
	text, err := os.ReadFile(c.terminationFile())
	if err != nil {
		return ""
	}
	return string(text[:min(len(text), mostTermination)])
}

func startError(err error, startedAt metav1.Time) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{
		ExitCode: 128, Reason: "StartError", Message: err.Error(), StartedAt: startedAt, FinishedAt: metav1.Now(),
	}
}

func (c *container) exited(ended *corev1.ContainerStateTerminated) {
	c.worker.update(func() {
		if c.state.Terminated != nil {
			c.last = c.state
		}
		if c.proc == nil && c.launched { // did not even start
			c.restarts++
		}
		c.launched = true
		c.proc, c.started, c.ready = nil, false, false
		c.state = corev1.ContainerState{Terminated: ended}
	})
}

// killed takes note of an end that was no end of the container: a kubelet kills what is sick and starts it again in one step, so
// it never reports the state in between. The API server would let nothing follow on it that has ended in order under OnFailure.
func (c *container) killed(ended *corev1.ContainerStateTerminated) {
	c.worker.update(func() {
		c.proc, c.started, c.ready = nil, false, false
		c.last = corev1.ContainerState{Terminated: ended}
	})
}

// notRestarted reports the end of what was killed, and then was to stop before it could start again.
func (c *container) notRestarted() {
	c.worker.update(func() {
		if c.state.Running != nil {
			c.state, c.last = c.last, corev1.ContainerState{}
		}
	})
}

func (c *container) containerID() string {
	return fmt.Sprintf("process://%s/%s", c.worker.uid, c.spec.Name)
}

// tail returns the end of a log, as much as a termination message may hold.
func tail(path string, from int64) string {
	data, err := os.ReadFile(path) //nolint:gosec // our own log
	if err != nil || int64(len(data)) < from {
		return ""
	}
	data = data[from:]
	return string(data[max(0, len(data)-2048):])
}
