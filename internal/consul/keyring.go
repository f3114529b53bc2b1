package consul

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"
)

// Keyring is what the members of Serf LAN know of gossip keys. The keys are secret: they are never printed.
type Keyring struct {
	// Members is how many members have answered.
	Members int
	// Keys are how many of them have each key, Primary how many encrypt with it.
	Keys, Primary map[string]int
}

// String does not print the keys.
func (k Keyring) String() string { return fmt.Sprintf("%d keys of %d members", len(k.Keys), k.Members) }

// GoString does not either.
func (k Keyring) GoString() string { return k.String() }

// Shared returns the key that most members encrypt with, if all have it; empty if there is none. Of two the first counts.
func (k Keyring) Shared() (shared string) {
	for key, n := range k.Primary {
		most := n > k.Primary[shared] || n == k.Primary[shared] && key < shared
		if most && k.Keys[key] == k.Members {
			shared = key
		}
	}
	return shared
}

// keyringWithin is how long Serf waits for members that do not answer, of up to 99, and a little more: 200 ms of gossip interval
// times 16 times the rounded logarithm (hashicorp/serf, DefaultQueryTimeout). Then Consul says how many did not.
const keyringWithin = 8 * time.Second

// Keyring reads GET /v1/operator/keyring?local-only. Servers forward it to nobody: each asks all members by a query of Serf.
func (a *agent) Keyring(ctx context.Context) (Keyring, error) {
	var answer list[struct { // one for each gossip pool
		WAN               bool
		Segment           string
		NumNodes          int
		Keys, PrimaryKeys map[string]int
	}]
	if err := a.wait(ctx, keyringWithin, "gossip keyring", func(c *api.Client) error {
		_, err := c.Raw().Query("/v1/operator/keyring", &answer, &api.QueryOptions{LocalOnly: true})
		return err
	}); err != nil {
		return Keyring{}, err
	}
	for _, ring := range answer {
		if !ring.WAN && ring.Segment == "" {
			return Keyring{Members: ring.NumNodes, Keys: ring.Keys, Primary: ring.PrimaryKeys}, nil
		}
	}
	return Keyring{}, fmt.Errorf("gossip keyring on %s: %w: it has no keyring of the LAN", a.target.Address, errStrange)
}
