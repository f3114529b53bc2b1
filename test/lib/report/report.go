// Package report prints what programs have measured for people to read.
package report

import (
	"fmt"
	"strings"
)

// Report is a headline and lines below it, each with a name and what there is to say.
type Report struct {
	width int
	text  strings.Builder
}

// New begins a report whose names take so many columns.
func New(width int, headline string) *Report {
	r := &Report{width: width}
	r.text.WriteString(headline + "\n\n")
	return r
}

// Line adds a line. One without a name goes on with what is above it.
func (r *Report) Line(name, format string, args ...any) {
	fmt.Fprintf(&r.text, "  %-*s %s\n", r.width, name, fmt.Sprintf(format, args...))
}

func (r *Report) String() string { return r.text.String() }

// Of writes "3 of 28,400".
func Of(part, all int) string { return Number(part) + " of " + Number(all) }

// Some names the first few.
func Some(names []string) string {
	const few = 3
	if more := len(names) - few; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), more)
	}
	return strings.Join(names, ", ")
}
