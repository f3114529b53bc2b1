// Package load writes to Consul's KV store the way applications do, counts every failure, and proves at the end
// that no acknowledged write was lost.
//
// There are two kinds of writer because they see an upgrade differently: one opens a connection for each write and
// so follows the client Service at once; the other keeps its connection until it breaks, as most clients do, and so
// may talk to a server that has long left the Service.
package load

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Kind is how a writer uses connections.
type Kind string

// The kinds of writer.
const (
	NewConnection Kind = "new connection"
	KeepAlive     Kind = "keep-alive"
)

// Kinds lists the kinds in the order in which reports show them.
var Kinds = []Kind{NewConnection, KeepAlive}

// DefaultRate leaves a quarter of two cores idle with a whole cluster on them. At 800 writes per second they are nearly
// busy, and what a transfer of leadership takes is then the machine's doing: three times as many writes fail (measured).
const DefaultRate = 600

// Options of a load. The zero value of a field means its default.
type Options struct {
	// Writers of each kind; 16 by default.
	Writers int
	// Rate is the target of all writers together, in writes per second; DefaultRate by default.
	Rate int
	// Timeout of one write, 10 s by default: longer than any hang we look for, so that hangs show up as latency.
	Timeout time.Duration
	// Access is how servers are called.
	Access Access
	// Run names this load and its keys; by default the time it starts.
	Run string
}

func (o Options) withDefaults() Options {
	if o.Writers <= 0 {
		o.Writers = 16
	}
	if o.Rate <= 0 {
		o.Rate = DefaultRate
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Run == "" {
		o.Run = strconv.FormatInt(time.Now().UnixMilli(), 36)
	}
	return o
}

// Load is a running, or finished, write load.
type Load struct {
	options   Options
	endpoints Endpoints
	recorder  *recorder
	writers   []*writer
	stop      context.CancelFunc
	abort     context.CancelFunc
	done      sync.WaitGroup

	mu      sync.Mutex
	rewinds []rewind
}

// rewind is a restore: of what was acknowledged between the beginning of the snapshot and the end of the restore, anything may be
// gone.
type rewind struct{ from, to time.Time }

// Rewound says that a snapshot was restored that began to be saved at one time, and that the restore had ended at another.
func (l *Load) Rewound(from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rewinds = append(l.rewinds, rewind{from, to})
}

// Start begins to write to the endpoints until Stop is called or the context ends.
func Start(ctx context.Context, endpoints Endpoints, options Options) *Load {
	options = options.withDefaults()
	l := &Load{options: options, endpoints: endpoints, recorder: newRecorder(time.Now())}
	requests, abort := context.WithCancel(ctx)
	running, stop := context.WithCancel(requests)
	l.stop, l.abort = stop, abort

	total := options.Writers * len(Kinds)
	interval := time.Duration(total) * time.Second / time.Duration(options.Rate)
	for i := range total {
		kind := Kinds[i%len(Kinds)]
		w := newWriter(l, kind, fmt.Sprintf("load/%s/%02d", options.Run, i))
		l.writers = append(l.writers, w)
		// Evenly spread over the interval: the gap between two writes is then a property of Consul, not of the load.
		offset := interval * time.Duration(i) / time.Duration(total)
		l.done.Go(func() { w.run(running, requests, offset, interval) })
	}
	return l
}

// Stop lets the writes under way finish, at most for one timeout, and returns what happened.
func (l *Load) Stop() Result {
	l.stop()
	l.done.Wait()
	l.abort()
	l.recorder.finish(time.Now())
	return l.Result()
}

// Result is what happened until now.
func (l *Load) Result() Result { return l.recorder.result() }

// Counters are the totals until now; cheap enough for a live view.
func (l *Load) Counters() Counters { return l.recorder.counters(time.Now()) }
