package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
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

// All returns the keys that any member has, in order.
func (k Keyring) All() []string { return slices.Sorted(maps.Keys(k.Keys)) }

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
		return withoutKeys(err)
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

// InstallGossipKey is POST /v1/operator/keyring, a query of Serf like the following two.
func (a *agent) InstallGossipKey(ctx context.Context, key string) error {
	return a.changeKeyring(ctx, "gossip key install", func(o *api.Operator) error { return o.KeyringInstall(key, nil) })
}

// UseGossipKey is PUT /v1/operator/keyring.
func (a *agent) UseGossipKey(ctx context.Context, key string) error {
	return a.changeKeyring(ctx, "gossip key use", func(o *api.Operator) error { return o.KeyringUse(key, nil) })
}

// RemoveGossipKey is DELETE /v1/operator/keyring.
func (a *agent) RemoveGossipKey(ctx context.Context, key string) error {
	return a.changeKeyring(ctx, "gossip key removal", func(o *api.Operator) error { return o.KeyringRemove(key, nil) })
}

func (a *agent) changeKeyring(ctx context.Context, name string, change func(*api.Operator) error) error {
	return a.wait(ctx, keyringWithin, name, func(c *api.Client) error { return withoutKeys(change(c.Operator())) })
}

// failedMembers is how many members did not do what a query asked for, or how many of all have answered.
var failedMembers = regexp.MustCompile(`\d+/\d+ nodes reported (failure|success)`)

// withoutKeys leaves of a refusal what is known to have no key in it: Consul adds what its members said.
func withoutKeys(err error) error {
	var status api.StatusError
	if !errors.As(err, &status) || status.Code == http.StatusForbidden {
		return err
	}
	said := failedMembers.FindAllString(status.Body, 1)
	for _, known := range statusTexts {
		if strings.Contains(status.Body, known.text) {
			said = append(said, known.text)
		}
	}
	status.Body = cmp.Or(strings.Join(said, ": "), "the answer may have keys in it, and is not shown: see the server's log")
	return status
}
