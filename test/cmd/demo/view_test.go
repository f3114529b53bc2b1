package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

func sampleFrame() frame {
	f := frame{
		options: options{from: "1.22.0", to: "1.22.7", replicas: 3, surge: 1},
		elapsed: 61 * time.Second,
		writes:  load.Counters{Acknowledged: 45_210, Failed: 1, LongestGap: 24 * time.Millisecond, Rate: 801},
		now: observer.Snapshot{
			Leader: "consul-2", Term: 2, Voters: 4, FewestVoters: 3, Serving: 3, Reason: "WaitingForVoter",
			Message: "consul-3 is not a voter yet: " + strings.Repeat("autopilot promotes a server once it was stable ", 6),
		},
	}
	for _, name := range []string{"consul-0", "consul-1", "consul-2", "consul-3"} {
		f.now.Servers = append(f.now.Servers, observer.ServerNow{
			Name: name, Version: "1.22.0", State: observer.Serving, Voter: true, Leader: name == "consul-2", Since: time.Now(),
		})
	}
	for i := range 20 {
		f.events = append(f.events, eventLine{time.Duration(i) * time.Second, strings.Repeat("something happened ", 8)})
	}
	return f
}

func TestTheScreenFitsATerminal(t *testing.T) {
	g := NewWithT(t)
	f := sampleFrame()
	for len(f.now.Servers) < 14 {
		f.now.Servers = append(f.now.Servers, f.now.Servers[2])
	}
	var out bytes.Buffer
	s := &screen{out: &out, look: func() frame { return f }, size: func() (int, int) { return 80, 24 }}
	s.draw()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	g.Expect(len(lines)).To(BeNumerically("<=", 24))
	for _, line := range lines {
		g.Expect(utf8.RuneCountInString(withoutEscapes(line))).To(BeNumerically("<", 80), line)
	}
	g.Expect(out.String()).To(ContainSubstring("♛ leader"))
	g.Expect(out.String()).To(ContainSubstring("45,210 ok"))
}

func withoutEscapes(line string) string {
	var b strings.Builder
	escape := false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		case r != '\r':
			b.WriteRune(r)
		}
	}
	return b.String()
}

func TestTheCursorComesBack(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	s := &screen{out: &out, look: sampleFrame, size: func() (int, int) { return 80, 24 }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.run(ctx)
	g.Expect(out.String()).To(HavePrefix(hideCursor))
	g.Expect(out.String()).To(HaveSuffix(showCursor))
}

func TestLinesTellWhatChanged(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	l := &lines{out: &out}
	f := sampleFrame()
	l.print(f)
	out.Reset()
	f.elapsed += time.Second
	l.print(f)
	g.Expect(out.String()).To(BeEmpty(), "nothing changed")

	after := sampleFrame()
	after.elapsed = f.elapsed + time.Second
	after.now.Leader, after.now.Term = "consul-3", 3
	after.now.Servers[0].State = observer.Retiring
	l.print(after)
	g.Expect(out.String()).To(Equal("      01:03  consul-0 is retiring\n      01:03  consul-3 leads, term 3\n"))

	out.Reset()
	after.elapsed += heartbeat
	l.print(after)
	g.Expect(out.String()).To(ContainSubstring("45,210 writes ok, 1 failed, 801/s, longest gap 24 ms"))
}

func TestFailuresAreARatio(t *testing.T) {
	g := NewWithT(t)
	g.Expect(failed(load.Totals{Acknowledged: 9_998, Failed: 2})).To(Equal("2 of 10,000, 1 in 5,000"))
	g.Expect(failed(load.Totals{Acknowledged: 10})).To(Equal("0 of 10"))
}
