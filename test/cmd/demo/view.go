package main

import (
	"context"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
)

// frame is all that there is to show at a moment.
type frame struct {
	options
	elapsed time.Duration
	now     observer.Snapshot
	writes  load.Counters
	events  []eventLine
}

type eventLine struct {
	at      time.Duration
	message string
}

// view shows the upgrade until its context ends.
type view interface {
	run(ctx context.Context)
}

// newView is one changing screen on a terminal, and lines elsewhere.
func newView(d *demo, began time.Time) view {
	look := func() frame {
		f := frame{
			options: d.options, elapsed: time.Since(began),
			now: d.Observer.Snapshot(), writes: d.Load.Counters(),
		}
		for _, event := range d.Observer.Timeline().Events {
			if event.At.Before(began) {
				continue
			}
			f.events = append(f.events, eventLine{event.At.Sub(began), event.Message})
		}
		return f
	}
	if file, ok := d.out.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb" {
		size := func() (int, int) {
			width, height, err := term.GetSize(int(file.Fd()))
			if err != nil {
				return 80, 24
			}
			return width, height
		}
		return &screen{out: file, look: look, size: size}
	}
	return &lines{out: d.out, look: look}
}
