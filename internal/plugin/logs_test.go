package plugin

import (
	"math"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestLinesOfLogs(t *testing.T) {
	const own = "2026-01-01T11:59:59.123Z [INFO]  agent.server: New leader elected: payload=consul-4"
	earlier := noon.Add(-time.Hour)
	for name, test := range map[string]struct {
		raw, text string
		at        time.Time
	}{
		"of a kubelet":                 {"2026-01-01T11:59:59.123456789Z " + own + "\n", own, noon.Add(-time.Second + 123456789)},
		"of a kubelet in another zone": {"2026-01-01T13:00:00.000000001+01:00 " + own + "\r\n", own, noon.Add(1)},
		"an empty one of a kubelet":    {"2026-01-01T12:00:00.000000000Z \n", "", noon},
		"without a kubelet's time":     {own, own, noon.Add(-time.Second + 123*time.Millisecond)},
		"Consul in another zone": {
			"2026-01-01T13:00:00.000+0100 [INFO]  agent", "2026-01-01T13:00:00.000+0100 [INFO]  agent", noon,
		},
		"a line without a time": {"==> Consul agent running!\n", "==> Consul agent running!", earlier},
		"nothing":               {"\n", "", earlier},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			line := parsed("consul-3", test.raw, earlier)
			g.Expect(line.text).To(Equal(test.text))
			g.Expect(line.at).To(BeTemporally("==", test.at))
			g.Expect(line.server).To(Equal("consul-3"))
		})
	}
}

// The texts are those of Consul 1.19.2 and 1.22.7.
func TestLinesAboutTheLeader(t *testing.T) {
	for text, is := range map[string]bool{
		"[INFO]  agent.server: cluster leadership acquired":                                                  true,
		"[INFO]  agent.server: cluster leadership lost":                                                      true,
		"[INFO]  agent.server: New leader elected: payload=consul-4":                                         true,
		"[INFO]  agent.server.raft: election won: term=2 tally=2":                                            true,
		"[INFO]  agent.server.raft: entering leader state: leader=\"Node at 10.0.0.3:8300 [Leader]\"":        true,
		"[WARN]  agent.server.raft: heartbeat timeout reached, starting election: last-leader-addr=10.0.0.3": true,
		"[WARN]  agent.server.raft: Election timeout reached, restarting election":                           true,
		"[INFO]  agent.server.raft: pre-vote successful, starting election: term=3 tally=2":                  true,
		"[INFO]  agent.server: successfully transferred leadership: attempt=0":                               true,
		"[INFO]  agent.server.serf.lan: serf: EventMemberJoin: consul-4 10.0.0.4":                            false,
		"[WARN]  agent.server.raft: rejecting vote request since we have a leader":                           false,
		"[ERROR] agent: Coordinate update error: error=\"No cluster leader\"":                                false,
	} {
		NewWithT(t).Expect(isOfLeader(text)).To(Equal(is), text)
	}
}

func TestHowALineIsShown(t *testing.T) {
	g := NewWithT(t)
	line := logLine{server: "consul-9", text: "[INFO]  agent: Synced"}
	g.Expect(plainLine(line, 9)).To(Equal("  consul-9   [INFO]  agent: Synced\n"))
	g.Expect(coloredLine(line, 9)).To(Equal("  \x1b[34mconsul-9 \x1b[39m  [INFO]  agent: Synced\x1b[0m\n"))
	line = logLine{server: "consul-10", text: "[INFO]  agent.server: cluster leadership acquired"}
	g.Expect(plainLine(line, 9)).To(Equal("* consul-10  [INFO]  agent.server: cluster leadership acquired\n"))
	g.Expect(coloredLine(line, 9)).To(HavePrefix("\x1b[1m* \x1b[36mconsul-10\x1b[39m  "))
	g.Expect(coloredLine(logLine{server: "other"}, 9)).To(ContainSubstring("other"), "whatever its name is")
}

// after is a line so many seconds after noon.
func after(server string, seconds int, text string) logLine {
	return logLine{server, noon.Add(time.Duration(seconds) * time.Second), text}
}

func texts(lines []logLine) string {
	var all []string
	for _, line := range lines {
		all = append(all, line.server+line.text)
	}
	return strings.Join(all, " ")
}

// Logs that end are put in order whenever their lines come.
func TestMergeOfLogsThatEnd(t *testing.T) {
	g := NewWithT(t)
	m := newMerger(math.MaxInt64)
	m.open("a")
	m.open("b")
	m.open("c")
	m.add("a", after("a", 1, "1"), noon)
	m.add("a", after("a", 4, "4"), noon)
	g.Expect(m.due(noon.Add(time.Hour))).To(BeEmpty(), "the others may have earlier lines")
	m.end("c")
	m.add("b", after("b", 2, "2"), noon)
	g.Expect(texts(m.due(noon))).To(Equal("a1 b2"), "b may have one before a4")
	m.add("b", after("b", 4, "4"), noon)
	m.add("b", after("b", 3, "0"), noon)
	g.Expect(texts(m.due(noon))).To(Equal("a4"), "of the same time, by the name of the server")
	m.end("a")
	g.Expect(texts(m.due(noon))).To(Equal("b4 b0"), "a log is in order by itself")
	g.Expect(m.isEmpty()).To(BeFalse())
	m.end("b")
	g.Expect(m.due(noon)).To(BeEmpty())
	g.Expect(m.isEmpty()).To(BeTrue())
}

// Logs that go on are shown when their lines have waited: a quiet server holds up no others.
func TestMergeOfLogsThatGoOn(t *testing.T) {
	g := NewWithT(t)
	m := newMerger(time.Second)
	m.open("a")
	m.open("b")
	m.add("a", after("a", 2, "2"), noon)
	g.Expect(m.due(noon.Add(900 * time.Millisecond))).To(BeEmpty())
	m.add("b", after("b", 1, "1"), noon.Add(900*time.Millisecond))
	g.Expect(texts(m.due(noon.Add(900*time.Millisecond)))).To(Equal("b1"), "it came later, and is earlier")
	g.Expect(texts(m.due(noon.Add(time.Second)))).To(Equal("a2"))

	m.add("a", after("a", 3, "3"), noon.Add(3*time.Second))
	m.end("a")
	m.open("a") // the API server ends what takes too long
	g.Expect(texts(m.due(noon.Add(4*time.Second)))).To(Equal("a3"), "nothing is lost")
	m.open("d")
	m.add("d", after("d", 5, "5"), noon.Add(5*time.Second))
	m.end("b")
	m.end("a")
	g.Expect(texts(m.due(noon.Add(5*time.Second)))).To(Equal("d5"), "nobody is left to wait for")
}
