package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/consul-operator/consul-operator/test/lib/observer"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

const (
	bold, dim, plain          = "\x1b[1m", "\x1b[2m", "\x1b[0m"
	red, green, yellow, blue  = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m"
	hideCursor, showCursor    = "\x1b[?25l", "\x1b[?25h"
	beginUpdate, endUpdate    = "\x1b[?2026h", "\x1b[?2026l" // so that no terminal shows half a frame
	clearLine, clearBelow, up = "\x1b[K", "\x1b[J", "\x1b[%dA"
)

// screen draws each frame over the one before and leaves the last one standing.
type screen struct {
	out  io.Writer
	look func() frame
	size func() (width, height int)
	// drawn is how many lines the last frame has.
	drawn int
}

func (s *screen) run(ctx context.Context) {
	fmt.Fprint(s.out, hideCursor)
	defer fmt.Fprint(s.out, showCursor)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		s.draw()
		select {
		case <-ctx.Done():
			s.draw()
			return
		case <-ticker.C:
		}
	}
}

func (s *screen) draw() {
	width, height := s.size()
	lines := render(s.look(), height)
	var b strings.Builder
	b.WriteString(beginUpdate)
	if s.drawn > 0 {
		fmt.Fprintf(&b, up, s.drawn)
	}
	for _, line := range lines {
		b.WriteString("\r" + cut(line, width-1) + plain + clearLine + "\n")
	}
	b.WriteString(clearBelow + endUpdate)
	s.drawn = len(lines)
	_, _ = io.WriteString(s.out, b.String())
}

// render makes the lines of a frame, fewer than height.
func render(f frame, height int) []string {
	lines := []string{
		"",
		fmt.Sprintf("%sConsul %s → %s%s, %s, maxSurge %d%s%s",
			bold, f.from, f.to, plain, report.Count(f.replicas, "server"), f.surge, strings.Repeat(" ", 24), clock(f.elapsed)),
		"",
		fmt.Sprintf("%s%-14s %-10s %-20s %s%s", dim, "SERVER", "VERSION", "STATE", "RAFT", plain),
	}
	servers := f.now.Servers
	if most := max(height-16, 3); len(servers) > most {
		servers = servers[len(servers)-most:]
	}
	for _, server := range servers {
		lines = append(lines, serverLine(server))
	}
	gap := green
	if f.writes.LongestGap >= 100*time.Millisecond {
		gap = yellow
	}
	failures := green
	if f.writes.Failed > 0 {
		failures = yellow
	}
	leader := f.now.Leader
	if leader == "" {
		leader = red + "none" + plain
	}
	lines = append(lines,
		"",
		fmt.Sprintf("Raft      leader %s, term %d    leader changes %d    voters %d, fewest %d",
			leader, f.now.Term, f.now.LeaderChanges, f.now.Voters, f.now.FewestVoters),
		fmt.Sprintf("Writes    %s    %s    %d/s    longest gap %s",
			colored(green, report.Number(f.writes.Acknowledged)+" ok"), colored(failures, report.Number(f.writes.Failed)+" failed"),
			int(f.writes.Rate), colored(gap, report.Millis(f.writes.LongestGap))),
		"Operator  "+bold+f.now.Reason+plain,
	)
	lines = append(lines, wrap(f.now.Message, "          ", 79, 2)...)
	if f.now.Violations > 0 {
		lines = append(lines, fmt.Sprintf("%s%d invariants violated%s", red, f.now.Violations, plain))
	}
	lines = append(lines, "")
	room := max(0, min(6, height-len(lines)-2))
	events := f.events[max(0, len(f.events)-room):]
	for _, event := range events {
		lines = append(lines, fmt.Sprintf("%s%s  %s%s", dim, clock(event.at), event.message, plain))
	}
	return lines
}

func colored(color, text string) string { return color + text + plain }

func serverLine(s observer.ServerNow) string {
	color, mark := look(s.State)
	state := fmt.Sprintf("%s %s", mark, s.State)
	if s.State == observer.Starting || s.State == observer.Joining || s.State == observer.Leaving {
		state += fmt.Sprintf(" %d s", int(time.Since(s.Since).Seconds()))
	}
	role := ""
	switch {
	case s.Leader:
		role = bold + yellow + "♛ leader" + plain
	case s.Voter && s.State != observer.Gone:
		role = "voter"
	}
	version := s.Version
	if version == "" {
		version = "…"
	}
	return fmt.Sprintf("%-14s %-10s %s%-20s%s %s", s.Name, version, color, state, plain, role)
}

func look(state observer.State) (color, mark string) {
	switch state {
	case observer.Serving:
		return green, "●"
	case observer.Voting:
		return green, "◍"
	case observer.Starting, observer.Joining:
		return blue, "◌"
	case observer.Retiring:
		return yellow, "◐"
	case observer.Leaving:
		return yellow, "◑"
	case observer.Down:
		return red, "✗"
	}
	return dim, "·"
}

func clock(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// wrap breaks text at spaces into at most so many lines; what does not fit is left out.
func wrap(text, indent string, width, most int) []string {
	var lines []string
	line := indent
	for _, word := range strings.Fields(text) {
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width && line != indent {
			lines = append(lines, line)
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	lines = append(lines, line)
	if len(lines) > most {
		lines = lines[:most]
		lines[most-1] += " …"
	}
	return lines
}

// cut shortens a line to the width of the terminal; escape sequences take no room.
func cut(line string, width int) string {
	var b strings.Builder
	column, escape := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		case column >= width:
			continue
		default:
			column++
		}
		b.WriteRune(r)
	}
	return b.String()
}
