// Command docgen writes the parts of the documentation that follow from the code: the list of the planner's rules, and the
// tables of reasons.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
)

const (
	rulesPage   = "docs/reference/rules.md"
	reasonsPage = "docs/troubleshoot.md"
	begin       = "<!-- generated from api/reason: begin -->\n"
	end         = "<!-- generated from api/reason: end -->\n"
)

const rulesIntroduction = `# The rules of the operator

Each decision of the operator is made by one rule. The rules are asked in this order, and the first that has something to
say decides. Voluntary rules change a cluster that works: they wait until the leader has led for spec.update.leaderStableFor.
The name of the rule that decided last is in status.rule, and in the log of the operator.

The list is generated from [rules.go](../../internal/plan/rules.go), which also explains each rule. Each rule is in the
file of its name beside it.

| | rule | kind | why |
|---|---|---|---|
`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := os.WriteFile(rulesPage, []byte(rules()), 0o644); err != nil { //nolint:gosec // a page for all
		return err
	}
	page, err := os.ReadFile(reasonsPage)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(page), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return fmt.Errorf("%s has no lines %q and %q", reasonsPage, begin, end)
	}
	return os.WriteFile(reasonsPage, []byte(before+begin+reasons()+end+after), 0o644) //nolint:gosec // a page for all
}

// rules is the page about the planner's rules.
func rules() string {
	var b strings.Builder
	b.WriteString(rulesIntroduction)
	for i, rule := range plan.Rules() {
		fmt.Fprintf(&b, "| %d | [`%s`](../../internal/plan/%s.go) | %s | %s |\n",
			i+1, rule.Name, strings.ToLower(rule.Name), rule.Kind, rule.Why)
	}
	return b.String()
}

// reasons are the tables of reasons, those first that ask most of a person.
func reasons() string {
	var b strings.Builder
	for _, section := range []struct {
		attention reason.Attention
		title     string
	}{
		{reason.AttentionNow, "Somebody has to act: `Stalled` is True"},
		{reason.AttentionIfItLasts, "It may end by itself: act if it lasts"},
		{reason.NoAttention, "It ends by itself"},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| STATUS | what it means | what to do |\n|---|---|---|\n", section.title)
		for _, info := range reason.All() {
			if info.Attention == section.attention {
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", info.Reason, info.Means, remedy(info))
			}
		}
	}
	b.WriteString("\n")
	return b.String()
}

// remedy is what a person does, with the runbook to follow.
func remedy(info reason.Info) string {
	if info.Runbook == "" {
		return info.Act
	}
	name := strings.TrimSuffix(info.Runbook[strings.LastIndex(info.Runbook, "/")+1:], ".md")
	return fmt.Sprintf("%s: [%s](%s)", info.Act, name, info.Runbook)
}
