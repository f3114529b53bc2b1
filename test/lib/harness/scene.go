package harness

import (
	"cmp"
	"context"
	"crypto/x509"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

// readLimit is how long reading back what was written may take.
const readLimit = time.Minute

// Scene is one cluster of Consul servers in an environment, with an observer beside it and with clients: a load, and an
// application that holds a lock. All of them end with Close.
type Scene struct {
	*Env
	Key      client.ObjectKey
	Observer *observer.Observer
	Load     *load.Load
	Lock     *load.Lock

	own bool // the environment ends with the scene
	// access is how the servers are called, once that is known, and authorities are whom clients believe.
	access      *load.Access
	token       load.Token
	authorities atomic.Pointer[x509.CertPool]
}

// Open starts an environment for one scene.
func Open(ctx context.Context, options Options) (*Scene, error) {
	env, err := Start(ctx, options)
	if err != nil {
		return nil, err
	}
	return &Scene{Env: env, own: true}, nil
}

// Scene is one of several in this environment, which outlasts it.
func (e *Env) Scene(key client.ObjectKey) *Scene { return &Scene{Env: e, Key: key} }

// Observe starts the observer of a cluster that should have so many voters.
func (s *Scene) Observe(ctx context.Context, wanted int) error {
	access, err := s.Access(ctx)
	if err != nil {
		return err
	}
	s.Observer, err = observer.Start(ctx, s.Config, s.Key, observer.Options{Wanted: wanted, Access: access})
	return err
}

// Undisturbed reports whether leadership has never changed while a fault was in effect, as after a stall of the machine.
// Otherwise nobody can know who leads, or for how long nobody did.
func (s *Scene) Undisturbed() bool { return !s.Observer.Timeline().DisturbedLeadership() }

// Clients are the clients of a scene.
type Clients struct {
	load.Options
	// At is where they connect to; by default where the client Service sends connections.
	At load.Endpoints
	// LockAt is where the application with the lock connects to; by default At.
	LockAt load.Endpoints
	// LockName is by default that of the cluster. A name that was used before is that of a lock that somebody had, and lost.
	LockName string
}

// StartClients starts the load, and takes the lock.
func (s *Scene) StartClients(ctx context.Context, clients Clients) error {
	var err error
	if clients.Access, err = s.Access(ctx); err != nil {
		return err
	}
	if clients.At == nil {
		service, err := load.WatchService(ctx, s.Config, s.Key.Namespace, s.Key.Name, clients.Access.Scheme())
		if err != nil {
			return err
		}
		clients.At = service
	}
	if clients.LockAt == nil {
		clients.LockAt = clients.At
	}
	s.Load = load.Start(ctx, clients.At, clients.Options)
	s.Lock, err = load.TakeLock(ctx, clients.LockAt, clients.Access, cmp.Or(clients.LockName, s.Key.Name))
	return err
}

// Outcome is what clients and the observer saw.
type Outcome struct {
	Load     load.Result
	Verified load.Verification
	LockLost error // nil if the application held its lock all the time
	Timeline observer.Timeline
}

// LockBroken is an error if the lock was lost and nothing excuses it. Faults do, a stall of the machine included, if the
// application could not renew its session for as long as it lives, and faults were in effect for that long.
func (o Outcome) LockBroken() error {
	if o.Timeline.Disturbed >= load.LockTTL && load.Unrenewed(o.LockLost) {
		return nil
	}
	return o.LockLost
}

// LockFate says what became of the lock: kept, given up by its application, or lost.
func (o Outcome) LockFate() string {
	switch {
	case o.LockLost == nil:
		return "kept"
	case o.LockBroken() == nil:
		return "given up"
	}
	return "lost"
}

// LockState says in a report whether the lock was held, and if not, how it ended.
func (o Outcome) LockState() string {
	if o.LockLost != nil {
		return o.LockFate() + ": " + o.LockLost.Error()
	}
	return "held all the time"
}

// End stops the clients, reads back what was acknowledged, and stops the observer.
func (s *Scene) End(ctx context.Context) (Outcome, error) {
	o := Outcome{Load: s.Load.Stop()}
	reading, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	var err error
	o.Verified, err = s.Load.Verify(reading)
	o.LockLost = s.Lock.Check(ctx)
	s.Observer.Stop()
	o.Timeline = s.Observer.Timeline()
	return o, err
}

// Close ends what still runs: first the clients, then the observer, and then the environment if it is the scene's own.
func (s *Scene) Close() error {
	if s.Load != nil {
		s.Load.Stop()
	}
	if s.Lock != nil {
		s.Lock.Stop()
	}
	if s.Observer != nil {
		s.Observer.Stop()
	}
	if !s.own {
		return nil
	}
	return s.Stop()
}
