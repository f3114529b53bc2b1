package plugin

import (
	"context"
	"errors"
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

// send sends a request about a snapshot, and returns what Consul answers unless it refuses. The token goes in a header: no error
// has it.
func (a *api) send(ctx context.Context, method string, b *body) (io.ReadCloser, error) {
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
		return nil, &refusedError{response.StatusCode, fmt.Sprintf("%s refuses (%s): %s", a.server, response.Status,
			strings.TrimSpace(string(said)))}
	}
	return response.Body, nil
}

// refusedError is an answer that is none.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return e.text }

// replaced is the error of a restore: unless Consul has refused what it was asked for, nobody knows what it has done.
func replaced(ctx context.Context, err error) error {
	const unknown = "the data may have been replaced, so look at it before you go on"
	refused := &refusedError{}
	switch {
	case ctx.Err() != nil:
		return &codedError{exitInterrupted, "interrupted: " + unknown}
	case errors.As(err, &refused) && refused.status < http.StatusInternalServerError:
		return fmt.Errorf("%w; nothing was changed", err)
	}
	return fmt.Errorf("%w; %s", err, unknown)
}

// interrupted says nothing of what Ctrl-C has broken.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &codedError{code: exitInterrupted}
	}
	return err
}
