package consul

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// A watch comes in two halves: a method sends the request, and returns a function that waits for what comes. They do not use
// package api, which does both at once: sending takes 16 KiB of stack, waiting a quarter of that, and Go keeps what a goroutine
// has had if more than a quarter of it is in use. So a Watcher waits in another goroutine than the one that has sent the request.

// WatchServers is GET /v1/health/service/consul?index=&wait=. The index is that of this service: writes to the KV store and
// other services do not change it. Call it on the leader's agent, where the catalog is never behind. Of the answer only the index
// counts, which is in the header: the rest is not read.
func (a *agent) WatchServers(ctx context.Context, index uint64, wait time.Duration) func() (next uint64, err error) {
	limit := a.timeout
	if index > 0 { // Consul adds up to wait/16, so that queries do not all end at once
		limit += wait + wait/16
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	trip := &tripper{ctx: ctx, target: a.target}
	sent, err := a.sendServersQuery(trip, index, wait)
	return func() (uint64, error) {
		defer cancel()
		var next uint64
		if err == nil {
			next, err = readIndex(sent)
		}
		if err != nil {
			return 0, a.failed("watch of the servers", trip, withCause(ctx, err))
		}
		return next, nil
	}
}

func (a *agent) sendServersQuery(trip *tripper, index uint64, wait time.Duration) (*sent, error) {
	req, err := a.get(trip.ctx, fmt.Sprintf("/v1/health/service/consul?index=%d&wait=%dms", index, wait.Milliseconds()))
	if err != nil {
		return nil, err
	}
	return a.line.send(trip.own(req, a.target.tokenFor(req.URL.Path)))
}

func readIndex(of *sent) (uint64, error) {
	resp, err := of.answer()
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := refusal(resp); err != nil {
		return 0, err
	}
	index, err := strconv.ParseUint(resp.Header.Get("X-Consul-Index"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: it has no index", errStrange)
	}
	return index, nil
}

// leaderSigns are texts that servers log when leadership moves, the same in 1.19.2 and 1.22.7 (measured). They are hints, not
// facts: they may also appear in other lines, and a line may get lost if the agent logs faster than we read.
var leaderSigns = []string{
	"New leader elected",                           // on every server, by a Serf event from the new leader
	"cluster leadership lost",                      // on the old leader, even if there is no new one
	"heartbeat timeout reached, starting election", // on a follower that misses its leader
}

// WatchLeader reads GET /v1/agent/monitor?loglevel=info, the agent's log as a stream.
//
// No blocking query of Consul reports a new leader. Measured, with leadership transferred from outside while each was open, on
// the old leader and on a follower:
//   - /v1/health/service/consul, also with ?stale, on the old leader: nothing in 25 s. The catalog does not change, and losing
//     leadership ends no query.
//   - /v1/agent/metrics/stream: 25 kB every 10 s, and it ended by itself at a NaN, which also put an error into the server's
//     log.
//   - /v1/agent/monitor: the old and the new leader log it within 20 ms; other servers when the event from the new leader
//     reaches them, within 200 ms. The agent sends its lines every 200 ms, so all know within 0.4 s. Between elections an idle
//     server logs nothing at this level. The level is that of the stream: an agent with log_level=error sends the same lines.
//
// It is one call, however long it stays open. It needs agent:read if ACLs are enabled.
func (a *agent) WatchLeader(ctx context.Context) func(changed func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	trip := &tripper{ctx: ctx, target: a.target, next: a.line}
	log, err := a.openLog(trip, cancel)
	return func(changed func()) error {
		defer cancel(nil)
		if err == nil {
			changed()
			err = readLog(log, changed)
		}
		return a.failed("watch of the leader", trip, withCause(ctx, err))
	}
}

// openLog opens the stream. It does not use Monitor of package api, whose goroutine outlives the stream.
func (a *agent) openLog(trip *tripper, cancel context.CancelCauseFunc) (io.ReadCloser, error) {
	req, err := a.get(trip.ctx, "/v1/agent/monitor?loglevel=info")
	if err != nil {
		return nil, err
	}
	// An agent sends the header at once (measured) unless it hangs.
	late := time.AfterFunc(a.timeout, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	resp, err := trip.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := refusal(resp); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp.Body, nil
}

func (a *agent) get(ctx context.Context, path string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodGet, a.target.scheme()+"://"+a.target.Address+path, nil)
}

// refusal is nil if the agent does what it is asked for.
func refusal(resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	return api.StatusError{Code: resp.StatusCode, Body: string(body)}
}

// readLog never returns nil: a log has no end.
func readLog(log io.ReadCloser, changed func()) error {
	defer func() { _ = log.Close() }()
	return eachLine(log, func(line string) {
		for _, sign := range leaderSigns {
			if strings.Contains(line, sign) {
				changed()
				return
			}
		}
	})
}

// eachLine calls do with each line until the end, or until there are more than an agent logs. A line that does not fit into
// the buffer comes in parts.
func eachLine(r io.Reader, do func(line string)) error {
	limiter := newLogLimiter()
	for lines := bufio.NewReaderSize(r, lineBuffer); ; {
		line, _, err := lines.ReadLine()
		if err != nil {
			return err
		}
		if !limiter.AllowN(time.Now(), len(line)+lineCost) {
			return fmt.Errorf("%w: it logs more than %d bytes a second", errStrange, logRate)
		}
		do(string(line))
	}
}
