package plugin

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// width is how many columns the lines for people have at most, where the words are ours.
const width = 80

// elapsed is a time that somebody waits for, such as 4s or 1m10s.
func elapsed(d time.Duration) string { return d.Round(time.Second).String() }

// ago is how long ago something was, such as 3h; "-" if it never was.
func ago(now time.Time, at *metav1.Time) string {
	if at.IsZero() {
		return "-"
	}
	return duration.HumanDuration(max(0, now.Sub(at.Time)))
}

// plural is "1 server" or "3 servers".
func plural(n int32, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// dash stands for what is not known.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

var (
	link  = regexp.MustCompile(`\[([^\]]*)\]\(([^)]*)\)`)
	marks = strings.NewReplacer("`", "", "**", "")
)

// plain makes text of Markdown. Links are relative to docs/.
func plain(markdown string) string {
	return marks.Replace(link.ReplaceAllString(markdown, "$1 (docs/$2)"))
}

// command matches a command in a message of the operator: it ends with the clause.
var command = regexp.MustCompile(`kubectl [a-z][^;()]*[^;() ,.:]`)

// wrapped breaks a text into lines, and indents them. A command stands in a line of its own, to be copied.
func wrapped(text string, indent int) string {
	space := strings.Repeat(" ", indent)
	var lines []string
	prose := func(text string) {
		for _, line := range broken(text, width-indent) {
			lines = append(lines, space+line)
		}
	}
	from := 0
	for _, at := range command.FindAllStringIndex(text, -1) {
		prose(text[from:at[0]])
		lines = append(lines, space+"  "+text[at[0]:at[1]])
		from = at[1]
	}
	prose(strings.TrimLeft(text[from:], ";,. "))
	return strings.Join(lines, "\n")
}

// broken breaks prose into lines of so many columns. A word that is longer stays whole.
func broken(text string, columns int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > columns:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// enumerated is "a", "a and b", or "a, b and c".
func enumerated(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// numbered writes steps, each with its number.
func numbered(out io.Writer) func(format string, args ...any) {
	step := 0
	return func(format string, args ...any) {
		step++
		fmt.Fprintf(out, "  %d. %s\n", step, strings.TrimLeft(wrapped(fmt.Sprintf(format, args...), 5), " "))
	}
}
