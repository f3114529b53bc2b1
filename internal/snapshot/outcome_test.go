package snapshot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// Of many servers those with the highest serials are kept, whose numbers count and not their digits.
func TestOutcomeKeepsTheHighestSerials(t *testing.T) {
	g := NewWithT(t)
	var servers []Server
	for serial := range 30 {
		servers = append(servers, Server{Name: fmt.Sprintf("consul-%d", serial)})
	}
	rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	kept := outcome(&Saved{Contents: Contents{Servers: servers}}, nil).Servers
	g.Expect(kept).To(HaveLen(mostServers))
	for i, server := range kept {
		g.Expect(server.Name).To(Equal(fmt.Sprintf("consul-%d", 29-i)))
	}
	g.Expect(servers).To(HaveLen(30))
}

// Whatever a snapshot holds, the kubelet keeps all of its outcome.
func TestOutcomeFits(t *testing.T) {
	g := NewWithT(t)
	saved := &Saved{Size: 1 << 40, SHA256: strings.Repeat("f", 64), Contents: Contents{
		Index: 1 << 60, Term: 1 << 60, Records: map[string]int{}, Datacenter: strings.Repeat("d", 63),
	}}
	for kind := range restorable {
		saved.Records[kind] = 1_000_000
	}
	for serial := range 30 {
		saved.Servers = append(saved.Servers, Server{
			Name: fmt.Sprintf("%s-%d", strings.Repeat("n", 60), serial), ID: "01234567-89ab-cdef-0123-456789abcdef", Version: "1.22.7",
		})
	}
	for name, o := range map[string]Outcome{
		"saved":  outcome(saved, nil),
		"failed": outcome(nil, fmt.Errorf("a long story: %s", strings.Repeat("ä", 5000))),
		"markup": outcome(nil, errors.New(strings.Repeat("<&>\x01\"", 2000))),
		"empty":  outcome(nil, nil),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			file := filepath.Join(t.TempDir(), "outcome")
			g.Expect(o.write(file)).To(Succeed())
			text, err := os.ReadFile(file)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(len(text)).To(BeNumerically("<=", mostOutcome))
			read, isThere := ReadOutcome(string(text))
			g.Expect(isThere).To(BeTrue())
			g.Expect(read.Reason).To(Equal(o.Reason))
			g.Expect(read.Servers).To(Equal(o.Servers))
		})
	}
	_, isThere := ReadOutcome("the kubelet says that the container was killed")
	g.Expect(isThere).To(BeFalse())
}
