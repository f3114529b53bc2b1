// Command docgen writes the parts of the documentation that follow from the code: the list of the planner's rules, the tables
// of reasons, the table of keys that users cannot set in spec.config, the table of what the operator may do, and the reference of
// `kubectl consul`.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/plugin"
	"github.com/consul-operator/consul-operator/internal/resources"
)

const (
	rulesPage   = "docs/reference/rules.md"
	reasonsPage = "docs/troubleshoot.md"
	configPage  = "docs/operate.md"
	pluginPage  = "docs/reference/kubectl-consul.md"
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
	if err := replace(reasonsPage, "api/reason", reasons()); err != nil {
		return err
	}
	if err := replace(configPage, "internal/resources/configrules.go", config()); err != nil {
		return err
	}
	if err := replace(configPage, "internal/resources/settings.go", settings()); err != nil {
		return err
	}
	if err := replace(pluginPage, "internal/plugin", plugin.Reference()); err != nil {
		return err
	}
	permitted, err := permissions()
	if err != nil {
		return err
	}
	return replace(permissionsPage, role, permitted)
}

// replace replaces the part of a page that is generated from this source.
func replace(path, source, text string) error {
	page, err := os.ReadFile(path) //nolint:gosec // one of the pages above
	if err != nil {
		return err
	}
	begin := "<!-- generated from " + source + ": begin -->\n"
	end := "<!-- generated from " + source + ": end -->\n"
	before, rest, begins := strings.Cut(string(page), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return fmt.Errorf("%s has no lines %q and %q", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+begin+text+end+after), 0o644) //nolint:gosec // a page for all
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

// config is the table of keys that users cannot set, or not to every value.
func config() string {
	var b strings.Builder
	b.WriteString("\n| key | must be | why, and what to set instead |\n|---|---|---|\n")
	for _, rule := range resources.ConfigRules {
		must := rule.Must
		if must == "" {
			must = "unset"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", rule.Key, must, rule.Why)
	}
	b.WriteString("\n")
	return b.String()
}

// settings is the list of keys that change without a restart.
func settings() string {
	return "\n- `" + strings.Join(resources.Reloadable, "`\n- `") + "`\n\n"
}

// remedy is what a person does, with the runbook to follow.
func remedy(info reason.Info) string {
	if info.Runbook == "" {
		return info.Act
	}
	name := strings.TrimSuffix(info.Runbook[strings.LastIndex(info.Runbook, "/")+1:], ".md")
	return fmt.Sprintf("%s: [%s](%s)", info.Act, name, info.Runbook)
}
