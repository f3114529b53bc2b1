package consul

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"golang.org/x/time/rate"
)

// What an agent may say. It runs an image of the user's choice, and may be anybody: what it answers must not fill the memory
// of the operator, which serves other clusters as well.
const (
	// maxAnswer is in bytes. The longest answer of a cluster is that of agent/self: 40 kB, and the configuration once more.
	maxAnswer = 512 << 10
	// maxMembers is the same for the list that includes all client agents.
	maxMembers = 4 << 20
	// maxHealth is the same for an answer that package api decodes into large values.
	maxHealth = 64 << 10
	// maxHeader is the size of all headers.
	maxHeader = 64 << 10
	// maxList is how many servers a list may have, and maxText how long their names, ids and versions may be.
	maxList = 1000
	maxText = 256
)

// A log stream may have logRate bytes a second, and logBurst at once. Each line counts as lineCost more.
const (
	logRate  = 256 << 10
	logBurst = 4 << 20
	lineCost = 128
)

func newLogLimiter() *rate.Limiter { return rate.NewLimiter(logRate, logBurst) }

// bounded is a RoundTripper whose answers end with an error where they are too long.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxBytes(req.URL.Path))
	}
	return resp, err
}

func maxBytes(path string) int64 {
	switch path {
	case pathMembers:
		return maxMembers
	case pathHealth:
		return maxHealth
	}
	return maxAnswer
}

// list is a list of servers in an answer. It is decoded one by one: a short text can be a long list.
type list[T any] []T

// UnmarshalJSON fails if the list is longer than that of any cluster.
func (l *list[T]) UnmarshalJSON(data []byte) error {
	return each(data, func(one T) error {
		if len(*l) == maxList {
			return fmt.Errorf("%w: it lists more than %d servers", errStrange, maxList)
		}
		*l = append(*l, one)
		return nil
	})
}

// each calls do with each element of a JSON array, until it returns an error.
func each[T any](data []byte, do func(T) error) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	switch start, err := decoder.Token(); {
	case err != nil:
		return err
	case start == nil: // null
		return nil
	case start != json.Delim('['):
		return fmt.Errorf("%w: %v instead of a list", errStrange, start)
	}
	for decoder.More() {
		var one T
		if err := decoder.Decode(&one); err != nil {
			return err
		}
		if err := do(one); err != nil {
			return err
		}
	}
	return nil
}

// short fails if a name, an id or a version is longer than any of Consul's. Half a name would be another one.
func short(texts ...string) error {
	for _, text := range texts {
		if len(text) > maxText {
			return fmt.Errorf("%w: a name, id or version has %d bytes", errStrange, len(text))
		}
	}
	return nil
}
