package plugin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/internal/resources"
)

// logLine is a line that a server has logged.
type logLine struct {
	server string
	at     time.Time
	text   string
}

// kubeletFraction is how many digits kubelets write behind the seconds. Consul writes three.
const kubeletFraction = 9

// parsed makes a line of what a kubelet sends: its own time, which all servers' lines have in the same form, and what Consul has
// written. A line without a time, such as one of a stack trace, belongs behind the one before.
func parsed(server, raw string, before time.Time) logLine {
	line := logLine{server: server, at: before, text: strings.TrimRight(raw, "\r\n")}
	stamp, rest, _ := strings.Cut(line.text, " ")
	at, err := timeOf(stamp)
	if err != nil {
		return line
	}
	line.at = at
	if _, fraction, _ := strings.Cut(stamp, "."); strings.IndexFunc(fraction, isNoDigit) == kubeletFraction {
		line.text = rest
	}
	return line
}

// timeOf reads a time as kubelets and Consul write it.
func timeOf(stamp string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return time.Parse("2006-01-02T15:04:05.000Z0700", stamp)
	}
	return at, nil
}

func isNoDigit(r rune) bool { return r < '0' || r > '9' }

// leaderSigns are texts of lines that report a change of the leader, the same in Consul 1.19.2 and 1.22.7: of its own
// (agent/consul/leader.go, server_serf.go), and of Raft (raft.go, 1.5.0 and 1.7.3).
var leaderSigns = []string{
	"cluster leadership acquired", "cluster leadership lost", "New leader elected", "successfully transferred leadership",
	"election won", "entering leader state", "new leader elected, stepping down",
	"heartbeat timeout reached, starting election", "Election timeout reached, restarting election",
	"pre-vote successful, starting election",
}

// isOfLeader reports whether a line is about who leads.
func isOfLeader(text string) bool {
	return slices.ContainsFunc(leaderSigns, func(sign string) bool { return strings.Contains(text, sign) })
}

// style is how a line is shown. Names of servers take so many columns.
type style func(line logLine, columns int) string

func plainLine(line logLine, columns int) string {
	mark := " "
	if isOfLeader(line.text) {
		mark = "*"
	}
	return fmt.Sprintf("%s %-*s  %s\n", mark, columns, line.server, line.text)
}

// hues are the colors of servers, by their serials: a server keeps its own. Red is for errors elsewhere.
var hues = []int{36, 33, 32, 35, 34}

func coloredLine(line logLine, columns int) string {
	at := strings.LastIndexByte(line.server, '-')
	serial, _ := resources.Serial(line.server[:max(0, at)], line.server)
	mark, bold := " ", ""
	if isOfLeader(line.text) {
		mark, bold = "*", "\x1b[1m"
	}
	return fmt.Sprintf("%s%s \x1b[%dm%-*s\x1b[39m  %s\x1b[0m\n", bold, mark, hues[serial%len(hues)], columns, line.server, line.text)
}

// merger puts the lines of several logs in order. Each log is in order by itself.
type merger struct {
	// patience is how long a line waits for earlier ones of other logs that are still being read.
	patience time.Duration
	logs     map[string]*pending
}

// pending is what was read of a log and not passed on yet.
type pending struct {
	lines []logLine
	// arrived says since when each of them waits.
	arrived []time.Time
	// ended is set when the log will have no other lines.
	ended bool
}

func newMerger(patience time.Duration) *merger { return &merger{patience, map[string]*pending{}} }

// open adds a log, or goes on with one that had ended.
func (m *merger) open(id string) {
	if p, is := m.logs[id]; is {
		p.ended = false
		return
	}
	m.logs[id] = &pending{}
}

func (m *merger) add(id string, line logLine, now time.Time) {
	p := m.logs[id]
	p.lines, p.arrived = append(p.lines, line), append(p.arrived, now)
}

// end says that a log has no other lines.
func (m *merger) end(id string) { m.logs[id].ended = true }

// due returns the lines before which none is to be expected, in order, and takes them out.
func (m *merger) due(now time.Time) (lines []logLine) {
	for {
		first, isWaitedFor := (*pending)(nil), false
		for id, p := range m.logs {
			switch {
			case len(p.lines) > 0:
				if first == nil || inOrder(p.lines[0], first.lines[0]) < 0 {
					first = p
				}
			case p.ended:
				delete(m.logs, id)
			default:
				isWaitedFor = true
			}
		}
		if first == nil || isWaitedFor && now.Sub(first.arrived[0]) < m.patience {
			return lines
		}
		lines = append(lines, first.lines[0])
		first.lines, first.arrived = first.lines[1:], first.arrived[1:]
	}
}

// isEmpty reports whether there is nothing to wait for.
func (m *merger) isEmpty() bool { return len(m.logs) == 0 }

func inOrder(a, b logLine) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.server, b.server)) }
