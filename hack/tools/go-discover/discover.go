// Package discover stands in for github.com/hashicorp/go-discover in the Consuls that are built here. The real one finds
// servers by the APIs of 15 clouds, whose clients are a quarter of what there is to compile. `retry_join` with an address
// or a name does not use it; `provider=...` fails and says why.
package discover

import (
	"errors"
	"log"
)

// Provider finds addresses in one cloud.
type Provider interface {
	Addrs(args map[string]string, l *log.Logger) ([]string, error)
	Help() string
}

// Providers is empty.
var Providers map[string]Provider

// Discover finds nothing.
type Discover struct{}

// Option is ignored.
type Option func(*Discover) error

func New(...Option) (*Discover, error) { return &Discover{}, nil }

func WithUserAgent(string) Option { return nil }

func WithProviders(map[string]Provider) Option { return nil }

// Names is for a line of the log.
func (*Discover) Names() []string { return nil }

// ErrLeftOut is the answer to every "provider=...".
var ErrLeftOut = errors.New("this Consul was built for tests, without cloud auto-join (see hack/tools)")

func (*Discover) Addrs(string, *log.Logger) ([]string, error) { return nil, ErrLeftOut }
