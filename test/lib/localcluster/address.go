package localcluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/test/lib/netns"
)

// firstPod is the last octet of the first pod address of a block; those below belong to the control plane (1) and to
// the nodes (2 and up).
const (
	controlPlaneOctet = 1
	firstNodeOctet    = 2
	firstPodOctet     = 16
	lastPodOctet      = 254
	nowhereOctet      = 255
	maxNodes          = firstPodOctet - firstNodeOctet
)

// ownLoopback is how far the second byte of a pod's own 127.0.0.1 is from that of the block.
const ownLoopback = 128

// podNetworks and serviceNetworks are those of a cluster that has a network of its own, all but the last byte.
var (
	podNetworks     = map[corev1.IPFamily]string{corev1.IPv4Protocol: "10.244.0.0", corev1.IPv6Protocol: "fd00:10:244::"}
	serviceNetworks = map[corev1.IPFamily]string{corev1.IPv4Protocol: "10.96.0.0", corev1.IPv6Protocol: "fd00:10:96::"}
	// serviceBits are how many bits of an address of a Service are those of the network.
	serviceBits = map[corev1.IPFamily]int{corev1.IPv4Protocol: 16, corev1.IPv6Protocol: 112}
)

// inNetwork is the address in a network that ends in this byte.
func inNetwork(network string, octet byte) string {
	bytes := netip.MustParseAddr(network).AsSlice()
	bytes[len(bytes)-1] = octet
	address, _ := netip.AddrFromSlice(bytes)
	return address.String()
}

// nowhere is an address nothing listens on: names without endpoints resolve to it, so that a lookup never leaves the machine
// and a connection is refused at once.
func nowhere(family corev1.IPFamily) string {
	if family == corev1.IPv6Protocol {
		return inNetwork(podNetworks[family], nowhereOctet)
	}
	return "127.255.255.254"
}

// addressBlock is what the addresses of this run are taken from. Everybody in the cluster is known by the last byte. There is
// a 127.A.B.0/24 that belongs to this run alone, and another one for what is 127.0.0.1 to the pods. With families, in a
// network of the cluster's own, there are pod networks in the place of the first one.
type addressBlock struct {
	a, b     byte
	families []corev1.IPFamily
	lock     net.Listener

	mu   sync.Mutex
	next byte
	used map[byte]bool
}

// acquireBlock takes a block nobody on this machine uses. The lock is an abstract Unix socket: it exists once in each
// network namespace, exactly like the addresses it stands for, and vanishes with the process however that ends.
func acquireBlock(families []corev1.IPFamily) (*addressBlock, error) {
	if err := addNetworks(families); err != nil {
		return nil, err
	}
	const blocks = (ownLoopback - 2) << 8 // 127.0.0.1 and its neighbors belong to the machine
	start := rand.IntN(blocks)            //nolint:gosec // spreads runs, no secret
	for i := range blocks {
		n := (start + i) % blocks
		a, b := byte(1+n>>8), byte(n)
		lock, err := net.Listen("unix", fmt.Sprintf("@consul-operator/localcluster/127.%d.%d", a, b))
		if err == nil {
			return &addressBlock{a: a, b: b, families: families, lock: lock, next: firstPodOctet, used: map[byte]bool{}}, nil
		}
	}
	return nil, errors.New("every block of loopback addresses is taken: stop other local clusters of this machine")
}

// addNetworks adds all addresses that a cluster with these families may use.
func addNetworks(families []corev1.IPFamily) error {
	for _, family := range families {
		for octet := controlPlaneOctet; octet <= nowhereOctet; octet++ {
			if err := netns.Add(netip.MustParseAddr(inNetwork(podNetworks[family], byte(octet)))); err != nil { //nolint:gosec // a byte
				return err
			}
		}
	}
	return nil
}

// addresses end in this byte, one of each family.
func (b *addressBlock) addresses(octet byte) []string {
	if len(b.families) == 0 {
		return []string{fmt.Sprintf("127.%d.%d.%d", b.a, b.b, octet)}
	}
	var all []string
	for _, family := range b.families {
		all = append(all, inNetwork(podNetworks[family], octet))
	}
	return all
}

// loopback is what stands for 127.0.0.1 in the pod whose addresses end in this byte.
func (b *addressBlock) loopback(octet byte) string {
	return fmt.Sprintf("127.%d.%d.%d", b.a+ownLoopback, b.b, octet)
}

// allocate returns the last byte of free pod addresses. It goes round, so they are reused as late as possible: Serf and
// clients remember who had one.
func (b *addressBlock) allocate() (byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range lastPodOctet - firstPodOctet + 1 {
		octet := b.next
		if b.next++; b.next > lastPodOctet {
			b.next = firstPodOctet
		}
		if !b.used[octet] {
			b.used[octet] = true
			return octet, nil
		}
	}
	return 0, fmt.Errorf("all pod addresses from %s to %s are in use", b.addresses(firstPodOctet), b.addresses(lastPodOctet))
}

func (b *addressBlock) free(octet byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.used, octet)
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
		if octet, err := a.blocks[n-1].allocate(); err == nil {
			return a.blocks[n-1].addresses(octet)[0], nil
		}
	}
	block, err := acquireBlock(nil)
	if err != nil {
		return "", err
	}
	a.blocks = append(a.blocks, block)
	octet, err := block.allocate()
	return block.addresses(octet)[0], err
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
