package netns

import (
	"net"
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"
)

func TestTheNetworkOfTheMachineIsLeftAsItIs(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Up()).To(MatchError(ContainSubstring("the network of the machine")))
	g.Expect(Add(netip.MustParseAddr("fd00::7"))).To(MatchError(ContainSubstring("the network of the machine")))
}

func TestANetworkOfItsOwn(t *testing.T) {
	Test(t, func() {
		g := NewWithT(t)
		for _, address := range []string{"fd00::7", "fd00::8", "10.1.2.3"} {
			_, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
			g.Expect(err).To(HaveOccurred(), "it is not there yet")
			g.Expect(Add(netip.MustParseAddr(address))).To(Succeed())
			g.Expect(Add(netip.MustParseAddr(address))).To(Succeed(), "it is there")
			listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
			g.Expect(err).NotTo(HaveOccurred())
			connection, err := net.Dial("tcp", listener.Addr().String())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(connection.Close()).To(Succeed())
			g.Expect(listener.Close()).To(Succeed())
		}
	})
}
