package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// mostSilence is how long Consul or a store may send nothing, or take nothing: the leader writes all of its state to a disk
// before it answers.
var mostSilence = 5 * time.Minute

// watch ends a request in which nothing moves any more.
type watch struct {
	timer *time.Timer
	stop  context.CancelFunc
}

func watched(ctx context.Context) (context.Context, watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(mostSilence, func() { cancel(fmt.Errorf("nothing moved for %s", mostSilence)) })
	return ctx, watch{timer, func() { timer.Stop(); cancel(nil) }}
}

// moving is a stream that is watched. It cannot be closed: a request closes its body before the answer comes.
type moving struct {
	from  io.Reader
	watch watch
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.watch.timer.Reset(mostSilence)
	if err != nil { // what follows takes as long as it takes: a leader that restores does not say anything meanwhile
		m.watch.timer.Stop()
	}
	return n, err
}

// answer is what Consul or a store sends.
type answer struct {
	moving
	io.Closer
	// broken is the reason if it breaks off, and whose says who sends it.
	broken reason.Reason
	whose  string
}

func (a answer) Read(p []byte) (int, error) {
	n, err := a.moving.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = failed(a.broken, fmt.Errorf("%s stopped in the middle of its answer: %w", a.whose, err))
	}
	return n, err
}

func (a answer) Close() error {
	a.watch.stop()
	return a.Closer.Close()
}
