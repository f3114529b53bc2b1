package localcluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// firstPod is the last octet of the first pod address of a block; those below belong to the control plane (1) and to
// the nodes (2 and up).
const (
	controlPlaneOctet = 1
	firstNodeOctet    = 2
	firstPodOctet     = 16
	lastPodOctet      = 254
	maxNodes          = firstPodOctet - firstNodeOctet
)

// nowhere is a loopback address nothing listens on: names without endpoints resolve to it, so that a lookup never
// leaves the machine and a connection is refused at once.
const nowhere = "127.255.255.254"

// ownLoopback is how far the second byte of a pod's own 127.0.0.1 is from that of its address.
const ownLoopback = 128

// addressBlock is a 127.A.B.0/24 that belongs to this run alone, and another one for what is 127.0.0.1 to the pods.
type addressBlock struct {
	a, b byte
	lock net.Listener

	mu   sync.Mutex
	next byte
	used map[string]bool
}

// acquireBlock takes a block nobody on this machine uses. The lock is an abstract Unix socket: it exists once in each
// network namespace, exactly like the addresses it stands for, and vanishes with the process however that ends.
func acquireBlock() (*addressBlock, error) {
	const blocks = (ownLoopback - 2) << 8 // 127.0.0.1 and its neighbors belong to the machine
	start := rand.IntN(blocks)            //nolint:gosec // spreads runs, no secret
	for i := range blocks {
		n := (start + i) % blocks
		a, b := byte(1+n>>8), byte(n)
		lock, err := net.Listen("unix", fmt.Sprintf("@consul-operator/localcluster/127.%d.%d", a, b))
		if err == nil {
			return &addressBlock{a: a, b: b, lock: lock, next: firstPodOctet, used: map[string]bool{}}, nil
		}
	}
	return nil, errors.New("every block of loopback addresses is taken: stop other local clusters of this machine")
}

func (b *addressBlock) address(octet byte) string {
	return fmt.Sprintf("127.%d.%d.%d", b.a, b.b, octet)
}

// allocate returns a free pod address. It goes round, so an address is reused as late as possible: Serf and clients
// remember who had one.
func (b *addressBlock) allocate() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range lastPodOctet - firstPodOctet + 1 {
		address := b.address(b.next)
		if b.next++; b.next > lastPodOctet {
			b.next = firstPodOctet
		}
		if !b.used[address] {
			b.used[address] = true
			return address, nil
		}
	}
	return "", fmt.Errorf("all pod addresses of 127.%d.%d.0/24 are in use", b.a, b.b)
}

// LoopbackOf is what stands for 127.0.0.1 in the pod with this address.
func LoopbackOf(pod string) string {
	ip := net.ParseIP(pod).To4()
	ip[1] += ownLoopback
	return ip.String()
}

func (b *addressBlock) free(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.used, address)
}

func (b *addressBlock) release() { _ = b.lock.Close() }

// Addresses gives out loopback addresses that no local cluster and nobody else who asks here uses: as many as there are.
type Addresses struct {
	mu     sync.Mutex
	blocks []*addressBlock
}

// Allocate returns an address, until the program ends or Release is called.
func (a *Addresses) Allocate() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.blocks); n > 0 {
		if address, err := a.blocks[n-1].allocate(); err == nil {
			return address, nil
		}
	}
	block, err := acquireBlock()
	if err != nil {
		return "", err
	}
	a.blocks = append(a.blocks, block)
	return block.allocate()
}

// Release gives all addresses back.
func (a *Addresses) Release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, block := range a.blocks {
		block.release()
	}
	a.blocks = nil
}

// freePort returns a port nobody listens on at address.
func freePort(address string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return 0, fmt.Errorf("finding a free port on %s: %w", address, err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
