package plugin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// api is Consul's API, through a tunnel.
type api struct {
	tunnel tunnel
	server string
	token  string
}

// reach opens a tunnel to the best server, until ctx ends, for somebody who may do everything.
func (s *session) reach(ctx context.Context) (*api, error) {
	c, err := s.cluster(ctx)
	if err != nil {
		return nil, err
	}
	token, err := s.managementToken(ctx, c)
	if err != nil {
		return nil, err
	}
	pod, err := s.podOf(ctx, "")
	if err != nil {
		return nil, err
	}
	t, err := s.dig(ctx, pod.Name, anyPort)
	return &api{t, pod.Name, token}, err
}

// body is what is sent, and how long it is.
type body struct {
	io.Reader
	bytes int64
}

// send sends a request about a snapshot, and returns the answer unless Consul refuses. The token goes in a header, so that it is in
// no error.
func (a *api) send(ctx context.Context, method string, b *body) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.tunnel.url("/v1/snapshot"), nil)
	if err != nil {
		return nil, err
	}
	if b != nil {
		request.Body, request.ContentLength = io.NopCloser(b), b.bytes
	}
	if a.token != "" {
		request.Header.Set("X-Consul-Token", a.token)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // and no proxy: it is a port of this machine
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the connection to %s broke: %w", a.server, err)
	}
	if response.StatusCode != http.StatusOK {
		defer func() { _ = response.Body.Close() }()
		said, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return nil, fmt.Errorf("%s refuses (%s): %s", a.server, response.Status, strings.TrimSpace(string(said)))
	}
	return response, nil
}

// interrupted says nothing of what Ctrl-C has broken.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &codedError{code: exitInterrupted}
	}
	return err
}
