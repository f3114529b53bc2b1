package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"

	"github.com/consul-operator/consul-operator/test/lib/report"
)

// gate is where the operator's connections to the API server pass. While it is locked, what is sent is held back, and no
// connection breaks. It arrives afterwards, also if the operator that sent it has died meanwhile.
type gate struct {
	listener net.Listener
	to       string

	requests, answers sync.RWMutex // whoever locks one holds that direction
}

// openGate leads to a server with this URL.
func openGate(server string) (*gate, error) {
	to, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{listener: listener, to: to.Host}
	go g.serve()
	return g, nil
}

func (g *gate) address() string { return g.listener.Addr().String() }

func (g *gate) close() { _ = g.listener.Close() }

func (g *gate) serve() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		go g.connect(client)
	}
}

func (g *gate) connect(client net.Conn) {
	server, err := net.Dial("tcp", g.to)
	if err != nil {
		_ = client.Close()
		return
	}
	go pass(server, client, &g.requests)
	pass(client, server, &g.answers)
}

// pass closes a connection when the other one has no more for it.
func pass(to, from net.Conn, locked *sync.RWMutex) {
	defer func() { _ = to.Close() }()
	_, _ = io.Copy(held{to, locked}, from)
}

// held is written to while nobody holds the lock.
type held struct {
	io.Writer
	locked *sync.RWMutex
}

func (h held) Write(p []byte) (int, error) {
	h.locked.RLock()
	defer h.locked.RUnlock()
	return h.Writer.Write(p)
}

// hangAPI lets the API server accept the operator's calls, and not answer them for a while. If only the answers are held
// back, the operator does not know what it has done; if only the requests are, it sees the world change and can do nothing.
// That breaks no invariant.
func (f *faults) hangAPI(context.Context) (string, error) {
	g := f.lines.gate
	ways := []struct {
		name  string
		locks []*sync.RWMutex
	}{
		{"requests are held back", []*sync.RWMutex{&g.requests}},
		{"answers are held back", []*sync.RWMutex{&g.answers}},
		{"nothing comes through", []*sync.RWMutex{&g.requests, &g.answers}},
	}
	way := ways[f.random.IntN(len(ways))]
	for _, lock := range way.locks {
		lock.Lock()
	}
	duration := f.seconds(1, 20)
	f.during(hanging, duration, func() error {
		for _, lock := range way.locks {
			lock.Unlock()
		}
		return nil
	})
	return fmt.Sprintf("%s, for %s", way.name, report.Seconds(duration)), nil
}
