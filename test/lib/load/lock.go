package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-operator/consul-operator/test/lib/await"
)

const (
	// LockTTL is the shortest that Consul accepts. It gives a session up between one and two of them after its last renewal.
	LockTTL = 10 * time.Second
	// renewEvery leaves several tries within the TTL, as clients of Consul do; one that fails is made again sooner.
	renewEvery = 2 * time.Second
	retryAfter = 200 * time.Millisecond
	// tryFor is how long acquiring it, or reading it in the end, may take.
	tryFor = time.Minute
	// decidedFor is how long a session that was given up may live on: a leader that decided so and lost its quorum carries it out
	// once it is elected again (seen 8 s later), or tries again (agent/consul/session_ttl.go: six times).
	decidedFor = time.Minute
	// answerWithin is short, so that a server that hangs is not what a lock is lost by.
	answerWithin = 2 * time.Second
)

// Lock is a lock that an application holds the whole time: a key that is acquired by a session, which is renewed again
// and again. Its session belongs to a node of the application's own in the catalog, as one of a client agent does. (One
// that a server creates for itself ends when that server leaves, whatever anybody does.)
type Lock struct {
	consul  *api.Client
	node    string
	key     string
	session string
	stop    context.CancelFunc
	done    sync.WaitGroup
	// gone and unrenewed are set before done is: how its session ended, and the longest time without a renewal if that was not
	// noticed.
	gone      error
	unrenewed time.Duration
}

// SessionEnded is how a lock is lost.
type SessionEnded struct {
	// Noticed is when a renewal was refused, Unrenewed the longest time between two renewals that succeeded, of those that may
	// be the cause: with less than LockTTL Consul has broken its promise, with more the application could not reach it.
	Noticed   time.Time
	Unrenewed time.Duration
}

func (e *SessionEnded) Error() string {
	return fmt.Sprintf("at %s Consul did not know its session any more, which was renewed within %s",
		e.Noticed.Format(time.TimeOnly), e.Unrenewed.Round(100*time.Millisecond))
}

// Unrenewed reports whether a lock was lost because the application could not renew its session in time.
func Unrenewed(lost error) bool {
	var ended *SessionEnded
	return errors.As(lost, &ended) && ended.Unrenewed > LockTTL
}

// TakeLock acquires a lock of this name, tries for up to a minute, and holds it until Stop is called.
func TakeLock(ctx context.Context, endpoints Endpoints, access Access, name string) (*Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	transport := access.Transport(func() (string, error) { return Pick(endpoints) })
	transport.DisableKeepAlives = true
	client := &http.Client{Transport: access.Authenticated(transport), Timeout: answerWithin}
	consul, err := api.NewClient(&api.Config{Address: "consul", Scheme: access.Scheme(), HttpClient: client})
	if err != nil {
		return nil, err
	}
	l := &Lock{consul: consul, node: "application-" + name, key: "locks/" + name}
	if err := await.Success(ctx, retryAfter, func() error { return l.acquire(ctx) }); err != nil {
		return nil, fmt.Errorf("acquire lock %s: %w", l.key, err)
	}
	holding, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.done.Go(func() { l.gone = l.hold(holding) })
	return l, nil
}

func (l *Lock) acquire(ctx context.Context) error {
	write := (&api.WriteOptions{}).WithContext(ctx)
	node := &api.CatalogRegistration{Node: l.node, Address: "127.0.0.1"}
	if _, err := l.consul.Catalog().Register(node, write); err != nil {
		return err
	}
	var err error
	if l.session == "" {
		entry := &api.SessionEntry{Node: l.node, TTL: LockTTL.String(), LockDelay: time.Millisecond}
		if l.session, _, err = l.consul.Session().CreateNoChecks(entry, write); err != nil {
			return err
		}
	}
	acquired, _, err := l.consul.KV().Acquire(&api.KVPair{Key: l.key, Session: l.session}, write)
	if err != nil {
		l.session = "" // it may have ended meanwhile: nobody renews it yet
		return err
	}
	if !acquired {
		return errors.New("somebody else holds it")
	}
	return nil
}

// hold renews the session until the context ends, or Consul says that there is none.
func (l *Lock) hold(ctx context.Context) error {
	pause, renewals := renewEvery, renewals{last: time.Now()}
	for await.Sleep(ctx, pause) == nil {
		asked := time.Now()
		pause = retryAfter
		switch entry, _, err := l.consul.Session().Renew(l.session, (&api.WriteOptions{}).WithContext(ctx)); {
		case err != nil:
		case entry != nil:
			pause = renewEvery
			renewals.add(asked)
		case l.ended(ctx):
			return &SessionEnded{Noticed: time.Now(), Unrenewed: renewals.longest(asked)}
		}
	}
	l.unrenewed = renewals.longest(time.Now())
	return nil
}

// ended reports whether the session is gone that could not be renewed. A renewal is answered from the leader's state as it is: a
// leader that was started again together with a quorum has not applied its log for some milliseconds, and knows no session
// (seen in 3 of 96 such restarts on a busy machine). A consistent read waits until it has.
func (l *Lock) ended(ctx context.Context) bool {
	entry, _, err := l.consul.Session().Info(l.session, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	return err == nil && entry == nil
}

// renewals are the times at which a session was renewed.
type renewals struct {
	last time.Time
	// late is the last one that came later than the TTL allows, and by how much.
	late time.Time
	gap  time.Duration
}

func (r *renewals) add(at time.Time) {
	if gap := at.Sub(r.last); gap > LockTTL {
		r.late, r.gap = at, gap
	}
	r.last = at
}

// longest is the longest time without a renewal for which a session may have been given up that is gone at some time.
func (r *renewals) longest(at time.Time) time.Duration {
	gap := at.Sub(r.last)
	if at.Sub(r.late) < decidedFor {
		gap = max(gap, r.gap)
	}
	return gap
}

// Stop ends the renewals.
func (l *Lock) Stop() {
	l.stop()
	l.done.Wait()
}

// Check is nil if the lock was held all the time: nobody has acquired it since, nor did its session end. Reading is tried
// for up to a minute, with renewals, which end then.
func (l *Lock) Check(ctx context.Context) error {
	defer l.Stop()
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	var pair *api.KVPair
	if err := await.Success(ctx, retryAfter, func() (err error) {
		pair, _, err = l.consul.KV().Get(l.key, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		return err
	}); err != nil {
		return fmt.Errorf("read lock %s: %w", l.key, err)
	}
	return l.judge(pair)
}

func (l *Lock) judge(pair *api.KVPair) error {
	l.Stop()
	switch {
	case l.gone != nil:
		return fmt.Errorf("lock %s was lost: %w", l.key, l.gone)
	case pair == nil:
		return fmt.Errorf("lock %s was lost: its key does not exist", l.key)
	case pair.Session == "": // nobody could tell it yet
		return fmt.Errorf("lock %s was lost: %w", l.key, &SessionEnded{Noticed: time.Now(), Unrenewed: l.unrenewed})
	case pair.Session != l.session:
		return fmt.Errorf("lock %s was lost: it belongs to session %q", l.key, pair.Session)
	case pair.LockIndex != 1:
		return fmt.Errorf("lock %s was lost: it was acquired %d times", l.key, pair.LockIndex)
	}
	return nil
}
