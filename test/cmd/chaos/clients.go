package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-operator/consul-operator/test/lib/await"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

const (
	clientCount = 6
	// pause is the longest one between two operations of a client.
	pause = 100 * time.Millisecond
	// sulk is how long a client does nothing after a request that failed, as clients do.
	sulk = 500 * time.Millisecond
	// patience is shorter than an election: operations without an outcome are what is wanted here.
	patience = 3 * time.Second
)

// everyServer are the addresses of all servers there are, whether they serve or not: a read that is stale would come
// from a leader that was deposed while it stood still, and the client Service does not lead to that one.
type everyServer struct {
	observer *observer.Observer
	access   load.Access
}

// Addresses returns where the HTTP APIs are, or were a moment ago.
func (e everyServer) Addresses() []string {
	var addresses []string
	for _, server := range e.observer.Snapshot().Servers {
		if server.Address != "" && server.State != observer.Gone {
			addresses = append(addresses, e.access.At(server.Address))
		}
	}
	return addresses
}

// notSent is why a request was never sent, so it cannot have had an effect.
type notSent struct{ error }

// clients read and write the same few keys at the same time and take down what they see.
type clients struct {
	history *history
	kv      *api.KV
	stop    context.CancelFunc
	done    sync.WaitGroup
}

func startClients(ctx context.Context, endpoints load.Endpoints, access load.Access, seed uint64) (*clients, error) {
	transport := &http.Transport{
		DisableKeepAlives: true, // Each request goes to any server.
		TLSClientConfig:   access.TLS.Clone(),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			address, err := load.Pick(endpoints)
			if err != nil {
				return nil, notSent{err}
			}
			connection, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, notSent{err}
			}
			return connection, nil
		},
	}
	consul, err := api.NewClient(&api.Config{
		Address: "consul", Scheme: access.Scheme(),
		HttpClient: &http.Client{Transport: access.Authenticated(transport), Timeout: patience},
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	c := &clients{history: newHistory(time.Now()), kv: consul.KV(), stop: stop}
	for i := range clientCount {
		one := &contender{clients: c, id: i, random: rand.New(rand.NewPCG(seed, uint64(i)+1))} //nolint:gosec // no secrets
		c.done.Go(func() { one.run(ctx) })
	}
	return c, nil
}

// finish lets the operations under way end.
func (c *clients) finish() {
	c.stop()
	c.done.Wait()
}

// readBack adds a read of every key to its history. A write that was acknowledged and is lost is found by it, even if
// nobody has looked at its key since.
func (c *clients) readBack(ctx context.Context) error {
	reader := &contender{clients: c, id: clientCount}
	for _, key := range c.history.keys() {
		if err := await.Success(ctx, 100*time.Millisecond, func() error {
			_, err := reader.read(ctx, key)
			return err
		}); err != nil {
			return fmt.Errorf("reading %s back: %w", key, err)
		}
	}
	return nil
}

// contender does one thing after another.
type contender struct {
	*clients
	id     int
	serial int
	random *rand.Rand
}

func (c *contender) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		// What was begun is finished: the end of the run is no outcome.
		next := time.Duration(c.random.Int64N(int64(pause)))
		if !c.one(context.WithoutCancel(ctx)) {
			next += sulk
		}
		timer.Reset(next)
	}
}

// one does one thing and says whether it was answered.
func (c *contender) one(ctx context.Context) bool {
	key := c.history.key(c.random.IntN(keysAtATime))
	switch n := c.random.IntN(10); {
	case n < 4:
		_, err := c.read(ctx, key)
		return err == nil
	case n < 7:
		return c.write(ctx, key) == nil
	default:
		pair, err := c.read(ctx, key)
		return err == nil && c.compareAndSet(ctx, key, pair) == nil
	}
}

func (c *contender) read(ctx context.Context, key string) (*api.KVPair, error) {
	called, r := time.Now(), request{action: read, key: key}
	pair, _, err := c.kv.Get(key, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	if err != nil {
		c.history.add(c.id, called, r, answer{}, failed)
		return nil, err
	}
	if pair == nil {
		pair = &api.KVPair{Key: key}
	}
	c.history.add(c.id, called, r, answer{value: string(pair.Value)}, succeeded)
	return pair, nil
}

func (c *contender) write(ctx context.Context, key string) error {
	r := request{action: write, key: key, value: c.newValue()}
	called := time.Now()
	_, err := c.kv.Put(&api.KVPair{Key: key, Value: []byte(r.value)}, (&api.WriteOptions{}).WithContext(ctx))
	c.history.add(c.id, called, r, answer{}, fateOf(err))
	return err
}

func (c *contender) compareAndSet(ctx context.Context, key string, before *api.KVPair) error {
	r := request{action: cas, key: key, expect: string(before.Value), value: c.newValue()}
	called := time.Now()
	pair := &api.KVPair{Key: key, Value: []byte(r.value), ModifyIndex: before.ModifyIndex}
	applied, _, err := c.kv.CAS(pair, (&api.WriteOptions{}).WithContext(ctx))
	c.history.add(c.id, called, r, answer{applied: applied}, fateOf(err))
	return err
}

// fateOf is what became of a write. An error that Consul answers with proves nothing: it may have forwarded the write before.
func fateOf(err error) fate {
	var before notSent
	switch {
	case err == nil:
		return succeeded
	case errors.As(err, &before):
		return failed
	}
	return unknown
}

// newValue is one that nobody else writes, and this client never again.
func (c *contender) newValue() string {
	c.serial++
	return fmt.Sprintf("%d.%d", c.id, c.serial)
}
