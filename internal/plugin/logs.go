package plugin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/internal/resources"
)

const (
	// logPatience is how long a line waits for those of other servers while logs are followed.
	logPatience = time.Second
	// lookForServers is how often servers that are new are looked for.
	lookForServers = 2 * time.Second
)

// logOptions say which lines are shown.
type logOptions struct {
	since  time.Duration
	tail   int64
	follow bool
	server string
}

func (s *session) logsCommand() *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use: "logs [CLUSTER]", Args: clusterArgs, Short: "Show the logs of all servers in the order of time",
		Long: `Show the logs of all servers in the order of time. Lines about who leads begin with "* ".

With --follow, servers that come later are followed as well.`,
		Example: `  kubectl consul logs --since 10m
  kubectl consul logs consul --follow --tail 20
  kubectl consul logs | grep '^\*'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.since != 0 && o.since < time.Second || o.tail < -1 {
				return usage("--since is at least 1s, and --tail is no negative number")
			}
			if err := s.on(cmd.Context(), args); err != nil {
				return err
			}
			return s.logs(cmd.Context(), o)
		},
	}
	cmd.Flags().DurationVar(&o.since, "since", 0, "leave out what is older, such as 10m")
	cmd.Flags().Int64Var(&o.tail, "tail", -1, "only so many of the last lines of each server")
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on until Ctrl-C")
	cmd.Flags().StringVar(&o.server, "pod", "", "one server only")
	return cmd
}

func (s *session) logs(ctx context.Context, o logOptions) error {
	core, err := s.core()
	if err != nil {
		return err
	}
	r := &reading{
		session: s, asked: o, core: core, show: plainLine, merger: newMerger(math.MaxInt64),
		events: make(chan logEvent), known: map[string]*container{},
	}
	if isTerminal(s.Out) {
		r.show = coloredLine
	}
	if o.follow {
		r.merger = newMerger(logPatience)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	switch err := r.run(ctx); {
	case ctx.Err() != nil:
		return &codedError{code: exitInterrupted}
	default:
		return err
	}
}

// reading is how the logs of the servers are read.
type reading struct {
	*session
	asked  logOptions
	core   *rest.RESTClient
	show   style
	merger *merger
	events chan logEvent
	// known are the containers whose logs were opened, by their ids.
	known map[string]*container
	// columns is how long the longest name of a server is.
	columns int
	// blind is why new servers are not seen; empty if they are.
	blind string
}

// container is one whose log is, or was read.
type container struct {
	server string
	isOpen bool
	// last is when it logged the last line that was read.
	last time.Time
	// failure is why its log could not be read.
	failure error
}

// logEvent is a line of a container, or the end of its log.
type logEvent struct {
	id   string
	line logLine
	end  bool
	err  error
}

func (r *reading) run(ctx context.Context) error {
	pods, err := r.pods(ctx)
	if err != nil {
		return err
	}
	r.openAll(ctx, pods, r.first())
	if len(r.known) == 0 && !r.asked.follow {
		return r.hasNone(pods)
	}
	flush := time.NewTicker(logPatience / 5)
	defer flush.Stop()
	look := time.NewTicker(lookForServers)
	defer look.Stop()
	for r.asked.follow || !r.merger.isEmpty() {
		if err := r.next(ctx, flush.C, look.C); err != nil {
			return err
		}
		for _, line := range r.merger.due(time.Now()) {
			fmt.Fprint(r.Out, r.show(line, r.columns))
		}
	}
	return r.failures()
}

// next waits until something has happened.
func (r *reading) next(ctx context.Context, flush, look <-chan time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case event := <-r.events:
		return r.take(event)
	case <-look:
		if r.asked.follow {
			r.lookAgain(ctx)
		}
	case <-flush:
	}
	return nil
}

// hasNone says why there is no log.
func (r *reading) hasNone(pods []corev1.Pod) error {
	if r.asked.server != "" {
		if _, err := named(pods, r.asked.server); err != nil {
			return err
		}
	}
	return fmt.Errorf("no server of %s has a log; why, this says: kubectl consul explain %s -n %s", r.key.Name, r.key.Name,
		r.key.Namespace)
}

// first says which of the lines that there are already are shown.
func (r *reading) first() corev1.PodLogOptions {
	options := r.options()
	if r.asked.since > 0 {
		options.SinceSeconds = ptr.To(int64(math.Ceil(r.asked.since.Seconds())))
	}
	if r.asked.tail >= 0 {
		options.TailLines = ptr.To(r.asked.tail)
	}
	return options
}

func (r *reading) options() corev1.PodLogOptions {
	return corev1.PodLogOptions{Container: resources.ContainerConsul, Timestamps: true, Follow: r.asked.follow}
}

// openAll opens the logs that are not open.
func (r *reading) openAll(ctx context.Context, pods []corev1.Pod, options corev1.PodLogOptions) {
	for i := range pods {
		pod := &pods[i]
		if r.asked.server != "" && pod.Name != r.asked.server {
			continue
		}
		id := consulIn(pod).ContainerID
		of, isKnown := r.known[id]
		switch {
		case id == "", isKnown && (of.isOpen || !runs(pod)): // it was not created yet, or it has said all
			continue
		case !isKnown:
			of = &container{server: pod.Name}
			r.known[id], r.columns = of, max(r.columns, len(pod.Name))
			r.start(ctx, id, of, options)
		default: // the API server ends what takes too long: it goes on from there
			resumed := r.options()
			resumed.SinceTime = &metav1.Time{Time: of.last}
			r.start(ctx, id, of, resumed)
		}
	}
}

// lookAgain finds servers that are new. They have logged nothing that should be left out.
func (r *reading) lookAgain(ctx context.Context) {
	pods, err := r.pods(ctx)
	if err == nil {
		r.openAll(ctx, pods, r.options())
		r.blind = ""
		return
	}
	if why := err.Error(); why != r.blind && ctx.Err() == nil {
		r.blind = why
		fmt.Fprintf(r.ErrOut, "new servers are not seen for now: %s\n", why)
	}
}

// take notes what was read. It fails if nothing can be.
func (r *reading) take(event logEvent) error {
	of := r.known[event.id]
	switch {
	case !event.end:
		of.last = event.line.at
		r.merger.add(event.id, event.line, time.Now())
		return nil
	case apierrors.IsForbidden(event.err):
		return explained(event.err)
	}
	of.isOpen = false
	r.merger.end(event.id)
	isNew := event.err != nil && (of.failure == nil || of.failure.Error() != event.err.Error())
	if of.failure = event.err; isNew && r.asked.follow {
		fmt.Fprintf(r.ErrOut, "the log of %s cannot be read: %v\n", of.server, event.err)
	}
	return nil
}

// failures are why logs could not be read, or not to their end. A server that has left meanwhile is none.
func (r *reading) failures() error {
	var all []error
	for _, of := range r.known {
		if of.failure != nil && !apierrors.IsNotFound(of.failure) {
			all = append(all, fmt.Errorf("the log of %s: %w", of.server, explained(of.failure)))
		}
	}
	return errors.Join(all...)
}
