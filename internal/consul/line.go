package consul

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
)

// lineBuffer is what is read ahead of a request that stays open, in bytes.
const lineBuffer = 1 << 10

// line is a RoundTripper for a request that stays open for minutes: it has a connection of its own, which the goroutine that
// waits for the answer reads. The connections of a http.Transport have two goroutines each, with their stacks and buffers; a
// thousand idle clusters keep two thousand such requests open (make bench-scale).
type line struct {
	// like says how to dial, and whom to trust.
	like *http.Transport
	// within is how long it may take to connect.
	within time.Duration
}

func (l line) RoundTrip(req *http.Request) (*http.Response, error) {
	sent, err := l.send(req)
	if err != nil {
		return nil, err
	}
	return sent.answer()
}

// sent is a request whose answer has not come yet.
type sent struct {
	conn   net.Conn
	req    *http.Request
	unhook func() bool
}

func (l line) send(req *http.Request) (*sent, error) {
	conn, err := l.connect(req)
	if err != nil {
		return nil, err
	}
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: conn})
	}
	s := &sent{conn: conn, req: req, unhook: context.AfterFunc(req.Context(), func() { _ = conn.Close() })}
	last := req.Clone(req.Context())
	last.Close = true // nothing else comes on this connection
	if err := last.Write(conn); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// answer waits for the header of the answer, and reads it.
func (s *sent) answer() (*http.Response, error) {
	header := &io.LimitedReader{R: s.conn, N: maxHeader}
	resp, err := http.ReadResponse(bufio.NewReaderSize(header, lineBuffer), s.req)
	if header.N <= 0 {
		err = fmt.Errorf("%w: its header exceeded %d bytes", errStrange, maxHeader)
	}
	if err != nil {
		s.end()
		return nil, err
	}
	header.N = math.MaxInt64 // the body has a limit of its own
	resp.Body = &lineBody{resp.Body, s}
	return resp, nil
}

func (s *sent) end() {
	s.unhook()
	_ = s.conn.Close()
}

func (l line) connect(req *http.Request) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(req.Context(), l.within)
	defer cancel()
	conn, err := l.like.DialContext(ctx, "tcp", req.URL.Host)
	if err != nil || req.URL.Scheme != "https" {
		return conn, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if l.like.TLSClientConfig != nil {
		config = l.like.TLSClientConfig.Clone()
	}
	config.ServerName, config.NextProtos = cmp.Or(config.ServerName, req.URL.Hostname()), []string{"http/1.1"}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// lineBody ends the connection with the answer.
type lineBody struct {
	io.ReadCloser
	of *sent
}

// Close does not read what is left: a stream has no end.
func (b *lineBody) Close() error {
	b.of.end()
	return nil
}
