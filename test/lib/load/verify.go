package load

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/await"
)

// Lost is an acknowledged write that the store no longer shows.
type Lost struct {
	Key          string
	Acknowledged int
	// Found is what the key holds instead; 0 if it does not exist.
	Found int
}

func (l Lost) String() string {
	if l.Found == 0 {
		return fmt.Sprintf("%s: %d was acknowledged, the key does not exist", l.Key, l.Acknowledged)
	}
	return fmt.Sprintf("%s: %d was acknowledged, %d is there", l.Key, l.Acknowledged, l.Found)
}

// Verification says which keys were read back and which acknowledged writes are missing.
type Verification struct {
	Keys int
	Lost []Lost
}

// Verify reads back, consistently, the last value of every key that the finished load wrote. Reading is tried again
// until the context ends: it is not part of the load.
func (l *Load) Verify(ctx context.Context) (Verification, error) {
	var found map[string]int
	if err := await.Success(ctx, 200*time.Millisecond, func() (err error) {
		found, err = l.readBack(ctx)
		return err
	}); err != nil {
		return Verification{}, fmt.Errorf("reading back: %w", err)
	}
	var v Verification
	for _, w := range l.writers {
		for _, t := range w.trails {
			v.Keys++
			if value := found[t.key]; !t.allows(value) && !l.mayBeGone(t, value) {
				v.Lost = append(v.Lost, Lost{Key: t.key, Acknowledged: t.acked, Found: value})
			}
		}
	}
	return v, nil
}

// allows says whether the value may be the final one of the key.
func (t trail) allows(value int) bool {
	return value == t.acked || t.open && value == t.acked+1
}

// mayBeGone says whether a restore may have brought an earlier value of the key back.
func (l *Load) mayBeGone(t trail, value int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	isIn := func(r rewind) bool { return !t.at.Before(r.from) && !t.at.After(r.to) }
	return value < t.acked && slices.ContainsFunc(l.rewinds, isIn)
}

func (l *Load) readBack(ctx context.Context) (map[string]int, error) {
	address, err := Pick(l.endpoints)
	if err != nil {
		return nil, err
	}
	access := l.options.Access
	url := fmt.Sprintf("%s://%s/v1/kv/load/%s/?recurse&consistent", access.Scheme(), address, l.options.Run)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	transport := access.Transport(func() (string, error) { return address, nil })
	transport.DisableKeepAlives = true
	client := http.Client{Transport: access.Authenticated(transport), Timeout: l.options.Timeout}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound: // No key at all: everything was lost, or nothing was acknowledged.
		return nil, nil
	default:
		return nil, fmt.Errorf("%s answers %s", address, response.Status)
	}
	var pairs []struct{ Key, Value string }
	if err := json.NewDecoder(response.Body).Decode(&pairs); err != nil {
		return nil, err
	}
	values := make(map[string]int, len(pairs))
	for _, pair := range pairs {
		raw, err := base64.StdEncoding.DecodeString(pair.Value)
		if err != nil {
			return nil, err
		}
		if values[pair.Key], err = strconv.Atoi(string(raw)); err != nil {
			return nil, fmt.Errorf("key %s holds %q, which nobody wrote", pair.Key, raw)
		}
	}
	return values, nil
}
