package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestCallsHangAtTheGate(t *testing.T) {
	g := NewWithT(t)
	arrived := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { arrived <- r.URL.Path }))
	t.Cleanup(server.Close)
	gate, err := openGate(server.URL)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(gate.close)
	get := func(path string) <-chan error {
		answered := make(chan error, 1)
		go func() {
			resp, err := http.Get("http://" + gate.address() + path)
			if err == nil {
				err = resp.Body.Close()
			}
			answered <- err
		}()
		return answered
	}
	const awhile = 100 * time.Millisecond

	gate.requests.Lock()
	first := get("/first")
	g.Consistently(arrived, awhile).ShouldNot(Receive())
	gate.requests.Unlock()
	g.Eventually(arrived).Should(Receive(Equal("/first")))
	g.Eventually(first).Should(Receive(BeNil()))

	gate.answers.Lock()
	second := get("/second")
	g.Eventually(arrived).Should(Receive(Equal("/second")), "what the operator does has its effect")
	g.Consistently(second, awhile).ShouldNot(Receive())
	gate.answers.Unlock()
	g.Eventually(second).Should(Receive(BeNil()))

	gate.requests.Lock()
	connection, err := net.Dial("tcp", gate.address())
	g.Expect(err).NotTo(HaveOccurred())
	_, err = connection.Write([]byte("DELETE /third HTTP/1.1\r\nHost: api\r\n\r\n"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(connection.Close()).To(Succeed())
	g.Consistently(arrived, awhile).ShouldNot(Receive())
	gate.requests.Unlock()
	g.Eventually(arrived).Should(Receive(Equal("/third")), "it arrives though whoever sent it is dead")
}
