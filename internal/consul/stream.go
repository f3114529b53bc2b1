package consul

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

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
func (a *agent) WatchLeader(ctx context.Context, changed func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	trip := &tripper{ctx: ctx, target: a.target, next: a.line}
	err := a.readLog(trip, cancel, changed)
	return a.failed("watch of the leader", trip, withCause(ctx, err))
}

// readLog never returns nil: a log has no end. It does not use Monitor of package api, whose goroutine outlives the stream.
func (a *agent) readLog(trip *tripper, cancel context.CancelCauseFunc, changed func()) error {
	url := a.target.scheme() + "://" + a.target.Address + "/v1/agent/monitor?loglevel=info"
	req, err := http.NewRequestWithContext(trip.ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// An agent sends the header at once (measured) unless it hangs.
	late := time.AfterFunc(a.timeout, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	resp, err := trip.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
		return api.StatusError{Code: resp.StatusCode, Body: string(body)}
	}
	late.Stop()
	changed()
	return eachLine(resp.Body, func(line string) {
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
