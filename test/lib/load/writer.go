package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// checkpointEvery is after how many writes a writer goes on with its next key. The keys it leaves behind are checked
// in the end as well, so that a loss in the middle cannot be hidden by the writes after it.
const checkpointEvery = 250

// servicePath follows the scheme, and the client Service. Its name is never resolved: like kube-proxy, the dialer picks an
// endpoint for each new connection, and an open connection stays where it is.
const servicePath = "://consul/v1/kv/"

// trail is one key of a writer: the numbers written to it, one after another, and whether the last attempt failed.
//
// A failed write may still be applied, even late. So a writer never goes on with a key after a failure: then nothing
// but the last acknowledged number, or the one attempt that followed it, may be the key's final value.
type trail struct {
	key   string
	acked int       // the last acknowledged number; numbers begin with 1
	at    time.Time // when that was
	open  bool      // one more attempt was made whose fate is unknown
}

type writer struct {
	load      *Load
	kind      Kind
	prefix    string
	transport *http.Transport
	client    *http.Client
	trails    []trail // with at least one acknowledged write each
	serial    int
	server    atomic.Value // string: the endpoint of the connection in use; dialed on a goroutine of net/http
}

func newWriter(l *Load, kind Kind, prefix string) *writer {
	w := &writer{load: l, kind: kind, prefix: prefix}
	w.transport = l.options.Access.Transport(w.pick)
	w.transport.DisableKeepAlives = kind == NewConnection
	w.transport.MaxConnsPerHost = 1 // one connection per writer, as its name says
	w.client = &http.Client{Transport: l.options.Access.Authenticated(w.transport), Timeout: l.options.Timeout}
	return w
}

func (w *writer) pick() (string, error) {
	address, err := Pick(w.load.endpoints)
	if err == nil {
		w.server.Store(address)
	}
	return address, err
}

// run writes once per interval until running ends. It waits for each answer, as applications do, and makes up for at
// most one write that was late, so that no burst follows an outage.
func (w *writer) run(running, requests context.Context, offset, interval time.Duration) {
	defer w.transport.CloseIdleConnections()
	next := time.Now().Add(offset)
	timer := time.NewTimer(offset)
	defer timer.Stop()
	current := w.nextTrail()
	for {
		select {
		case <-running.Done():
			w.keep(current)
			return
		case <-timer.C:
		}
		current = w.step(requests, current)
		next = next.Add(interval)
		if late := time.Now().Add(-interval); next.Before(late) {
			next = late
		}
		timer.Reset(max(0, time.Until(next)))
	}
}

// step makes one write and returns the trail for the next one.
func (w *writer) step(ctx context.Context, current trail) trail {
	start := time.Now()
	class := w.put(ctx, current.key, current.acked+1)
	if class != "" && ctx.Err() != nil {
		current.open = true // Aborted by us: its fate is unknown, and nobody's failure.
		return current
	}
	server, _ := w.server.Load().(string)
	w.load.recorder.add(w.kind, class, server, start)
	if class == "" {
		current.acked, current.at = current.acked+1, time.Now()
		if current.acked < checkpointEvery {
			return current
		}
	} else {
		current.open = true
		// As a client does whose request failed: the next one connects anew, to any serving endpoint.
		w.transport.CloseIdleConnections()
	}
	w.keep(current)
	return w.nextTrail()
}

func (w *writer) keep(t trail) {
	if t.acked > 0 {
		w.trails = append(w.trails, t)
	}
}

func (w *writer) nextTrail() trail {
	w.serial++
	return trail{key: fmt.Sprintf("%s/%05d", w.prefix, w.serial)}
}

// put returns the class of its failure, or "" if the write was acknowledged.
func (w *writer) put(ctx context.Context, key string, number int) string {
	body := bytes.NewReader([]byte(strconv.Itoa(number)))
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, w.load.options.Access.Scheme()+servicePath+key, body)
	if err != nil {
		return err.Error()
	}
	// Without it net/http cannot repeat a request on its own: each attempt is to be seen.
	request.GetBody = nil
	response, err := w.client.Do(request)
	if err != nil {
		return classifyError(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return classifyError(err)
	}
	return classifyAnswer(response.StatusCode, answer)
}
